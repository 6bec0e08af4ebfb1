import { useStore } from "@xyflow/react";

const farBelow = 0.62;

/** True while the canvas is zoomed out so far that small text cannot be read. */
export const useFar = (): boolean => useStore((s) => s.transform[2] < farBelow);
