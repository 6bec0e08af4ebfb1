import { fireEvent, screen, waitFor } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import type { FlowchartRun, NodeRun } from "../../../api/aliases";
import { flowchartRun, nodeRun } from "../../../test/graphs";
import { serve, show } from "../../../test/render";
import { useRunControl } from "../use-control";
import { NodeMenuAt, NodeMenuButton } from "./node-menu";

interface Given {
  flowchartRun: FlowchartRun;
  run: NodeRun;
}

const ByButton = (given: Given) => <NodeMenuButton {...given} control={useRunControl(5)} />;

const ByPlace = ({ onClose, ...given }: Given & { onClose: () => void }) => (
  <NodeMenuAt
    {...given}
    control={useRunControl(5)}
    place={{ id: given.run.id, title: "Ask", x: 10, y: 10 }}
    onClose={onClose}
  />
);

const item = (name: RegExp) => screen.findByRole("menuitem", { name });

describe("the menu of a node", () => {
  it("retries from the node, on the run's version or the newest", async () => {
    const sent = serve({
      "POST /flowchart-runs/5/retry": { body: { flowchart_run: flowchartRun({ id: 9 }) } },
    });
    const run = flowchartRun({ status: "failed", version: 1, newest_version: 4 });
    const { unmount } = await show(<ByButton flowchartRun={run} run={nodeRun()} />);
    fireEvent.click(screen.getByRole("button", { name: "Actions of Ask" }));
    fireEvent.click(await item(/^Retry from here on version 4/));
    expect(await screen.findByText("elsewhere: /runs/9")).toBeTruthy();
    unmount();
    await show(<ByButton flowchartRun={run} run={nodeRun()} />);
    fireEvent.click(screen.getByRole("button", { name: "Actions of Ask" }));
    fireEvent.click(await item(/^Retry from here(?! on)/));
    expect(await screen.findByText("elsewhere: /runs/9")).toBeTruthy();
    expect(sent.map((s) => s.body)).toEqual([{ from_node_run_id: 11, version: 4 }, { from_node_run_id: 11 }]);
  });

  it("says why it cannot, and offers no other version where there is none", async () => {
    serve({});
    const run = flowchartRun({ status: "running", finished_at: null, newest_version: 1 });
    await show(<ByButton flowchartRun={run} run={nodeRun()} />);
    fireEvent.click(screen.getByRole("button", { name: "Actions of Ask" }));
    const retry = await item(/^Retry from here/);
    expect(retry.hasAttribute("data-disabled")).toBe(true);
    expect(retry.textContent).toContain("The run goes on.");
    expect((await item(/^Cancel this node/)).textContent).toContain("The node does not run.");
    expect(screen.queryByText(/on version/)).toBeNull();
  });

  it("says why a retry was refused", async () => {
    const detail = 'The version differs before "Ask".';
    serve({
      "POST /flowchart-runs/5/retry": { status: 409, body: { status: 409, detail, code: "conflict" } },
    });
    await show(<ByButton flowchartRun={flowchartRun()} run={nodeRun()} />);
    fireEvent.click(screen.getByRole("button", { name: "Actions of Ask" }));
    fireEvent.click(await item(/^Retry from here/));
    expect(await screen.findByText(detail)).toBeTruthy();
  });

  it("asks before it cancels a node, wherever it was opened", async () => {
    const sent = serve({ "POST /nodes/11/cancel": {} });
    const onClose = vi.fn();
    const run = flowchartRun({ status: "running", finished_at: null });
    await show(
      <ByPlace
        flowchartRun={run}
        run={nodeRun({ status: "running", finished_at: null })}
        onClose={onClose}
      />,
    );
    fireEvent.click(await item(/^Cancel this node/));
    const dialog = await screen.findByRole("dialog", { name: 'Cancel "Ask"?' });
    expect(dialog.textContent).toContain("what only this node leads to is skipped");
    fireEvent.click(screen.getByRole("button", { name: "Cancel the node" }));
    await waitFor(() => expect(sent.map((s) => s.path)).toEqual(["/nodes/11/cancel"]));
    await waitFor(() => expect(onClose).toHaveBeenCalled());
  });
});
