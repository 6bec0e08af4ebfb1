import { fireEvent, screen, waitFor } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { Flowchart } from "../../../api/aliases";
import { at } from "../../../test/graphs";
import { serve, show } from "../../../test/render";
import { FlowchartTable } from "./flowchart-table";

const flowchart: Flowchart = {
  id: 7,
  name: "Weekly report",
  description: "",
  version: 3,
  max_node_executions: null,
  max_runtime_minutes: null,
  max_parallel_nodes: null,
  node_count: 4,
  last_run: { id: 9, status: "failed", created_at: at(0) },
  created_at: at(0),
  updated_at: at(0),
  deleted_at: null,
};

const calls = (sent: { method: string; path: string }[]) => sent.map((s) => `${s.method} ${s.path}`);

describe("the list of flowcharts", () => {
  it("deletes without asking and takes it back when asked to", async () => {
    const sent = serve({
      "DELETE /flowcharts/7": { status: 204 },
      "POST /flowcharts/7/restore": { body: flowchart },
    });
    await show(<FlowchartTable items={[flowchart]} />);
    fireEvent.click(screen.getByRole("button", { name: "Delete Weekly report" }));
    const undo = await screen.findByRole("button", { name: "Undo" });
    expect(screen.getByText("“Weekly report” was deleted.")).toBeTruthy();
    expect(calls(sent)).toEqual(["DELETE /flowcharts/7"]);
    fireEvent.click(undo);
    await waitFor(() => expect(calls(sent)).toEqual(["DELETE /flowcharts/7", "POST /flowcharts/7/restore"]));
  });

  it("says that it was not deleted, why, and by which request", async () => {
    serve({
      "DELETE /flowcharts/7": { status: 409, body: { detail: "It is running.", request_id: "r-3" } },
    });
    await show(<FlowchartTable items={[flowchart]} />);
    fireEvent.click(screen.getByRole("button", { name: "Delete Weekly report" }));
    expect(await screen.findByText("The flowchart was not deleted")).toBeTruthy();
    expect(screen.getByText("It is running.")).toBeTruthy();
    expect(screen.getByText("r-3")).toBeTruthy();
    expect(screen.getByRole("link", { name: "Weekly report" })).toBeTruthy();
  });

  it("links the row and its last run", async () => {
    await show(<FlowchartTable items={[flowchart]} />);
    expect(screen.getByRole("link", { name: "Weekly report" }).getAttribute("href")).toBe("/flowcharts/7");
    expect(screen.getByRole("link", { name: /Failed/ }).getAttribute("href")).toBe("/runs/9");
  });
});
