import { ActionIcon, Button } from "@mantine/core";
import { IconCopy, IconTrash, IconX } from "@tabler/icons-react";
import { type ComponentType, memo } from "react";
import type { EdgeMode, Finding, GraphEdge, NodeKind } from "../../../api/aliases";
import { JsonField } from "../../../ui/code-editor";
import { Id } from "../../../ui/feedback";
import { Select, TextInput } from "../../../ui/inputs";
import { generalFindings } from "../findings";
import { kindLooks } from "../kinds";
import { useEditor } from "../store";
import classes from "./editor.module.css";
import { modeText } from "./flow-edges";
import { FlowchartSettings } from "./flowchart-settings";
import { Fold, type FormProps, HowItRuns, objectOf } from "./forms/common";
import { DecisionForm, decisionKeys } from "./forms/decision-form";
import { HttpForm, httpKeys, ScriptForm, StartForm, scriptKeys, startKeys } from "./forms/io-forms";
import { PodForm, podKeys, runsInPod } from "./forms/pod-form";
import { RagForm, ragKeys } from "./forms/rag-form";
import { TaskForm, taskKeys } from "./forms/task-form";

const forms: Partial<Record<NodeKind, { form: ComponentType<FormProps>; keys: string[] }>> = {
  start: { form: StartForm, keys: startKeys },
  task: { form: TaskForm, keys: taskKeys },
  decision: { form: DecisionForm, keys: decisionKeys },
  http: { form: HttpForm, keys: httpKeys },
  script: { form: ScriptForm, keys: scriptKeys },
  rag: { form: RagForm, keys: ragKeys },
};

function Findings({ findings }: { findings: Finding[] }) {
  if (findings.length === 0) return null;
  return (
    <ul className={classes.inlineFindings}>
      {findings.map((f) => (
        <li key={`${f.edge_id} ${f.reason} ${f.message}`}>{f.message}</li>
      ))}
    </ul>
  );
}

// Where a node lies is not shown, so dragging it renders no form.
const sameForm = (a: FormProps, b: FormProps): boolean =>
  a.node.id === b.node.id &&
  a.node.kind === b.node.kind &&
  a.node.title === b.node.title &&
  a.node.config === b.node.config &&
  a.findings.length === b.findings.length &&
  a.findings.every((f, i) => f === b.findings[i]);

const NodeInspector = memo(function NodeInspector({ node, findings }: FormProps) {
  const setTitle = useEditor((s) => s.setTitle);
  const replace = useEditor((s) => s.replaceConfig);
  const duplicate = useEditor((s) => s.duplicateSelected);
  const remove = useEditor((s) => s.removeSelected);
  const look = kindLooks[node.kind];
  const known = forms[node.kind];
  const Form = known?.form;
  return (
    <>
      <div className={classes.inspectorHead}>
        <b>{look.label}</b>
        <Id>{node.id}</Id>
      </div>
      <div className={classes.form}>
        <Findings
          findings={generalFindings(
            findings.filter((f) => node.kind !== "decision" || !f.edge_id),
            [...(known?.keys ?? []), ...(runsInPod(node.kind) ? podKeys : [])],
          )}
        />
        <TextInput
          label="Title"
          maxLength={200}
          value={node.title}
          onChange={(e) => setTitle(node.id, e.currentTarget.value)}
        />
        {Form && <Form node={node} findings={findings} />}
        {node.kind === "end" && (
          <p className={classes.note}>The output of what leads here becomes the run's output.</p>
        )}
        {node.kind !== "start" && node.kind !== "end" && <HowItRuns node={node} findings={findings} />}
        {runsInPod(node.kind) && <PodForm node={node} findings={findings} />}
        <Fold title="Configuration as JSON" open={!Form && node.kind !== "end"}>
          <JsonField
            label="Configuration"
            minHeight={120}
            value={node.config}
            onChange={(value) => replace(node.id, objectOf(value))}
          />
        </Fold>
        <div className={classes.row}>
          {node.kind !== "start" && (
            <Button variant="default" leftSection={<IconCopy size={14} />} onClick={duplicate}>
              Duplicate
            </Button>
          )}
          <Button variant="default" leftSection={<IconTrash size={14} />} onClick={remove}>
            Delete
          </Button>
        </div>
      </div>
    </>
  );
}, sameForm);

