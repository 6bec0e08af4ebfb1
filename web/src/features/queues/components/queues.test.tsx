import { fireEvent, screen, within } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import { bounds, dead, heat, queue, queueList, slot, times, worker } from "../../../test/queues";
import { serve, show } from "../../../test/render";
import { DeadSection } from "./dead";
import { Notices, Tiles } from "./figures";
import { QueueDrawer } from "./queue-drawer";
import { QueueHold } from "./queue-hold";
import { QueueTable } from "./queue-table";
import { WorkersSection } from "./workers";

const workers = (...items: ReturnType<typeof worker>[]) => ({
  at: "",
  items,
  next_cursor: null,
  slots: { total: 4, busy: 0 },
});

describe("the queues", () => {
  it("shows what waits, how fast it goes, and who takes it", async () => {
    const waited = times({ count: 4, p50_seconds: 0.002, p95_seconds: 1.5, p99_seconds: 2 });
    waited.counts[1] = 4;
    const one = queue({
      waiting: 1234,
      waiting_seconds: 75,
      running: 3,
      dead: 2,
      waited,
      enqueued_per_minute: { m1: 1, m5: 12.5, m60: 2 },
    });
    await show(<QueueTable queues={[one]} manages={false} />);
    const [, row] = await screen.findAllByRole("row");
    if (!row) throw new Error("the row is missing");
    for (const text of ["Runs", "llmctl_studio", "Working", "4 slots, 1 worker", "oldest 1 min 15 s"])
      within(row).getByText(text);
    within(row).getByText(/1,234/);
    within(row).getByRole("img", { name: /half within 2 ms, 95% within 1\.5 s/ });
    within(row).getByRole("link", { name: "2 dead of Runs" });
    expect(within(row).queryByRole("button")).toBeNull();
  });

  it("is paused and resumed by administrators", async () => {
    const sent = serve({ "POST /queues/llmctl_studio/pause": { body: queue() } });
    await show(<QueueTable queues={[queue()]} manages />);
    fireEvent.click(await screen.findByRole("button", { name: "Pause Runs" }));
    await vi.waitFor(() => expect(sent.map((s) => s.path)).toEqual(["/queues/llmctl_studio/pause"]));
  });

  it("says why a pause failed", async () => {
    serve({
      "POST /queues/llmctl_studio/resume": { status: 403, body: { detail: "Ask an administrator." } },
    });
    await show(
      <QueueTable queues={[queue({ paused: { since: "2026-01-02T03:00:00Z", by: "" } })]} manages />,
    );
    fireEvent.click(await screen.findByRole("button", { name: "Resume Runs" }));
    await screen.findByText(/Ask an administrator/);
  });

  it("tells of jobs that nobody takes", async () => {
    const stuck = queue({
      name: "llmctl_studio.rag.git",
      no_consumer: true,
      consumers: 0,
      notice: "1 job waits and no worker takes this queue. Start one.",
    });
    await show(
      <>
        <Notices queues={[queue(), stuck]} workers={workers(worker())} />
        <Tiles queues={queueList(queue({ waiting: 2 }), stuck)} />
      </>,
    );
    const line = (await screen.findByText("Git:")).closest("li");
    expect(line?.textContent).toMatch(/no worker takes this queue/);
    expect(line?.closest("[role=alert]")).not.toBeNull();
    screen.getByText("1 / 4");
  });
});

describe("a queue", () => {
  const detail = { ...queue({ waiting: 1 }), at: "", bounds_seconds: bounds, heat: heat() };

  it("lists its jobs by state", async () => {
    const job = {
      id: 9,
      kind: "node",
      attempt: 0,
      queued_at: new Date().toISOString(),
      due_at: new Date().toISOString(),
      worker: "",
      target: dead().target,
    };
    serve({
      "GET /queues/llmctl_studio": { body: detail },
      "GET /queues/llmctl_studio/jobs": { body: { items: [job], next_cursor: null } },
    });
    const onState = vi.fn();
    await show(<QueueDrawer name="llmctl_studio" state="waiting" onState={onState} onClose={() => {}} />);
    const link = await screen.findByRole("link", { name: "Wrap up" });
    expect(link.getAttribute("href")).toBe("/runs/7?node=55");
    fireEvent.click(screen.getByRole("radio", { name: "Running 0" }));
    expect(onState).toHaveBeenCalledWith("running");
  });

  it("leads to the downloads that its jobs are of", async () => {
    const target = {
      kind: "download",
      id: 9,
      flowchart_run_id: null,
      flowchart_id: null,
      flowchart_name: "",
      node_kind: "",
      title: "o/m",
      status: "queued",
    };
    const job = { id: 4, kind: "download", attempt: 1, queued_at: "", due_at: "", worker: "", target };
    serve({
      "GET /queues/llmctl_studio": { body: detail },
      "GET /queues/llmctl_studio/jobs": { body: { items: [job], next_cursor: null } },
    });
    await show(<QueueDrawer name="llmctl_studio" state="waiting" onState={() => {}} onClose={() => {}} />);
    const link = await screen.findByRole("link", { name: "o/m" });
    expect(link.getAttribute("href")).toBe("/downloads/9");
  });

  it("says that there is none of the name", async () => {
    serve({ "GET /queues/nope": { status: 404, body: { detail: "There is no queue nope." } } });
    await show(<QueueDrawer name="nope" state="waiting" onState={() => {}} onClose={() => {}} />);
    await screen.findByText("There is no queue nope.");
  });
});

