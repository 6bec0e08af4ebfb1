import { describe, expect, it } from "vitest";
import { conditionError, errorOf, fieldOf, generalFindings } from "./findings";

const finding = (reason: string, message: string, edge_id = "") => ({
  node_id: "n",
  edge_id,
  reason,
  message,
});

const unknownName = finding(
  "flow.unknown_name",
  'config.prompt reads nodes.nope, but the flowchart has no node "nope".',
);
const noModel = finding("flow.missing_model", "The task has no model.");
const condition = finding("flow.invalid_expression", "config.conditions[1].expression: is faulty at 1:3.");
const unreachable = finding("flow.unreachable", "No path of solid edges leads here.");

describe("findings", () => {
  it("finds the field by path or reason", () => {
    expect([unknownName, noModel, condition, unreachable].map(fieldOf)).toEqual([
      "prompt",
      "model_id",
      "conditions",
      null,
    ]);
  });

  it("says them without the path", () => {
    expect(errorOf([unknownName], "prompt")).toBe('Reads nodes.nope, but the flowchart has no node "nope".');
    expect(errorOf([unknownName], "system")).toBeUndefined();
    expect(errorOf([noModel], "model_id")).toBe("The task has no model.");
  });

  it("finds a condition by its place or its edge", () => {
    expect(conditionError([condition], "e9", 1)).toBe("Is faulty at 1:3.");
    expect(conditionError([condition], "e9", 0)).toBeUndefined();
    const never = finding(
      "flow.edge_never_taken",
      'Edge "e4" has no condition and is not the default.',
      "e4",
    );
    expect(conditionError([never], "e4", -1)).toContain("no condition");
  });

  it("keeps above the form what no field shows", () => {
    expect(generalFindings([unknownName, noModel, unreachable], ["prompt", "model_id"])).toEqual([
      unreachable,
    ]);
  });
});
