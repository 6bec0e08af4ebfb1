import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { Thread } from "../../api/aliases";
import { notify, notifyError, notifyUndo } from "../../ui/notices";
import { archiveThread, clearThread, deleteThread, renameThread, restoreThread, threadKeys } from "./api";

/** What can be done with a thread as a whole, from its row as from its page. */
export function useThreadActions(onGone?: (id: number) => void) {
  const cache = useQueryClient();
  const refresh = (id: number) => {
    void cache.invalidateQueries({ queryKey: threadKeys.lists });
    void cache.invalidateQueries({ queryKey: threadKeys.conversation(id) });
  };
  const restore = useMutation({
    mutationFn: (id: number) => restoreThread(id),
    onError: (e) => notifyError("The thread was not restored", e),
    onSettled: (_, __, id) => refresh(id),
  });
  const archive = useMutation({
    mutationFn: (t: Thread) => archiveThread(t.id),
    onSuccess: (_, t) => notifyUndo(`“${t.title}” was archived.`, () => restore.mutate(t.id)),
    onError: (e) => notifyError("The thread was not archived", e),
    onSettled: (_, __, t) => refresh(t.id),
  });
  const remove = useMutation({
    mutationFn: (t: Thread) => deleteThread(t.id),
    onSuccess: (_, t) => {
      notifyUndo(`“${t.title}” was deleted.`, () => restore.mutate(t.id));
      onGone?.(t.id);
    },
    onError: (e) => notifyError("The thread was not deleted", e),
    onSettled: (_, __, t) => refresh(t.id),
  });
  const rename = useMutation({
    mutationFn: ({ id, title }: { id: number; title: string }) => renameThread(id, title),
    onError: (e) => notifyError("The thread was not renamed", e),
    onSettled: (_, __, { id }) => refresh(id),
  });
  const clear = async (t: Thread) => {
    await clearThread(t.id);
    notify(`“${t.title}” is empty again.`);
    refresh(t.id);
  };
  return { restore, archive, remove, rename, clear };
}
