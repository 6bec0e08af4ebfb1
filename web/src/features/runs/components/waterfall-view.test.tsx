import { fireEvent, screen } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import type { TimelineAttempt } from "../../../api/aliases";
import { at, edge } from "../../../test/graphs";
import { show } from "../../../test/render";
import { WaterfallView } from "./waterfall-view";

const attempt = (
  id: number,
  title: string,
  from: number,
  to: number,
  more: Partial<TimelineAttempt> = {},
) => ({
  node_run_id: id,
  flowchart_node_id: title.toLowerCase(),
  title,
  kind: "task" as const,
  execution_index: 1,
  attempt: 1,
  status: "succeeded" as const,
  executor: "inline",
  worker: "w1",
  queued_at: at(from),
  claimed_at: at(from + 100),
  started_at: at(from + 200),
  first_token_at: at(from + 300),
  finished_at: at(to),
  error: null,
  usage: null,
  ...more,
});

const attempts = [
  attempt(1, "Read", 0, 1_000, { status: "failed" }),
  attempt(1, "Read", 1_000, 2_000, { attempt: 2 }),
  attempt(2, "Side", 2_000, 2_500),
  attempt(3, "Write", 2_000, 4_000),
];
const edges = [edge("e1", "read", "side"), edge("e2", "read", "write")];

const open = (list: TimelineAttempt[], onSelect = vi.fn()) =>
  show(
    <WaterfallView
      attempts={list}
      edges={edges}
      from={at(0)}
      live={false}
      selected={3}
      onSelect={onSelect}
    />,
  );

const bar = (row: HTMLElement, name: string) => row.querySelector<HTMLElement>(`[class*=${name}]`);

describe("the waterfall", () => {
  it("has a row for each attempt, tries of one node below each other", async () => {
    await open(attempts);
    const rows = screen.getAllByRole("button");
    expect(rows.map((row) => row.textContent)).toEqual([
      expect.stringMatching(/^Read1.0 s$/),
      expect.stringMatching(/^Readtry 21.0 s$/),
      expect.stringMatching(/^Side500 ms$/),
      expect.stringMatching(/^Write2.0 s$/),
    ]);
    expect(rows.map((row) => row.hasAttribute("data-selected"))).toEqual([false, false, false, true]);
  });

  it("puts the bars on one scale and outlines what decided the length", async () => {
    await open(attempts);
    const [, second, side, write] = screen.getAllByRole("button");
    if (!second || !side || !write) throw new Error("rows are missing");
    expect(bar(second, "bar")?.style).toMatchObject({ left: "25%", width: "25%" });
    expect(bar(write, "bar")?.style).toMatchObject({ left: "50%", width: "50%" });
    expect(bar(write, "bar")?.hasAttribute("data-critical")).toBe(true);
    expect(bar(side, "bar")?.hasAttribute("data-critical")).toBe(false);
    const kinds = [...write.querySelectorAll("[data-kind]")].map((s) => s.getAttribute("data-kind"));
    expect(kinds).toEqual(["queued", "dispatch", "running", "streaming"]);
  });

  it("leads to the node run", async () => {
    const onSelect = vi.fn();
    await open(attempts, onSelect);
    fireEvent.click(screen.getByRole("button", { name: /Side/ }));
    expect(onSelect).toHaveBeenCalledWith(2);
  });

  it("says what will be here before anything was tried", async () => {
    await open([]);
    expect(screen.getByText(/Nothing has been tried yet/)).toBeTruthy();
    expect(screen.queryByText("critical path")).toBeNull();
  });
});
