import { act, fireEvent, screen, waitFor } from "@testing-library/react";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Flowchart } from "../../../api/aliases";
import { at, edge, node } from "../../../test/graphs";
import { type Sent, serve, show } from "../../../test/render";
import { useEditor } from "../store";
import { Editor } from "./editor";

// The canvas needs a layout; what is saved and guarded does not need the canvas.
vi.mock("./canvas", () => ({ Canvas: () => null, dragType: "x" }));

const flowchart: Flowchart = {
  id: 7,
  name: "Weekly report",
  description: "",
  version: 3,
  max_node_executions: null,
  max_runtime_minutes: null,
  max_parallel_nodes: null,
  node_count: 2,
  last_run: null,
  created_at: at(0),
  updated_at: at(0),
  deleted_at: null,
};
const graph = {
  nodes: [node("start", "start"), node("end", "end", {}, "The end")],
  edges: [edge("e1", "start", "end")],
};
const valid = { valid: true, errors: [] };
const stored = (version: number) => ({
  flowchart_id: 7,
  version,
  ...graph,
  validation: valid,
  created_at: at(0),
});
const stale = { status: 412, body: { detail: "There is a newer version.", code: "precondition" } };

const puts = (sent: Sent[]) => sent.filter((s) => s.method === "PUT");
const press = (name: string) => fireEvent.click(screen.getByRole("button", { name }));

async function open() {
  useEditor.getState().open(7, graph, 3, '"3"', valid);
  const view = await show(<Editor flowchart={flowchart} />);
  act(() => useEditor.getState().setTitle("end", "Changed"));
  await screen.findByText("Unsaved changes");
  return view;
}

beforeEach(() => {
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      unobserve() {}
      disconnect() {}
    },
  );
});

const others = {
  "GET /flowcharts/7": { body: flowchart },
  "GET /models": { body: { items: [], next_cursor: null } },
  "POST /flowcharts/7/validate": { body: valid },
};

describe("saving in the editor", () => {
  it("sends what was seen, and is quiet when it worked", async () => {
    const sent = serve({ ...others, "PUT /flowcharts/7/graph": { body: stored(4), etag: '"4"' } });
    await open();
    press("Save");
    await waitFor(() => expect(screen.queryByText("Unsaved changes")).toBeNull());
    expect(puts(sent)[0]?.headers.get("if-match")).toBe('"3"');
    expect(puts(sent)[0]?.body).toMatchObject({ nodes: [{ id: "start" }, { id: "end", title: "Changed" }] });
    expect(useEditor.getState()).toMatchObject({ version: 4, etag: '"4"' });
    expect(screen.queryByRole("dialog")).toBeNull();
  });

  it("asks when somebody else stored a version, and overwrites only when told to", async () => {
    const sent = serve({
      ...others,
      "PUT /flowcharts/7/graph": (one) =>
        one.headers.get("if-match") ? stale : { body: stored(5), etag: '"5"' },
    });
    await open();
    press("Save");
    expect((await screen.findByRole("dialog")).textContent).toContain("There is a newer version");
    expect(screen.getByText("Unsaved changes")).toBeTruthy();
    press("Save mine");
    await waitFor(() => expect(useEditor.getState().version).toBe(5));
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(puts(sent).map((s) => s.headers.get("if-match"))).toEqual(['"3"', null]);
  });

  it("goes on editing with nothing lost", async () => {
    serve({ ...others, "PUT /flowcharts/7/graph": stale });
    await open();
    press("Save");
    await screen.findByRole("dialog");
    press("Go on editing");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(useEditor.getState().history.present.nodes[1]?.title).toBe("Changed");
    expect(screen.getByText("Unsaved changes")).toBeTruthy();
  });

  it("opens theirs when mine is discarded", async () => {
    serve({ ...others, "PUT /flowcharts/7/graph": stale, "GET /flowcharts/7/graph": { body: stored(4) } });
    await open();
    press("Save");
    await screen.findByRole("dialog");
    press("Discard mine, open theirs");
    // The page, which loads the graph, opens it again once this is so.
    await waitFor(() => expect(useEditor.getState().flowchartId).toBe(0));
  });

  it("says what else went wrong, with the request id", async () => {
    const body = { detail: "The graph has too many nodes.", request_id: "r-8" };
    serve({ ...others, "PUT /flowcharts/7/graph": { status: 422, body } });
    await open();
    press("Save");
    expect(await screen.findByText("The flowchart was not saved")).toBeTruthy();
    expect(screen.getByText("r-8")).toBeTruthy();
    expect(screen.queryByRole("dialog")).toBeNull();
  });
});

describe("leaving the editor", () => {
  const leave = () => screen.getByRole("link", { name: "Flowcharts" });

  it("asks while something is unsaved, and stays when told to", async () => {
    serve(others);
    await open();
    fireEvent.click(leave());
    expect((await screen.findByRole("dialog")).textContent).toContain("Unsaved changes");
    press("Stay");
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(leave()).toBeTruthy();
  });

  it("leaves without saving when told to", async () => {
    const sent = serve(others);
    await open();
    fireEvent.click(leave());
    await screen.findByRole("dialog");
    press("Leave without saving");
    await screen.findByText("elsewhere: /flowcharts");
    expect(puts(sent)).toEqual([]);
  });

  it("saves and leaves", async () => {
    const sent = serve({ ...others, "PUT /flowcharts/7/graph": { body: stored(4), etag: '"4"' } });
    await open();
    fireEvent.click(leave());
    await screen.findByRole("dialog");
    press("Save and leave");
    await screen.findByText("elsewhere: /flowcharts");
    expect(puts(sent)).toHaveLength(1);
  });

  it("does not ask when there is nothing to lose", async () => {
    serve(others);
    await open();
    act(() => useEditor.getState().undo());
    await waitFor(() => expect(screen.queryByText("Unsaved changes")).toBeNull());
    fireEvent.click(leave());
    await screen.findByText("elsewhere: /flowcharts");
  });
});
