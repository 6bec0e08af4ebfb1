import { describe, expect, it } from "vitest";
import type { McpTest } from "../../api/aliases";
import { keyFrom, lineOf, parametersOf, resultsOf, stateOf, toggleAllowed, wordsOf } from "./model";

const test = (from: Partial<McpTest>): McpTest => ({
  ok: true,
  message: "It works.",
  latency_ms: 12,
  list_ms: 5,
  protocol_version: "2025-11-25",
  server_name: "files",
  server_version: "1.2",
  tools: 3,
  needs_oauth: false,
  tested_at: "2026-01-01T00:00:00Z",
  ...from,
});

describe("a server's state", () => {
  it("is off, unknown, good, bad, or waiting for a sign-in", () => {
    expect(stateOf({ enabled: false, last_test: test({}) })).toBe("disabled");
    expect(stateOf({ enabled: true, last_test: null })).toBe("untested");
    expect(stateOf({ enabled: true, last_test: test({}) })).toBe("ok");
    expect(stateOf({ enabled: true, last_test: test({ ok: false }) })).toBe("failed");
    expect(stateOf({ enabled: true, last_test: test({ ok: false, needs_oauth: true }) })).toBe("needs_oauth");
  });

  it("tells how far a failed test came", () => {
    const values = (t: McpTest) => resultsOf(t).map((r) => r.value);
    expect(values(test({}))).toEqual(["files 1.2", "3 in 5 ms", "12 ms", "2025-11-25"]);
    expect(values(test({ ok: false }))).toEqual(["files 1.2", "Failed", "12 ms", "2025-11-25"]);
    expect(values(test({ ok: false, protocol_version: "" }))).toEqual(["Failed", "Not asked", "–", "–"]);
  });
});

describe("the allow list", () => {
  const tools = [{ name: "a" }, { name: "b" }];
  it("begins with all, and keeps what is not offered at the moment", () => {
    const only = (...allowed_tools: string[]) => ({ allow_all_tools: false, allowed_tools });
    expect(toggleAllowed({ allow_all_tools: true, allowed_tools: [] }, tools, "a")).toEqual(["b"]);
    expect(toggleAllowed(only("b", "gone"), tools, "a")).toEqual(["a", "b", "gone"]);
    expect(toggleAllowed(only("a"), tools, "a")).toEqual([]);
  });
});

describe("a command line", () => {
  it.each([
    ["npx -y server /tmp", ["npx", "-y", "server", "/tmp"]],
    [`run "two words" 'and "these"'`, ["run", "two words", 'and "these"']],
    ["", []],
  ])("%j is its words", (line, words) => {
    expect(wordsOf(line)).toEqual(words);
    expect(wordsOf(lineOf(words))).toEqual(words);
  });
});

it("suggests a key", () => {
  expect(keyFrom("  My Files (prod)! ")).toBe("my-files-prod");
});

it("reads parameters from a schema, whatever it is", () => {
  const schema = {
    type: "object",
    required: ["path"],
    properties: {
      path: { type: "string", description: "Where" },
      tags: { type: "array", items: { type: "string" } },
      mode: { enum: ["r", "w"] },
      odd: 7,
    },
  };
  expect(parametersOf(schema)).toEqual([
    { name: "path", type: "string", required: true, description: "Where" },
    { name: "tags", type: "string[]", required: false, description: "" },
    { name: "mode", type: '"r" | "w"', required: false, description: "" },
    { name: "odd", type: "any", required: false, description: "" },
  ]);
  expect(parametersOf(null)).toEqual([]);
});