function EdgeInspector({ edge }: { edge: GraphEdge }) {
  const graph = useEditor((s) => s.history.present);
  const setMode = useEditor((s) => s.setMode);
  const remove = useEditor((s) => s.removeSelected);
  const title = (id: string) => graph.nodes.find((n) => n.id === id)?.title || id;
  return (
    <>
      <div className={classes.inspectorHead}>
        <b>Edge</b>
        <Id>{edge.id}</Id>
      </div>
      <div className={classes.form}>
        <p className={classes.note}>
          From {title(edge.source)} to {title(edge.target)}.
        </p>
        <Select
          label="Style"
          description={`A ${modeText[edge.mode].label.toLowerCase()} edge ${modeText[edge.mode].text}.`}
          allowDeselect={false}
          value={edge.mode}
          data={(Object.keys(modeText) as EdgeMode[]).map((value) => ({
            value,
            label: modeText[value].label,
          }))}
          onChange={(value) => {
            if (value === "solid" || value === "dotted" || value === "dashed") setMode(edge.id, value);
          }}
        />
        <div className={classes.row}>
          <Button variant="default" leftSection={<IconTrash size={14} />} onClick={remove}>
            Delete
          </Button>
        </div>
      </div>
    </>
  );
}

function ManyInspector({ nodes, edges }: { nodes: number; edges: number }) {
  const duplicate = useEditor((s) => s.duplicateSelected);
  const remove = useEditor((s) => s.removeSelected);
  const parts = [
    nodes > 0 && `${nodes} node${nodes === 1 ? "" : "s"}`,
    edges > 0 && `${edges} edge${edges === 1 ? "" : "s"}`,
  ];
  return (
    <>
      <div className={classes.inspectorHead}>
        <b>{parts.filter(Boolean).join(" and ")} selected</b>
      </div>
      <div className={classes.form}>
        <div className={classes.row}>
          <Button
            variant="default"
            leftSection={<IconCopy size={14} />}
            onClick={duplicate}
            disabled={nodes === 0}
          >
            Duplicate
          </Button>
          <Button variant="default" leftSection={<IconTrash size={14} />} onClick={remove}>
            Delete
          </Button>
        </div>
      </div>
    </>
  );
}

export function Inspector({ flowchartId }: { flowchartId: number }) {
  const graph = useEditor((s) => s.history.present);
  const selection = useEditor((s) => s.selection);
  const findings = useEditor((s) => s.findings);
  const nodes = graph.nodes.filter((n) => selection.nodes.has(n.id));
  const edges = graph.edges.filter((e) => selection.edges.has(e.id));
  const [node] = nodes;
  const [edge] = edges;
  const content = () => {
    if (node && nodes.length === 1 && edges.length === 0) {
      const mine = findings.filter((f) => f.node_id === node.id);
      return <NodeInspector key={node.id} node={node} findings={mine} />;
    }
    if (edge && edges.length === 1 && nodes.length === 0) return <EdgeInspector key={edge.id} edge={edge} />;
    if (nodes.length + edges.length > 1) return <ManyInspector nodes={nodes.length} edges={edges.length} />;
    return <FlowchartSettings flowchartId={flowchartId} />;
  };
  const shown = nodes.length + edges.length > 0;
  return (
    <aside className={classes.inspector} aria-label="Inspector" data-shown={shown || undefined}>
      {shown && (
        <ActionIcon
          className={classes.closeSheet}
          aria-label="Close the inspector"
          onClick={() => useEditor.getState().select([])}
        >
          <IconX size={16} />
        </ActionIcon>
      )}
      {content()}
    </aside>
  );
}
