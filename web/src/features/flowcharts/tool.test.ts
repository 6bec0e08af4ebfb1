import { expect, it } from "vitest";
import { faultOfToolName, toolNameOf } from "./tool";

it("makes a name of the flowchart's that can be used", () => {
  for (const [given, want] of [
    ["Summarise the news", "summarise_the_news"],
    ["  Über-Plan (2) ", "uber_plan_2"],
    ["2nd try", "nd_try"],
    ["日本", "flowchart"],
    ["llmctl run", "flowchart_llmctl_run"],
    ["x".repeat(200), "x".repeat(64)],
  ] as const) {
    expect(toolNameOf(given)).toBe(want);
    expect(faultOfToolName(want)).toBeNull();
  }
});

it("says what is wrong with a name", () => {
  for (const name of ["", "Upper", "1st", "with-dash", "a".repeat(65), "llmctl_run"]) {
    expect(faultOfToolName(name)).not.toBeNull();
  }
});
