import { useSyncExternalStore } from "react";
import { duration, relative } from "./format";
import { Tooltip } from "./tooltip";

// One clock for the whole page, running only while something shows it.
const listeners = new Set<() => void>();
let current = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  current = Date.now();
  timer ??= setInterval(() => {
    current = Date.now();
    for (const notify of listeners) notify();
  }, 1_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

const still = () => () => {};

/** The time now, in seconds' steps; without ticking it stays as it was when first shown. */
export const useNow = (ticking = true): number =>
  useSyncExternalStore(ticking ? subscribe : still, () => current);

const exact = (at: string): string =>
  new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function Ago({ at }: { at: string | null | undefined }) {
  const now = useNow();
  if (!at) return <span>–</span>;
  return (
    <Tooltip label={exact(at)}>
      <time dateTime={at}>{relative(Date.parse(at), now)}</time>
    </Tooltip>
  );
}

interface ElapsedProps {
  from: string | null | undefined;
  to: string | null | undefined;
  /** False when nothing runs, so that the time must not go on. */
  open?: boolean;
}

/** How long something took, or takes until now. */
export function Elapsed({ from, to, open = true }: ElapsedProps) {
  const now = useNow(!to && open);
  if (!from || (!to && !open)) return <span>–</span>;
  const ms = (to ? Date.parse(to) : now) - Date.parse(from);
  // What still runs is shown in whole seconds, so that it counts instead of flickering.
  if (!to && ms < 1_000) return <span>0 s</span>;
  return <span>{duration(to ? ms : Math.floor(ms / 1_000) * 1_000)}</span>;
}
