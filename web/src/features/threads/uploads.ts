// The files of a message that is being written: sent one after the other while
// one goes on writing. The state is a plain list; the functions that change it are
// pure, the hook does the sending.

import { useCallback, useEffect, useRef, useState } from "react";
import type { AttachmentPart } from "../../api/aliases";
import { messageOf } from "../../ui/feedback";
import { bytes } from "../../ui/format";

interface Base {
  key: string;
  name: string;
  size: number;
}
export type Upload =
  | (Base & { state: "sending"; fraction: number | null })
  | (Base & { state: "failed"; message: string })
  | (Base & { state: "done"; attachment: AttachmentPart });

export const maxFiles = 20;
export const maxFileBytes = 20 << 20;

export const faultOfFile = (file: { name: string; size: number }, there: number): string | null => {
  if (there >= maxFiles) return `A message takes ${maxFiles} files at most.`;
  if (file.size === 0) return "The file is empty.";
  if (file.size > maxFileBytes) return `${bytes(file.size)}; a file may have ${bytes(maxFileBytes)}.`;
  return null;
};

export type SendFile = (
  file: File,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
) => Promise<AttachmentPart>;

export function useUploads(send: SendFile, discard: (attachment: AttachmentPart) => void) {
  const [items, setItems] = useState<Upload[]>([]);
  const aborts = useRef(new Map<string, AbortController>());
  const names = useRef(0);
  const patch = useCallback(
    (key: string, next: Upload) => setItems((all) => all.map((u) => (u.key === key ? next : u))),
    [],
  );
  useEffect(() => {
    const running = aborts.current;
    return () => {
      for (const abort of running.values()) abort.abort();
    };
  }, []);

  const add = useCallback(
    (files: File[]) => {
      let there = items.length;
      for (const file of files) {
        const base: Base = { key: `f${++names.current}`, name: file.name || "pasted", size: file.size };
        const fault = faultOfFile(file, there++);
        if (fault) {
          setItems((all) => [...all, { ...base, state: "failed", message: fault }]);
          continue;
        }
        const abort = new AbortController();
        aborts.current.set(base.key, abort);
        setItems((all) => [...all, { ...base, state: "sending", fraction: null }]);
        send(file, abort.signal, (fraction) => patch(base.key, { ...base, state: "sending", fraction }))
          .then(
            (attachment) => patch(base.key, { ...base, state: "done", attachment }),
            (error) => {
              if (!abort.signal.aborted)
                patch(base.key, { ...base, state: "failed", message: messageOf(error) });
            },
          )
          .finally(() => aborts.current.delete(base.key));
      }
    },
    [items.length, send, patch],
  );

  const remove = useCallback(
    (key: string) => {
      aborts.current.get(key)?.abort();
      setItems((all) => all.filter((u) => u.key !== key));
      const found = items.find((u) => u.key === key);
      if (found?.state === "done") discard(found.attachment);
    },
    [items, discard],
  );

  const clear = useCallback(() => setItems([]), []);
  return {
    items,
    add,
    remove,
    clear,
    ids: items.flatMap((u) => (u.state === "done" ? [u.attachment.id] : [])),
    sending: items.some((u) => u.state === "sending"),
  };
}
