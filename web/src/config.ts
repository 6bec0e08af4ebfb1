// What the server injects into index.html. Without it (development server) the
// defaults fit a page served at the root with the API proxied below /api.

export interface StudioConfig {
  basePath: string;
  apiBase: string;
  socketPath: string;
  transports: ("websocket" | "polling")[];
  version: string;
}

declare global {
  interface Window {
    __STUDIO__?: Partial<StudioConfig>;
  }
}

const trimEnd = (path: string): string => path.replace(/\/+$/, "");

export function readConfig(injected: Partial<StudioConfig> | undefined): StudioConfig {
  const known = (injected?.transports ?? []).filter((t) => t === "websocket" || t === "polling");
  return {
    basePath: trimEnd(injected?.basePath ?? "") || "/",
    apiBase: trimEnd(injected?.apiBase ?? "/api"),
    socketPath: trimEnd(injected?.socketPath ?? "/api/socket.io"),
    transports: known.length > 0 ? known : ["websocket", "polling"],
    version: injected?.version ?? "development",
  };
}

export const config: StudioConfig = readConfig(window.__STUDIO__);
