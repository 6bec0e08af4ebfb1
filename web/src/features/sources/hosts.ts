// Where a file of a Git source can be read on the web. Pure.

import type { Source } from "../../api/aliases";

export interface WebFile {
  host: string;
  url: string;
}

type At = { lines: [number, number] | null };

interface Host {
  /** Between the repository and the commit. */
  path: string;
  lines: (from: number, to: number) => string;
}

const gitHub: Host = { path: "blob", lines: (from, to) => `#L${from}-L${to}` };
const forgejo: Host = { path: "src/commit", lines: (from, to) => `#L${from}-L${to}` };

// Servers of one's own are not recognised by their names.
const hosts: Record<string, Host> = {
  "github.com": gitHub,
  "gitlab.com": { path: "-/blob", lines: (from, to) => `#L${from}-${to}` },
  "bitbucket.org": { path: "src", lines: (from, to) => `#lines-${from}:${to}` },
  "codeberg.org": forgejo,
  "gitea.com": forgejo,
};

/** The address of a file as it was indexed; null where the host is not known. */
export function webFile(
  source: Pick<Source, "kind" | "url" | "subfolder" | "index">,
  path: string,
  { lines }: At,
): WebFile | null {
  const commit = source.index?.remote_revision;
  if (source.kind !== "git" || !source.url || !commit || !URL.canParse(source.url)) return null;
  const { hostname, pathname } = new URL(source.url);
  const host = hosts[hostname];
  const repository = pathname.replace(/\.git$|\/+$/g, "");
  if (!host || !/^\/[^/]+\/.+/.test(repository)) return null;
  const file = [source.subfolder, path]
    .filter(Boolean)
    .join("/")
    .split("/")
    .map(encodeURIComponent)
    .join("/");
  const at = lines ? host.lines(...lines) : "";
  return { host: hostname, url: `https://${hostname}${repository}/${host.path}/${commit}/${file}${at}` };
}
