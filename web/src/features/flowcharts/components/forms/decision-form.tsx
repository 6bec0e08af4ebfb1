import type { JsonObject } from "../../../../api/aliases";
import { CodeField } from "../../../../ui/code-editor";
import { Select } from "../../../../ui/inputs";
import { conditionError, errorOf } from "../../findings";
import { conditionsOf } from "../../model";
import { useEditor } from "../../store";
import classes from "../editor.module.css";
import { type FormProps, textOf, useSet } from "./common";

export const decisionKeys = ["conditions", "default_edge_id", "retry", "timeout_seconds", "fan_in"];

export function DecisionForm({ node, findings }: FormProps) {
  const set = useSet(node);
  const graph = useEditor((s) => s.history.present);
  const leaving = graph.edges.filter((e) => e.source === node.id && e.mode === "solid");
  const conditions = conditionsOf(node);
  const byDefault = textOf(node, "default_edge_id");
  const nameOf = (target: string) => {
    const found = graph.nodes.find((n) => n.id === target);
    return found?.title || target;
  };
  const setCondition = (edgeId: string, expression: string) => {
    const rest = conditions.filter((c) => c.edge_id !== edgeId);
    const at = conditions.findIndex((c) => c.edge_id === edgeId);
    const next =
      expression === ""
        ? rest
        : at < 0
          ? [...rest, { edge_id: edgeId, expression }]
          : conditions.map((c) => (c.edge_id === edgeId ? { ...c, expression } : c));
    set(
      "conditions",
      next.map((c): JsonObject => ({ ...c })),
    );
  };
  if (leaving.length === 0) {
    return (
      <p className={classes.note}>
        Connect this node to others with solid edges; each gets a condition here.
      </p>
    );
  }
  return (
    <>
      <p className={classes.note}>
        Every way whose condition is true is taken. Conditions are expressions over input, upstream, nodes and
        run.
      </p>
      {leaving
        .filter((e) => e.id !== byDefault)
        .map((edge) => {
          const at = conditions.findIndex((c) => c.edge_id === edge.id);
          return (
            <CodeField
              key={edge.id}
              label={`To ${nameOf(edge.target)} when`}
              placeholder="size(upstream.text) > 100"
              minHeight={34}
              value={conditions[at]?.expression ?? ""}
              error={conditionError(findings, edge.id, at)}
              onChange={(value) => setCondition(edge.id, value)}
            />
          );
        })}
      <Select
        label="When none is true"
        clearable
        placeholder="The node fails"
        error={
          errorOf(findings, "default_edge_id") ??
          (byDefault ? conditionError(findings, byDefault, -1) : undefined)
        }
        value={byDefault || null}
        data={leaving.map((e) => ({ value: e.id, label: `go to ${nameOf(e.target)}` }))}
        onChange={(value) => set("default_edge_id", value ?? undefined)}
      />
    </>
  );
}