describe("a run that waits", () => {
  it("says that its queue is paused, or that nobody takes it", async () => {
    let one = queue({ paused: { since: "2026-01-02T03:00:00Z", by: "" } });
    serve({ "GET /queues": () => ({ body: queueList(one) }) });
    const { cache } = await show(<QueueHold queued />);
    await screen.findByText("Waits: the queue is paused");
    one = queue({ no_consumer: true, consumers: 0 });
    await cache.invalidateQueries();
    await screen.findByText("Waits: no worker takes the queue");
    one = queue();
    await cache.invalidateQueries();
    await vi.waitFor(() => expect(screen.queryByText(/^Waits/)).toBeNull());
  });

  it("asks for nothing while nothing is queued", async () => {
    const sent = serve({});
    await show(<QueueHold queued={false} />);
    expect(sent).toEqual([]);
  });
});

describe("the workers", () => {
  it("shows what runs in each slot, and leads there", async () => {
    const busy = worker({ busy: 1, running: [slot()], queues: ["llmctl_studio", "llmctl_studio.rag.git"] });
    const gone = worker({ id: "2", hostname: "gone", state: "dead", ended_at: new Date().toISOString() });
    await show(<WorkersSection workers={workers(busy, gone)} manages={false} />);
    const link = await screen.findByRole("link", { name: /^Wrap up of Support: Runs, attempt 1, process/ });
    expect(link.getAttribute("href")).toBe("/runs/7?node=55");
    for (const text of ["1 of 4 slots taken", "50.0 MiB", "50% of a core", "Ready", "Dead", "Git"])
      screen.getByText(text);
    screen.getByText("Workers (1)");
    expect(screen.queryByRole("button", { name: "Drain" })).toBeNull();
  });

  it("leads to a download that it fetches", async () => {
    const fetches = slot({
      kind: "download",
      id: 9,
      queue: "llmctl_studio.downloads.huggingface",
      attempt: 2,
      flowchart_run_id: null,
      flowchart_id: null,
      flowchart_name: "",
      node_kind: "",
      title: "o/m",
      stage: "verifying",
      executor: "",
    });
    await show(<WorkersSection workers={workers(worker({ busy: 1, running: [fetches] }))} manages={false} />);
    const link = await screen.findByRole("link", { name: /^o\/m: Downloads, attempt 2, verifying, for/ });
    expect(link.getAttribute("href")).toBe("/downloads/9");
  });

  it("drains a worker", async () => {
    const sent = serve({ "POST /workers/1/drain": { body: worker() } });
    await show(<WorkersSection workers={workers(worker({ id: "1" }))} manages />);
    fireEvent.click(await screen.findByRole("button", { name: "Drain" }));
    await vi.waitFor(() => expect(sent.map((s) => s.path)).toEqual(["/workers/1/drain"]));
  });

  it("says how to start the first one", async () => {
    await show(<WorkersSection workers={workers()} manages />);
    await screen.findByText("No worker has ever reported");
  });
});

describe("the dead", () => {
  const filter = { queue: "llmctl_studio", code: "", pending: false };
  const path = "/queues/llmctl_studio/dead";
  const items = [dead(), dead({ id: "node_run-56", code: "lost", lost: 3, retried_by: 12 })];

  it("are retried after asking, with an answer for each", async () => {
    const sent = serve({
      [`GET ${path}`]: { body: { items, next_cursor: null } },
      [`POST ${path}/retry`]: {
        body: {
          items: [
            {
              id: "node_run-55",
              outcome: "retried",
              flowchart_run_id: 20,
              node_run_id: null,
              reason: "",
              message: "",
            },
            {
              id: "node_run-56",
              outcome: "refused",
              flowchart_run_id: null,
              node_run_id: null,
              reason: "x",
              message: "It has findings.",
            },
          ],
          retried: 1,
          already_retried: 0,
          refused: 1,
          more: false,
        },
      },
    });
    await show(<DeadSection queues={[queue()]} filter={filter} onFilter={() => {}} writes />);
    await screen.findByText("Its worker died three times");
    screen.getByText("retried as #12");
    fireEvent.click(screen.getByRole("checkbox", { name: "Choose all that are shown" }));
    fireEvent.click(screen.getByRole("button", { name: "Retry 2 items" }));
    const ask = await screen.findByRole("dialog", { name: "Retry 2 items" });
    within(ask).getByText(/2 failed items of 1 run in Runs/);
    expect(sent.filter((s) => s.method === "POST")).toEqual([]);
    fireEvent.click(within(ask).getByRole("button", { name: "Retry 1 run" }));
    await screen.findByText(/1 retried, 0 retried before, 1 refused/);
    expect(sent.find((s) => s.method === "POST")?.body).toEqual({ ids: ["node_run-55", "node_run-56"] });
    screen.getByRole("link", { name: "#20" });
    screen.getByText(/It has findings/);
  });

  it("can only be looked at by viewers", async () => {
    serve({ [`GET ${path}`]: { body: { items, next_cursor: null } } });
    await show(<DeadSection queues={[queue()]} filter={filter} onFilter={() => {}} writes={false} />);
    await screen.findAllByText("Wrap up");
    expect(screen.queryByRole("checkbox")).toBeNull();
    expect(screen.queryByRole("button", { name: /Retry/ })).toBeNull();
  });

  it("are none", async () => {
    serve({ [`GET ${path}`]: { body: { items: [], next_cursor: null } } });
    await show(<DeadSection queues={[queue()]} filter={filter} onFilter={() => {}} writes />);
    await screen.findByText("Nothing is dead here");
  });
});
