// A grid with one cell for each file of a run. Pure.

import type { IndexFile } from "../../api/aliases";

export type CellState = "failed" | "add" | "change" | "remove" | "pending";

/** A sign beside the colour, so that the colour is never all that tells. */
export const cellStates: { key: CellState; label: string; sign: string }[] = [
  { key: "failed", label: "Failed", sign: "!" },
  { key: "add", label: "Added", sign: "+" },
  { key: "change", label: "Changed", sign: "~" },
  { key: "remove", label: "Removed", sign: "−" },
  { key: "pending", label: "Not yet", sign: "" },
];

export function stateOf(file: IndexFile): CellState {
  if (file.status === "failed") return "failed";
  return file.status === "pending" ? "pending" : file.action;
}

export function tallyOf(files: readonly IndexFile[]): Record<CellState, number> {
  const tally: Record<CellState, number> = { failed: 0, add: 0, change: 0, remove: 0, pending: 0 };
  for (const file of files) tally[stateOf(file)]++;
  return tally;
}

export interface Grid {
  columns: number;
  rows: number;
  /** From one cell to the next, in pixels. */
  pitch: number;
  /** How high the window onto it is. */
  view: number;
}

const large = 18;
const small = 14;
const maxView = 252;

export function gridOf(n: number, width: number): Grid {
  const pitch = n > 1_500 ? small : large;
  const columns = Math.max(1, Math.floor(width / pitch));
  const rows = Math.ceil(n / columns);
  return { columns, rows, pitch, view: Math.min(maxView, Math.max(pitch, rows * pitch)) };
}

/** The file at a place, or null between and beside them. */
export function cellAt(grid: Grid, n: number, x: number, y: number): number | null {
  const column = Math.floor(x / grid.pitch);
  if (column < 0 || column >= grid.columns || y < 0) return null;
  const index = Math.floor(y / grid.pitch) * grid.columns + column;
  return index < n ? index : null;
}

/** Where a key leads from a file, or null where it is none of the grid's. */
export function moveIn(grid: Grid, n: number, from: number, key: string): number | null {
  const page = Math.max(1, Math.floor(grid.view / grid.pitch)) * grid.columns;
  const steps: Record<string, number> = {
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowUp: -grid.columns,
    ArrowDown: grid.columns,
    PageUp: -page,
    PageDown: page,
    Home: -n,
    End: n,
  };
  const step = steps[key];
  if (step === undefined || n === 0) return null;
  return Math.min(n - 1, Math.max(0, from + step));
}
