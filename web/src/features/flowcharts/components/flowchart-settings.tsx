import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Flowchart } from "../../../api/aliases";
import { ErrorNotice } from "../../../ui/feedback";
import { NumberInput, Textarea, TextInput } from "../../../ui/inputs";
import { Ago } from "../../../ui/time";
import { flowchartKeys, flowchartQuery, updateFlowchart } from "../api";
import { useEditor } from "../store";
import classes from "./editor.module.css";
import { FlowchartToolSettings } from "./flowchart-tool";

const limits = [
  { key: "max_node_executions", label: "Node runs at most", max: 10_000 },
  { key: "max_runtime_minutes", label: "Minutes at most", max: 100_000 },
  { key: "max_parallel_nodes", label: "Nodes at a time at most", max: 1_000 },
] as const;

type Draft = Pick<
  Flowchart,
  "name" | "description" | "max_node_executions" | "max_runtime_minutes" | "max_parallel_nodes"
>;

const draftOf = (f: Flowchart): Draft => ({
  name: f.name,
  description: f.description,
  max_node_executions: f.max_node_executions,
  max_runtime_minutes: f.max_runtime_minutes,
  max_parallel_nodes: f.max_parallel_nodes,
});

/** What the inspector shows while nothing is selected. */
export function FlowchartSettings({ flowchartId }: { flowchartId: number }) {
  const cache = useQueryClient();
  const { data } = useQuery(flowchartQuery(flowchartId));
  const version = useEditor((s) => s.version);
  const [draft, setDraft] = useState<Draft | null>(data ? draftOf(data) : null);
  useEffect(() => {
    if (data) setDraft(draftOf(data));
  }, [data]);
  const save = useMutation({
    mutationFn: (change: Draft) => updateFlowchart(flowchartId, change),
    onSuccess: (saved) => {
      cache.setQueryData(flowchartKeys.detail(flowchartId), saved);
      void cache.invalidateQueries({ queryKey: flowchartKeys.lists });
    },
  });
  if (!data || !draft) return null;
  const changed = JSON.stringify(draft) !== JSON.stringify(draftOf(data));
  return (
    <>
      <div className={classes.inspectorHead}>
        <b>Flowchart</b>
        <span className={classes.muted}>Version {version}</span>
      </div>
      <div className={classes.form}>
        {save.error && <ErrorNotice error={save.error} />}
        <TextInput
          label="Name"
          maxLength={200}
          value={draft.name}
          onChange={(e) => setDraft({ ...draft, name: e.currentTarget.value })}
        />
        <Textarea
          label="Description"
          autosize
          minRows={2}
          maxRows={8}
          maxLength={2000}
          value={draft.description}
          onChange={(e) => setDraft({ ...draft, description: e.currentTarget.value })}
        />
        {limits.map(({ key, label, max }) => (
          <NumberInput
            key={key}
            label={label}
            placeholder="Default"
            min={1}
            max={max}
            allowDecimal={false}
            value={draft[key] ?? ""}
            onChange={(value) => setDraft({ ...draft, [key]: typeof value === "number" ? value : null })}
          />
        ))}
        {changed && (
          <div className={classes.row}>
            <Button loading={save.isPending} disabled={!draft.name.trim()} onClick={() => save.mutate(draft)}>
              Save these
            </Button>
            <Button variant="default" onClick={() => setDraft(draftOf(data))}>
              Discard
            </Button>
          </div>
        )}
        <FlowchartToolSettings flowchart={data} />
        <p className={classes.note}>
          Changed <Ago at={data.updated_at} />. Select a node or an edge to change it, or press <kbd>?</kbd>{" "}
          for the keys.
        </p>
      </div>
    </>
  );
}
