import { fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import type { ListedNode, NodeDetail, NodeTask, Stage } from "../../../api/aliases";
import { attempt, task } from "../../../test/attempts";
import { at, logItem, nodeRun } from "../../../test/graphs";
import { serve, show } from "../../../test/render";
import { NodeActions } from "./node-actions";
import { NodeTable } from "./node-table";
import { NodeView } from "./node-view";
import { QuickNode } from "./quick-node";

const quick = (more: Partial<NodeTask> = {}): NodeTask =>
  task({ flowchart_id: null, flowchart_run_id: null, flowchart_node_id: "quick", ...more });

const stage = (key: string, label: string, status: Stage["status"]): Stage => ({
  key,
  label,
  status,
  started_at: status === "pending" ? null : at(0),
  finished_at: null,
  log_lines: 0,
});

const detail = (of: NodeTask): NodeDetail => ({
  task: of,
  stages: [stage("init", "Init", "succeeded"), stage("llm_query", "RAG Indexing", "running")],
  as_of: { stream: `task:${of.id}`, sequence: 3 },
});

const listed = (more: Partial<ListedNode> = {}): ListedNode => ({
  ...nodeRun(),
  flowchart_id: null,
  flowchart_run_id: null,
  execution_mode: null,
  queue: "llmctl_studio",
  retry_of: null,
  ...more,
});

const models = {
  body: {
    items: [
      { id: 1, name: "small", provider_name: "Local" },
      { id: 2, name: "large", provider_name: "Far" },
    ],
    next_cursor: null,
  },
};

it("shows the stages with the server's labels, the words as they come, and the node's own events", async () => {
  const of = quick({
    status: "running",
    current_stage: "llm_query",
    execution_mode: "indexing",
    kind: "rag",
    attempt: 1,
  });
  const sent = serve({
    [`GET /nodes/${of.id}/logs`]: {
      body: { items: [logItem(1, "delta", "Half a "), logItem(2, "delta", "sentence")], next_cursor: null },
    },
    [`GET /nodes/${of.id}/artifacts`]: { body: { items: [] } },
    "GET /events": {
      body: {
        items: [
          {
            sequence: 1,
            entity_kind: "task",
            entity_id: String(of.id),
            event_type: "node:task:updated",
            emitted_at: at(0),
            payload: { transition: "queued" },
          },
        ],
      },
    },
  });
  const tab = vi.fn();
  const view = await show(<NodeView detail={detail(of)} tab="output" onTab={tab} />);
  expect((await screen.findByText("Half a sentence")).textContent).toBe("Half a sentence");
  expect(screen.getByRole("status").textContent).toBe("RAG Indexing");
  expect(screen.getByText("rag, indexing")).toBeTruthy();
  expect(screen.getByRole("list", { name: "Stages" }).textContent).toContain("Init");
  fireEvent.click(screen.getByRole("tab", { name: "Events" }));
  expect(tab).toHaveBeenCalledWith("events");
  view.unmount();
  await show(<NodeView detail={detail(of)} tab="events" onTab={tab} />);
  await screen.findByText("queued");
  expect(sent.some((s) => s.path === "/events" || s.path.startsWith("/events?"))).toBe(true);
});

it("tells of the attempts of a node without a run", async () => {
  const of = quick({ status: "failed", attempts: [attempt({ status: "lost", ended: "worker_died" })] });
  serve({ [`GET /nodes/${of.id}/logs`]: { body: { items: [], next_cursor: null } } });
  await show(<NodeView detail={detail(of)} tab="attempts" onTab={() => {}} />);
  expect(await screen.findByText(/Held by/)).toBeTruthy();
});

it("cancels after asking, and runs again as a new node", async () => {
  const running = quick({ status: "running", title: "Ask" });
  const sent = serve({
    [`POST /nodes/${running.id}/cancel`]: { status: 202, body: { task: listed(), cancellation: null } },
    [`POST /nodes/${running.id}/retry`]: { status: 202, body: { task: listed({ id: 99 }) } },
  });
  const { unmount } = await show(<NodeActions task={running} />);
  fireEvent.click(screen.getByRole("button", { name: "Run again" }));
  expect(sent).toEqual([]); // it goes on
  fireEvent.click(screen.getByRole("button", { name: "Cancel" }));
  fireEvent.click(await screen.findByRole("button", { name: "Cancel the node" }));
  await waitFor(() => expect(sent.map((s) => s.path)).toEqual([`/nodes/${running.id}/cancel`]));
  unmount();
  await show(<NodeActions task={quick({ status: "failed" })} />);
  expect(screen.queryByRole("button", { name: "Cancel" })).toBeNull();
  fireEvent.click(screen.getByRole("button", { name: "Run again" }));
  await screen.findByText("elsewhere: /nodes/99");
  expect(sent.at(-1)?.headers.get("Idempotency-Key")).toBeTruthy();
});

it("leads to the run of a node that has one", async () => {
  await show(<NodeActions task={task({ flowchart_run_id: 5 })} />);
  expect(screen.getByRole("link", { name: "Open its run" }).getAttribute("href")).toContain("/runs/5");
});

it("runs what was filled in, and says what was refused", async () => {
  const started = vi.fn();
  const sent = serve({
    "GET /models": models,
    "POST /nodes": { status: 202, body: { task: listed({ id: 7 }) } },
  });
  await show(<QuickNode onStarted={started} />);
  const run = () => screen.getByRole<HTMLButtonElement>("button", { name: "Run" });
  fireEvent.change(screen.getByLabelText("Prompt"), { target: { value: "Say {{ it }}" } });
  expect(run().disabled).toBe(true);
  fireEvent.click(screen.getByRole("combobox", { name: "Model" }));
  fireEvent.click(await screen.findByRole("option", { name: "large (Far)" }));
  fireEvent.click(run());
  await waitFor(() => expect(started).toHaveBeenCalledWith(expect.objectContaining({ id: 7 })));
  expect(sent.at(-1)?.body).toEqual({ prompt: "Say {{ it }}", model_id: 2 });
  expect(sent.at(-1)?.headers.get("Idempotency-Key")).toBeTruthy();

  const refusal = {
    code: "conflict",
    reason: "run.old_worker",
    detail: "Update the workers, then try again.",
  };
  serve({ "GET /models": models, "POST /nodes": { status: 409, body: refusal } });
  fireEvent.click(run());
  expect((await screen.findByRole("alert")).textContent).toContain("Update the workers");
});

it("lists nodes with what went wrong", async () => {
  const error = { code: "exit", message: "It broke.", retryable: false };
  await show(
    <NodeTable items={[listed({ id: 3, title: "Ask", status: "failed", error, execution_mode: "query" })]} />,
  );
  expect(screen.getByRole("link", { name: "Ask" }).getAttribute("href")).toContain("/nodes/3");
  expect(screen.getByText("It broke.")).toBeTruthy();
  expect(screen.getByText("Query")).toBeTruthy();
});
