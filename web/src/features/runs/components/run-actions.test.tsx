import { fireEvent, screen, waitFor } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { FlowchartRun, NodeRun } from "../../../api/aliases";
import { flowchartRun, nodeRun } from "../../../test/graphs";
import { serve, show } from "../../../test/render";
import { useRunControl } from "../use-control";
import { RunActions } from "./run-actions";

function Actions({ run, nodes }: { run: FlowchartRun; nodes: NodeRun[] }) {
  const detail = { flowchart_run: run, node_runs: nodes, as_of: { stream: "flowchart_run:5", sequence: 1 } };
  return <RunActions detail={detail} control={useRunControl(run.id)} />;
}

const open = (more: Partial<FlowchartRun>, nodes: NodeRun[] = []) =>
  show(<Actions run={flowchartRun({ finished_at: null, ...more })} nodes={nodes} />);

const button = (name: string) => screen.getByRole("button", { name });

describe("the actions of a run", () => {
  it("pauses, and takes it back", async () => {
    const sent = serve({ "POST /flowchart-runs/5/pause": {}, "POST /flowchart-runs/5/resume": {} });
    await open({ status: "running" });
    fireEvent.click(button("Pause"));
    fireEvent.click(await screen.findByRole("button", { name: "Undo" }));
    await waitFor(() =>
      expect(sent.map((s) => s.path)).toEqual(["/flowchart-runs/5/pause", "/flowchart-runs/5/resume"]),
    );
  });

  it("pauses and resumes by the key P", async () => {
    const sent = serve({ "POST /flowchart-runs/5/resume": {} });
    await open({ status: "paused" });
    expect(screen.queryByRole("button", { name: "Pause" })).toBeNull();
    fireEvent.keyDown(document.documentElement, { key: "p", code: "KeyP" });
    await waitFor(() => expect(sent.map((s) => s.path)).toEqual(["/flowchart-runs/5/resume"]));
  });

  it("asks before it cancels, and says what is stopped", async () => {
    const sent = serve({ "POST /flowchart-runs/5/cancel": {} });
    await open({ status: "running" }, [
      nodeRun({ status: "running" }),
      nodeRun({ id: 12, status: "running" }),
    ]);
    fireEvent.click(button("Cancel"));
    const dialog = await screen.findByRole("dialog", { name: "Cancel run 5?" });
    expect(dialog.textContent).toContain("2 nodes run and are stopped.");
    expect(sent).toEqual([]);
    fireEvent.click(button("Cancel the run"));
    await waitFor(() => expect(sent.map((s) => s.path)).toEqual(["/flowchart-runs/5/cancel"]));
  });

  it("does not do what is impossible, and says why", async () => {
    const sent = serve({});
    await open({ status: "cancelling" });
    for (const name of ["Pause", "Cancel", "Retry"]) {
      expect(button(name).getAttribute("aria-disabled")).toBe("true");
      fireEvent.click(button(name));
    }
    fireEvent.mouseEnter(button("Retry"));
    expect(await screen.findByText("The run goes on. Cancel it, or wait for its end.")).toBeTruthy();
    expect(sent).toEqual([]);
  });

  it("retries a run that has ended and goes to the new one", async () => {
    const sent = serve({
      "POST /flowchart-runs/5/retry": { body: { flowchart_run: flowchartRun({ id: 9 }) } },
    });
    await open({ status: "failed", finished_at: flowchartRun().finished_at });
    expect(screen.queryByRole("button", { name: "Cancel" })).toBeNull();
    fireEvent.click(button("Retry"));
    expect(await screen.findByText("elsewhere: /runs/9")).toBeTruthy();
    expect(sent[0]?.body).toEqual({});
    expect(sent[0]?.headers.get("idempotency-key")).toBeTruthy();
  });

  it("links a run and those that retry it", async () => {
    serve({});
    await open({ status: "succeeded", retry_of: 3, retry_from: 44, retried_by: [9, 8, 7, 6] });
    const hrefs = screen.getAllByRole("link").map((a) => a.getAttribute("href"));
    expect(hrefs).toEqual(["/runs/3", "/runs/9", "/runs/8", "/runs/7"]);
    expect(screen.getByText(/Continues/)).toBeTruthy();
  });
});
