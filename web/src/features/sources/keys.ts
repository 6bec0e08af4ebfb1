// The cache's names of sources and their index runs.

export const sourceKeys = {
  all: ["sources"] as const,
  lists: ["sources", "list"] as const,
  detail: (id: number) => ["sources", "detail", id] as const,
  runs: (id: number) => ["sources", "runs", id] as const,
  run: (id: number) => ["sources", "run", id] as const,
  journal: (id: number) => ["sources", "journal", id] as const,
  journalList: (id: number) => ["sources", "journal-list", id] as const,
  errors: (id: number) => ["sources", "errors", id] as const,
  files: (id: number) => ["sources", "files", id] as const,
  chunks: (id: number) => ["sources", "chunks", id] as const,
  collections: ["sources", "collections"] as const,
  health: ["sources", "health"] as const,
  // Not read again while changes are polled for: nothing in them changes by itself.
  roots: ["local-roots"] as const,
  folders: (path: string) => ["local-roots", path] as const,
};
