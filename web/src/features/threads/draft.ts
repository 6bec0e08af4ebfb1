// What is being written survives a reload of the page, in this tab.

import { useCallback, useEffect, useRef, useState } from "react";

const maxKept = 200_000;
const keyOf = (thread: number | "new"): string => `studio.draft.${thread}`;

function read(key: string): string {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return ""; // not allowed here
  }
}

function write(key: string, text: string): void {
  try {
    if (text === "" || text.length > maxKept) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, text);
  } catch {
    // Full, or not allowed: the text is still in its field.
  }
}

/** Puts a draft where the page of a thread will find it. */
export const keepDraft = (thread: number, text: string): void => write(keyOf(thread), text);

export function useDraft(thread: number | "new"): [string, (text: string) => void] {
  const key = keyOf(thread);
  const [text, setText] = useState(() => read(key));
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const latest = useRef(text);
  const set = useCallback(
    (next: string) => {
      latest.current = next;
      setText(next);
      clearTimeout(timer.current);
      timer.current = setTimeout(() => write(key, next), next === "" ? 0 : 300);
    },
    [key],
  );
  useEffect(
    () => () => {
      clearTimeout(timer.current);
      write(key, latest.current);
    },
    [key],
  );
  return [text, set];
}
