import { fireEvent, screen, waitFor } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { Attempt, Envelope } from "../../../api/aliases";
import { attempt, pod, task } from "../../../test/attempts";
import { at } from "../../../test/graphs";
import { serve, show } from "../../../test/render";
import { runKeys } from "../api";
import { Attempts } from "./attempts";

const log = "GET /nodes/11/attempts/1/pod-log";
const piece = (seq: number, text: string) => ({ seq, at: at(seq), text: `2026-01-01T10:00:00Z ${text}\n` });

function open(a: Attempt, replies: Parameters<typeof serve>[0] = {}, events: Partial<Envelope>[] = []) {
  const sent = serve({ "GET /events": { body: { items: events, next_cursor: null } }, ...replies });
  return show(<Attempts task={task({ attempts: [a] })} />).then((view) => ({ ...view, sent }));
}

describe("the story of an attempt in a pod", () => {
  it("says why it ended and what to do next", async () => {
    const error = {
      code: "out_of_memory",
      message: "The node needed more memory.",
      retryable: false,
      details: null,
    };
    await open(attempt({ status: "failed", ended: "failed", finished_at: at(5), error, pod: pod() }));
    await screen.findByText("The node needed more memory.");
    expect(screen.getByRole("link", { name: "Open the flowchart" }).getAttribute("href")).toBe(
      "/flowcharts/7",
    );
    const settings = screen.getByRole("link", { name: "Settings of the node executor" });
    expect(settings.getAttribute("href")).toBe("/settings/node-executor");
    screen.getByText("llmctl-exec-11-1-ab12");
    screen.getByRole("button", { name: "Copy the command" });
  });

  it("tells that another worker took it over", async () => {
    await open(attempt({ status: "running", pod: pod() }), {}, [
      {
        sequence: 2,
        entity_kind: "task",
        entity_id: "11",
        event_type: "node:task:updated",
        emitted_at: at(0),
        payload: { transition: "adopted", attempt: 1 },
      },
    ]);
    await screen.findByText(/another took it over at .*The pod went on/);
  });

  it("unfolds the log, and asks only for what it does not have", async () => {
    const queries: string[] = [];
    const { cache } = await open(attempt({ status: "running", pod: pod() }), {
      [log]: () => {
        queries.push("asked");
        return {
          body: {
            items: queries.length === 1 ? [piece(1, "first")] : [piece(2, "second")],
            next_cursor: null,
          },
        };
      },
    });
    expect(queries).toEqual([]);
    fireEvent.click(await screen.findByRole("button", { name: "Log of the pod" }));
    await screen.findByText(/first/);
    await cache.refetchQueries({ queryKey: runKeys.podLog(11, 1) });
    await waitFor(() => expect(screen.getByText(/second/).textContent).toMatch(/first\n.*second/));
    fireEvent.click(screen.getByRole("button", { name: "Log of the pod" }));
    expect(screen.queryByText(/second/)).toBeNull();
  });

  it("says when the log was cut, and when none is kept", async () => {
    const done = attempt({ ended: "succeeded", finished_at: at(5), pod: pod() });
    const { unmount } = await open(done, {
      [log]: { body: { items: [piece(1, "one"), piece(2, "The log goes on; 1024 KiB of it are kept.")] } },
    });
    fireEvent.click(await screen.findByRole("button", { name: "Log of the pod" }));
    await screen.findByText("The pod wrote more. The first 1024 KiB are kept.");
    unmount();
    await open(done, { [log]: { body: { items: [] } } });
    fireEvent.click(await screen.findByRole("button", { name: "Log of the pod" }));
    await screen.findByText(/Nothing is kept/);
  });

  it("offers no log where no pod has reported", async () => {
    const waits = pod({
      uid: null,
      confirmed_at: null,
      dispatch_status: "dispatch_submitted",
      note: "No machine.",
    });
    await open(attempt({ status: "running", started_at: null, pod: waits }));
    await screen.findByText("Waiting for its pod");
    screen.getByText(/No machine\./);
    expect(screen.queryByRole("button", { name: "Log of the pod" })).toBeNull();
  });
});
