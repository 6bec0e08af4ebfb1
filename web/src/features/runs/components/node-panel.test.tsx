import { fireEvent, screen } from "@testing-library/react";
import { useState } from "react";
import { describe, expect, it } from "vitest";
import type { Artifact, LogItem, NodeRun } from "../../../api/aliases";
import { flowchartRun, logItem, nodeRun } from "../../../test/graphs";
import { serve, show } from "../../../test/render";
import { runKeys } from "../api";
import type { PanelTab } from "../tabs";
import { useRunControl } from "../use-control";
import { NodePanel } from "./node-panel";

function Panel({ runs }: { runs: NodeRun[] }) {
  const [tab, setTab] = useState<PanelTab>("output");
  const [id, setId] = useState(runs.at(-1)?.id);
  const control = useRunControl(5);
  const run = runs.find((r) => r.id === id);
  if (!run) return null;
  return (
    <NodePanel
      flowchartRun={flowchartRun()}
      runs={runs}
      run={run}
      tab={tab}
      control={control}
      onTab={setTab}
      onRun={setId}
    />
  );
}

function open(runs: NodeRun[], logs: LogItem[] = [], artifacts: Artifact[] = []) {
  serve({
    ...Object.fromEntries(
      runs.flatMap((r) => [
        [`GET /nodes/${r.id}/artifacts`, { body: { items: artifacts } }],
        [`GET /nodes/${r.id}/output`, { body: { rows: "many" } }],
        [`GET /nodes/${r.id}/logs`, { body: { items: logs, next_cursor: null } }],
        [
          `GET /nodes/${r.id}`,
          {
            body: {
              task: { ...r, attempts: [], input_context: { text: "what came in" } },
              stages: [],
              as_of: { stream: "", sequence: 0 },
            },
          },
        ],
      ]),
    ),
    "GET /events": {
      body: {
        items: [
          {
            sequence: 3,
            entity_kind: "task",
            entity_id: "11",
            event_type: "node:task:updated",
            emitted_at: nodeRun().created_at,
            payload: { transition: "queued to running" },
          },
          { sequence: 4, entity_kind: "task", entity_id: "99", event_type: "other", payload: {} },
        ],
      },
    },
  });
  return show(<Panel runs={runs} />);
}

const tab = (name: string) => fireEvent.click(screen.getByRole("tab", { name }));

describe("the node panel", () => {
  it("shows text as text and other output as JSON", async () => {
    const { unmount } = await open([nodeRun({ output_state: { text: "A summary." } })]);
    expect(await screen.findByText("A summary.")).toBeTruthy();
    unmount();
    await open([nodeRun({ output_state: { exit_code: 0 } })]);
    expect((await screen.findByText(/exit_code/)).textContent).toContain('"exit_code": 0');
  });

  it("shows a model's words as they come, of this attempt only", async () => {
    const live = nodeRun({ status: "running", finished_at: null });
    const { cache } = await open(
      [live],
      [{ ...logItem(1, "delta", "old "), attempt: 0 }, logItem(2, "delta", "Once ")],
    );
    const text = await screen.findByText("Once");
    const arrived = [
      logItem(2, "delta", "Once "),
      logItem(3, "log", "a line"),
      logItem(4, "delta", "upon a time"),
    ];
    cache.setQueryData(runKeys.logs(live.id), arrived);
    expect(await screen.findByText("Once upon a time")).toBe(text);
    expect(text.hasAttribute("data-live")).toBe(true);
  });

  it("says why a node failed and what is known about it", async () => {
    const error = {
      code: "exit_status",
      message: "It ended with 3.",
      retryable: true,
      details: { exit_code: 3 },
    };
    await open([nodeRun({ status: "failed", error })]);
    const alert = await screen.findByRole("alert");
    expect(alert.textContent).toContain("It ended with 3.");
    expect(alert.textContent).toContain("exit_status, worth trying again");
    expect(alert.textContent).toContain('"exit_code": 3');
    expect(screen.getByText("It gave no output.")).toBeTruthy();
  });

  it("has input, logs and events, each of this node run", async () => {
    await open([nodeRun()], [logItem(1, "log", "first line\n"), logItem(2, "delta", "not a log")]);
    tab("Input");
    expect((await screen.findByText(/what came in/)).textContent).toContain("what came in");
    tab("Logs");
    expect(await screen.findByText("first line")).toBeTruthy();
    expect(screen.queryByText("not a log")).toBeNull();
    tab("Events");
    expect(await screen.findByText("queued to running")).toBeTruthy();
    expect(screen.queryByText("other")).toBeNull();
  });

  it("folds an output that is kept apart, and loads it when asked to", async () => {
    await open([nodeRun({ output_omitted: true, output_bytes: 300 * 1024 })]);
    expect((await screen.findByText("The output is large")).textContent).toContain("300.0 KiB");
    const link = screen.getByRole("link", { name: "Download the output" });
    expect(link.getAttribute("href")).toBe("/api/nodes/11/output");
    expect(screen.queryByText(/many/)).toBeNull();
    fireEvent.click(screen.getByRole("button", { name: "Show" }));
    expect(await screen.findByText(/many/)).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "Hide" }));
    expect(screen.queryByText(/many/)).toBeNull();
  });

  it("only offers what is very large as a download", async () => {
    await open([nodeRun({ output_omitted: true, output_bytes: 40 << 20 })]);
    expect(await screen.findByText("40.0 MiB")).toBeTruthy();
    expect(screen.queryByRole("button", { name: "Show" })).toBeNull();
  });

  it("lists the files that a node left behind", async () => {
    const file = {
      id: 3,
      task_id: 11,
      flowchart_run_id: 5,
      attempt: 1,
      name: "report.csv",
      kind: "file",
      media_type: "text/csv",
      size: 2_048,
      sha256: "",
      created_at: nodeRun().created_at,
    };
    await open([nodeRun({ output_state: { text: "Done." } })], [], [file]);
    const link = await screen.findByRole("link", { name: "Download report.csv" });
    expect(link.getAttribute("href")).toBe("/api/artifacts/3/content");
    expect(link.closest("li")?.textContent).toContain("2.0 KiB · text/csv");
  });

  it("says that there is nothing yet while it runs", async () => {
    await open([nodeRun({ status: "queued", started_at: null, finished_at: null })]);
    expect(await screen.findByText("No output yet.")).toBeTruthy();
    tab("Logs");
    expect(await screen.findByText("Nothing was logged yet.")).toBeTruthy();
  });
});
