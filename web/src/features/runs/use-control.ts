import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { notifyError, notifyUndo } from "../../ui/notices";
import { cancelNode, cancelRun, pauseRun, type RetryChoice, resumeRun, retryRun, runKeys } from "./api";

/** The operations on a run, each with what follows from it on the page. */
export function useRunControl(id: number) {
  const cache = useQueryClient();
  const navigate = useNavigate();
  const refresh = () => cache.invalidateQueries({ queryKey: runKeys.detail(id) });
  const resume = useMutation({
    mutationFn: () => resumeRun(id),
    onError: (error) => notifyError("The run was not resumed", error),
    onSettled: refresh,
  });
  const pause = useMutation({
    mutationFn: () => pauseRun(id),
    onSuccess: () => notifyUndo(`Run ${id} is held between its nodes.`, () => resume.mutate()),
    onError: (error) => notifyError("The run was not paused", error),
    onSettled: refresh,
  });
  const retry = useMutation({
    mutationFn: (choice: RetryChoice) => retryRun(id, choice),
    onSuccess: ({ flowchart_run }) => {
      void cache.invalidateQueries({ queryKey: runKeys.lists });
      void refresh();
      void navigate({ to: "/runs/$runId", params: { runId: String(flowchart_run.id) }, search: {} });
    },
    onError: (error) => notifyError("The run was not begun again", error),
  });
  return {
    pause,
    resume,
    retry,
    cancel: () => cancelRun(id).finally(refresh),
    cancelNode: (nodeRunId: number) =>
      cancelNode(nodeRunId).finally(() => {
        void cache.invalidateQueries({ queryKey: runKeys.node(nodeRunId) });
        return refresh();
      }),
  };
}

export type RunControl = ReturnType<typeof useRunControl>;
