import type { Connection, Latency, RealtimeStatus, Transports } from "../../api/aliases";

// What the page knows of the realtime side beyond what the server says. The shapes
// are those of the API's document.

export type {
  Connection,
  Latency,
  RealtimeStatus,
  RealtimeWorker,
  Totals,
  Transports,
} from "../../api/aliases";

export const total = (t: Transports): number => t.websocket + t.polling;

/** The value below which a share of a histogram lies, between its bucket's bounds; null without values. */
export function quantile({ bounds_ms, counts, count }: Latency, share: number): number | null {
  if (count === 0) return null;
  const rank = share * count;
  let before = 0;
  for (const [i, n] of counts.entries()) {
    if (n > 0 && before + n >= rank) {
      const lower = i === 0 ? 0 : (bounds_ms[i - 1] ?? 0);
      const upper = bounds_ms[i] ?? lower; // nothing is known beyond the last bound
      return lower + ((upper - lower) * (rank - before)) / n;
    }
    before += n;
  }
  return bounds_ms.at(-1) ?? null;
}

const digits = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export function milliseconds(ms: number | null): string {
  if (ms === null) return "–";
  return ms >= 1_000 ? `${digits.format(ms / 1_000)} s` : `${digits.format(ms)} ms`;
}

export interface Bar {
  label: string;
  count: number;
  /** Of the fullest, 0..1. */
  share: number;
}

export function bars({ bounds_ms, counts }: Latency): Bar[] {
  const most = Math.max(1, ...counts);
  return counts.map((n, i) => {
    const lower = bounds_ms[i - 1] ?? 0;
    const upper = bounds_ms[i];
    const label =
      upper === undefined
        ? `over ${milliseconds(lower)}`
        : `${milliseconds(lower)} to ${milliseconds(upper)}`;
    return { label, count: n, share: n / most };
  });
}

const browsers: [RegExp, string][] = [
  [/Edg\/(\d+)/, "Edge"],
  [/Firefox\/(\d+)/, "Firefox"],
  [/Chrom(?:e|ium)\/(\d+)/, "Chrome"],
  [/Version\/(\d+).*Safari/, "Safari"],
];
const systems: [RegExp, string][] = [
  [/Android/, "Android"],
  [/iPhone|iPad/, "iOS"],
  [/Windows/, "Windows"],
  [/Mac OS X/, "macOS"],
  [/Linux|CrOS/, "Linux"],
];

/** A user agent in words; what is no browser names itself. */
export function clientName(userAgent: string): string {
  for (const [pattern, name] of browsers) {
    const version = pattern.exec(userAgent)?.[1];
    if (version === undefined) continue;
    const system = systems.find(([p]) => p.test(userAgent))?.[1];
    return `${name} ${version}${system ? ` on ${system}` : ""}`;
  }
  return userAgent.split(/[\s;(]/)[0] || "Unknown client";
}

export const transportName = (transport: Connection["transport"]): string =>
  transport === "websocket" ? "WebSocket" : "Polling";

export interface Trouble {
  key: string;
  text: string;
}

/** What is wrong, and what to do. */
export function troubles({ workers }: RealtimeStatus): Trouble[] {
  return workers.flatMap((w): Trouble[] => {
    const name = `Worker ${w.worker} on ${w.hostname}`;
    if (w.mute !== "") {
      const text = `${name} does not answer (${w.mute}), so its figures and connections are missing. If it stays, look at its log.`;
      return [{ key: w.worker, text }];
    }
    if (w.ready) return [];
    const bus = w.hub.bus_health.ok ? "" : ` Check that the message bus (${w.hub.bus}) can be reached.`;
    const text = `${name} is not ready: ${w.reason || "it does not say why"}. Its clients get events late, from the log; nothing is lost.${bus}`;
    return [{ key: w.worker, text }];
  });
}
