import { fireEvent, screen, waitFor } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { Schedule } from "../../../api/aliases";
import { at } from "../../../test/graphs";
import { serve, show } from "../../../test/render";
import { ScheduleDialog } from "./schedule-dialog";
import { ScheduleTable } from "./schedule-table";
import { SystemTasks, Trouble } from "./system-tasks";

const schedule: Schedule = {
  id: 5,
  kind: "flowchart",
  name: "Morning report",
  flowchart_id: 7,
  flowchart_name: "Weekly report",
  flowchart_deleted: false,
  rag_source_id: null,
  every_seconds: null,
  input: { a: 1 },
  cron: "0 9 * * 1-5",
  description: "At 09:00 on weekdays",
  time_zone: "Europe/Berlin",
  jitter_seconds: 0,
  missed_policy: "catch_up",
  catch_up_limit: 1,
  overlap_policy: "skip",
  enabled: true,
  next_firings: ["2199-01-01T09:00:00Z"],
  last_firing: {
    id: 3,
    due_at: at(0),
    fired_at: at(0),
    origin: "due",
    outcome: "failed",
    missed: 0,
    reason: "flow.deleted",
    message: "Flowchart 7 is deleted.",
    flowchart_run_id: null,
    run_status: "",
    node_run_id: null,
  },
  created_at: at(0),
  updated_at: at(0),
  deleted_at: null,
};

const preview = {
  cron: "0 9 * * 1-5",
  description: "At 09:00 on weekdays",
  times: [{ at: "2199-01-01T09:00:00Z", local: "Tue 2199-01-01 10:00 CET" }],
};

describe("schedules", () => {
  it("switches a schedule off and on in the list", async () => {
    const sent = serve({ "PATCH /schedules/5": { body: { ...schedule, enabled: false } } });
    await show(<ScheduleTable items={[schedule]} />);
    expect(screen.getByText("Not started")).toBeTruthy();
    fireEvent.click(screen.getByRole("switch", { name: "Morning report fires" }));
    await waitFor(() => expect(sent[0]?.body).toEqual({ enabled: false }));
  });

  it("leads to the source that it indexes, and to the node that did it", async () => {
    const last = { ...(schedule.last_firing as NonNullable<Schedule["last_firing"]>), node_run_id: 90 };
    const of: Schedule = {
      ...schedule,
      kind: "rag_source",
      flowchart_id: 0,
      flowchart_name: "",
      rag_source_id: 2,
      rag_source_name: "Handbook",
      cron: "",
      every_seconds: 21_600,
      description: "Every 6 hours",
      last_firing: { ...last, outcome: "started", node_status: "running" },
    };
    await show(<ScheduleTable items={[of]} />);
    expect(screen.getByText("Index of Handbook")).toBeTruthy();
    expect(screen.getByRole("link", { name: /Started/ }).getAttribute("href")).toBe("/nodes/90");
    expect(screen.queryByRole("button", { name: /Run .* now/ })).toBeNull();
  });

  it("starts a run now and goes to it", async () => {
    const sent = serve({ "POST /schedules/5/fire": { status: 202, body: { flowchart_run: { id: 12 } } } });
    await show(<ScheduleTable items={[schedule]} />);
    fireEvent.click(screen.getByRole("button", { name: "Run Morning report now" }));
    expect(await screen.findByText("elsewhere: /runs/12")).toBeTruthy();
    expect(sent[0]?.headers.get("Idempotency-Key")).toBeTruthy();
  });

  it("shows what an expression means, and creates the schedule", async () => {
    const sent = serve({
      "POST /schedules/preview": { body: preview },
      "POST /schedules": { status: 201, body: schedule },
    });
    await show(
      <ScheduleDialog
        flowchartId={7}
        flowcharts={[{ value: "7", label: "Weekly report" }]}
        onClose={() => {}}
      />,
    );
    expect(await screen.findByText("Tue 2199-01-01 10:00 CET")).toBeTruthy();
    fireEvent.change(screen.getByLabelText("Name"), { target: { value: "Morning report" } });
    fireEvent.click(screen.getByRole("button", { name: "Mondays at 9" }));
    fireEvent.click(screen.getByRole("button", { name: "Create" }));
    await waitFor(() => expect(sent.some((s) => s.path === "/schedules")).toBe(true));
    expect(sent.find((s) => s.path === "/schedules")?.body).toMatchObject({
      name: "Morning report",
      flowchart_id: 7,
      cron: "0 9 * * 1",
      input: {},
      missed_policy: "catch_up",
    });
  });

  it("says at the field what is wrong with an expression", async () => {
    serve({
      "POST /schedules/preview": {
        status: 422,
        body: { detail: "No.", errors: [{ location: "body.cron", message: 'minute is "61"' }] },
      },
    });
    await show(<ScheduleDialog flowcharts={[]} onClose={() => {}} />);
    expect(await screen.findByText('This minute is "61".')).toBeTruthy();
    expect(screen.getByRole("button", { name: "Create" }).hasAttribute("disabled")).toBe(true);
  });

  it("changes a schedule only where nobody else has", async () => {
    const sent = serve({
      "POST /schedules/preview": { body: preview },
      "PATCH /schedules/5": {
        status: 412,
        body: { detail: "Somebody saved this schedule in the meantime." },
      },
    });
    await show(
      <ScheduleDialog
        schedule={{ ...schedule, etag: '"4"' }}
        flowcharts={[{ value: "7", label: "Weekly report" }]}
        onClose={() => {}}
      />,
    );
    fireEvent.click(await screen.findByRole("button", { name: "Save" }));
    expect(await screen.findByText("Somebody saved this schedule in the meantime.")).toBeTruthy();
    expect(sent.find((s) => s.method === "PATCH")?.headers.get("If-Match")).toBe('"4"');
  });

  it("says that no scheduler runs instead of waiting silently", async () => {
    await show(
      <>
        <Trouble system={[]} schedulers={[]} />
        <SystemTasks system={[]} schedulers={[]} />
      </>,
    );
    expect(screen.getByRole("alert").textContent).toContain("llmctl beat");
    expect(screen.getByText("No scheduler")).toBeTruthy();
  });
});
