import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Flowchart } from "../../../api/aliases";
import { ErrorNotice } from "../../../ui/feedback";
import { NumberInput, Switch, Textarea, TextInput } from "../../../ui/inputs";
import {
  flowchartKeys,
  flowchartToolQuery,
  publishFlowchart,
  type ToolDraft,
  withdrawFlowchart,
} from "../api";
import { faultOfToolName, toolNameOf } from "../tool";
import classes from "./editor.module.css";

interface FormProps {
  flowchart: Flowchart;
  saved: ToolDraft | null;
  etag: string | null;
}

function ToolForm({ flowchart, saved, etag }: FormProps) {
  const cache = useQueryClient();
  const offered: ToolDraft = {
    name: toolNameOf(flowchart.name),
    description: "",
    enabled: true,
    wait_seconds: 30,
  };
  const [draft, setDraft] = useState(saved ?? offered);
  const settle = { onSuccess: () => cache.invalidateQueries({ queryKey: flowchartKeys.tool(flowchart.id) }) };
  const save = useMutation({ mutationFn: () => publishFlowchart(flowchart.id, draft, etag), ...settle });
  const withdraw = useMutation({ mutationFn: () => withdrawFlowchart(flowchart.id), ...settle });
  const fault = faultOfToolName(draft.name);
  const changed = saved === null || JSON.stringify(saved) !== JSON.stringify(draft);
  const error = save.error ?? withdraw.error;
  return (
    <>
      {error && <ErrorNotice error={error} />}
      <TextInput
        label="Tool name"
        description="What MCP clients call it"
        maxLength={64}
        error={fault}
        value={draft.name}
        onChange={(e) => setDraft({ ...draft, name: e.currentTarget.value })}
      />
      <Textarea
        label="Tool description"
        description="For a model to read: what it does, when to use it"
        placeholder={flowchart.description}
        autosize
        minRows={2}
        maxRows={8}
        maxLength={2000}
        value={draft.description}
        onChange={(e) => setDraft({ ...draft, description: e.currentTarget.value })}
      />
      <NumberInput
        label="Seconds that a call waits for the run"
        min={0}
        max={300}
        allowDecimal={false}
        value={draft.wait_seconds}
        onChange={(value) => setDraft({ ...draft, wait_seconds: typeof value === "number" ? value : 0 })}
      />
      <Switch
        label="Offered to clients"
        checked={draft.enabled}
        onChange={(e) => setDraft({ ...draft, enabled: e.currentTarget.checked })}
      />
      <div className={classes.row}>
        {changed && (
          <Button loading={save.isPending} disabled={fault !== null} onClick={() => save.mutate()}>
            {saved ? "Save the tool" : "Publish"}
          </Button>
        )}
        {saved && (
          <Button variant="default" loading={withdraw.isPending} onClick={() => withdraw.mutate()}>
            Withdraw
          </Button>
        )}
      </div>
    </>
  );
}

/** Publishes the flowchart as a tool of the Studio's MCP server. */
export function FlowchartToolSettings({ flowchart }: { flowchart: Flowchart }) {
  const tool = useQuery(flowchartToolQuery(flowchart.id));
  const [wanted, setWanted] = useState(false);
  if (tool.isPending) return null;
  if (tool.isError) return <ErrorNotice error={tool.error} onRetry={() => void tool.refetch()} />;
  const { draft, etag } = tool.data;
  if (draft === null && !wanted) {
    return (
      <Button variant="default" onClick={() => setWanted(true)}>
        Publish as an MCP tool
      </Button>
    );
  }
  return <ToolForm key={etag ?? "new"} flowchart={flowchart} saved={draft} etag={etag} />;
}
