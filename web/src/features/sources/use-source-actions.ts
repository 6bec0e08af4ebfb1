import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { IndexRun, Source } from "../../api/aliases";
import { notify, notifyError, notifyUndo } from "../../ui/notices";
import { deleteSource, type IndexChoice, orderRun, type RunOrder, restoreSource, startIndex } from "./api";
import { sourceKeys } from "./keys";

const refused: Record<RunOrder, string> = {
  apply: "The plan was not applied",
  pause: "It was not paused",
  resume: "It was not resumed",
  cancel: "It was not cancelled",
};

/** What can be done with sources and their index runs. */
export function useSourceActions(onGone?: () => void) {
  const cache = useQueryClient();
  const refresh = () => cache.invalidateQueries({ queryKey: sourceKeys.all });
  const known = (run: IndexRun) => cache.setQueryData(sourceKeys.run(run.id), run);
  const restore = useMutation({
    mutationFn: restoreSource,
    onSuccess: (s) => notify(`“${s.name}” is back.`),
    onError: (e) => notifyError("The source was not restored", e),
    onSettled: refresh,
  });
  const remove = useMutation({
    mutationFn: (s: Source) => deleteSource(s.id),
    onSuccess: (_, s) => {
      onGone?.();
      notifyUndo(`“${s.name}” was deleted.`, () => restore.mutate(s.id));
    },
    onError: (e) => notifyError("The source was not deleted", e),
    onSettled: refresh,
  });
  const index = useMutation({
    mutationFn: ({ source, ...choice }: IndexChoice & { source: number }) => startIndex(source, choice),
    onSuccess: ({ index_run }) => known(index_run),
    onError: (e) => notifyError("It was not indexed", e),
    onSettled: refresh,
  });
  const order = useMutation({
    mutationFn: ({ run, what }: { run: number; what: RunOrder }) => orderRun(run, what),
    onSuccess: ({ index_run }) => known(index_run),
    onError: (e, { what }) => notifyError(refused[what], e),
    onSettled: refresh,
  });
  return { remove, restore, index, order };
}

export type SourceActions = ReturnType<typeof useSourceActions>;
