import { fireEvent, screen, within } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import type { Receipt } from "../../../api/aliases";
import { at } from "../../../test/graphs";
import { show } from "../../../test/render";
import { Stopped } from "./stopped";

const receipt = (more: Partial<Receipt>): Receipt => ({
  node_run_id: 11,
  flowchart_node_id: "ask",
  title: "Ask",
  attempt: 1,
  worker: { id: "w", hostname: "alpha", pid: 42 },
  executor: "inline",
  asked_at: at(0),
  confirmed_at: null,
  how: null,
  ...more,
});

describe("what was stopped", () => {
  it("says of each who was asked and how it ended", async () => {
    const onNode = vi.fn();
    const receipts = [
      receipt({}),
      receipt({ node_run_id: 12, title: "Call", confirmed_at: at(400), how: "stopped" }),
      receipt({
        node_run_id: 13,
        title: "Later",
        attempt: 0,
        worker: null,
        executor: "",
        confirmed_at: at(0),
        how: "never began",
      }),
    ];
    await show(
      <Stopped
        cancellation={{ asked_at: at(0), asked: 3, confirmed: 2, receipts }}
        status="cancelling"
        onNode={onNode}
      />,
    );
    expect(screen.getByRole("status").textContent).toBe("2 of 3 confirmed");
    const [, first, second, third] = screen.getAllByRole("row");
    expect(first?.textContent).toContain("alpha, process 42, executor inline");
    expect(first?.textContent).toContain("asked, not confirmed");
    expect(second?.textContent).toContain("400 ms");
    expect(third?.textContent).toContain("Nobody held it");
    fireEvent.click(within(second as HTMLElement).getByRole("button", { name: "Call" }));
    expect(onNode).toHaveBeenCalledWith(12);
  });

  it("is not there when nothing was asked", async () => {
    await show(
      <Stopped
        cancellation={{ asked_at: at(0), asked: 0, confirmed: 0, receipts: [] }}
        status="cancelled"
        onNode={() => undefined}
      />,
    );
    expect(screen.queryByText("What was stopped")).toBeNull();
  });
});
