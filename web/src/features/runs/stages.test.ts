import { describe, expect, it } from "vitest";
import { executionModeOf, stageLabel } from "./stages";

describe("stages", () => {
  it("are called after the work only where it is retrieval", () => {
    const names = [null, "query", "indexing", "delta_indexing", "unknown"].map((m) =>
      stageLabel("llm_query", m),
    );
    expect(names).toEqual(["LLM Query", "LLM Query", "RAG Indexing", "RAG Delta Indexing", "LLM Query"]);
    expect(stageLabel("post_init", "indexing")).toBe("Post Init");
    expect(stageLabel("later", null)).toBe("later");
  });

  it("know the mode by the node's config", () => {
    expect(executionModeOf({ kind: "rag", config: { mode: "fresh_index" } })).toBe("indexing");
    expect(executionModeOf({ kind: "rag", config: { mode: "delta_index" } })).toBe("delta_indexing");
    expect(executionModeOf({ kind: "rag", config: {} })).toBeNull();
    expect(executionModeOf({ kind: "task", config: { mode: "fresh_index" } })).toBeNull();
  });
});
