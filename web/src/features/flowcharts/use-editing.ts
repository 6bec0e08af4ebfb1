import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { ApiError } from "../../api/client";
import { notifyError } from "../../ui/notices";
import { flowchartKeys, type LoadedGraph, saveGraph, validateGraph } from "./api";
import { isDirty, useEditor } from "./store";

const validateAfterMs = 500;

/** Opens the loaded graph, and takes newer ones in as long as nothing here is unsaved. */
export function useOpenGraph(flowchartId: number, loaded: LoadedGraph | undefined): boolean {
  const openId = useEditor((s) => s.flowchartId);
  useEffect(() => {
    if (!loaded) return;
    const editor = useEditor.getState();
    const other = editor.flowchartId !== flowchartId;
    if (other || (loaded.version > editor.version && !isDirty(editor))) {
      const { nodes, edges, version, etag, validation } = loaded;
      editor.open(flowchartId, { nodes, edges }, version, etag, validation);
    }
  }, [flowchartId, loaded]);
  // The next visit begins with what is stored then.
  useEffect(() => () => useEditor.setState({ flowchartId: 0 }), []);
  return openId === flowchartId;
}

/** Asks the server what is wrong, a moment after the last change. */
export function useValidation(flowchartId: number): void {
  const graph = useEditor((s) => s.history.present);
  const saved = useEditor((s) => s.saved);
  useEffect(() => {
    if (graph === saved) return;
    const aborter = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const { errors } = await validateGraph(flowchartId, graph, aborter.signal);
        if (!aborter.signal.aborted) useEditor.getState().setFindings(errors);
      } catch (error) {
        // Saving says it aloud; while drawing, a structural fault is shown as a problem.
        if (error instanceof ApiError && error.status === 422 && !aborter.signal.aborted) {
          useEditor
            .getState()
            .setFindings([{ node_id: "", edge_id: "", reason: error.reason, message: error.detail }]);
        }
      }
    }, validateAfterMs);
    return () => {
      clearTimeout(timer);
      aborter.abort();
    };
  }, [flowchartId, graph, saved]);
}

export function useSave(flowchartId: number) {
  const cache = useQueryClient();
  return useMutation({
    mutationFn: async ({ overwrite = false }: { overwrite?: boolean }) => {
      const { history, etag } = useEditor.getState();
      const graph = history.present;
      return { graph, stored: await saveGraph(flowchartId, graph, overwrite ? null : etag) };
    },
    onSuccess: ({ graph, stored }) => {
      useEditor.getState().markSaved(graph, stored.version, stored.etag, stored.validation);
      cache.setQueryData(flowchartKeys.graph(flowchartId), stored);
      void cache.invalidateQueries({ queryKey: flowchartKeys.detail(flowchartId) });
      void cache.invalidateQueries({ queryKey: flowchartKeys.lists });
    },
    onError: (error) => {
      if (!(error instanceof ApiError && error.status === 412))
        notifyError("The flowchart was not saved", error);
    },
  });
}

export const isStale = (error: unknown): boolean => error instanceof ApiError && error.status === 412;
