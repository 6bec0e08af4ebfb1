import { act, fireEvent, screen, waitFor } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import type { Turn } from "../../../api/aliases";
import { show } from "../../../test/render";
import { message, turn } from "../../../test/threads";
import { type Conversation, ConversationContext } from "../context";
import { LiveTexts } from "../live";
import { Composer } from "./composer";
import { MessageView } from "./message-view";

const frames = () => {
  const queue: FrameRequestCallback[] = [];
  vi.stubGlobal("requestAnimationFrame", (f: FrameRequestCallback) => queue.push(f));
  return () =>
    act(() => {
      for (const f of queue.splice(0)) f(0);
    });
};

function conversation(from: Partial<Conversation> = {}): Conversation {
  return {
    live: new LiveTexts(async () => []),
    currency: "USD",
    locked: null,
    busy: false,
    editing: null,
    edit: vi.fn(),
    resend: vi.fn(async () => {}),
    regenerate: vi.fn(),
    showVersion: vi.fn(),
    attachmentAddress: (id) => `/api/attachments/${id}/content`,
    decide: vi.fn(),
    deciding: false,
    decided: new Map(),
    ...from,
  };
}

const inside = (of: Conversation, ui: React.ReactNode) =>
  show(<ConversationContext value={of}>{ui}</ConversationContext>);

describe("an answer that is being written", () => {
  const pending = message({
    id: 12,
    role: "assistant",
    status: "pending",
    content: "",
    parts: [],
    turn_id: 7,
  });
  const running = turn({ status: "running", finished_at: null, phase: "answering" });

  it("says what it waits for, then shows the text as it comes", async () => {
    const frame = frames();
    const of = conversation();
    await inside(of, <MessageView message={pending} turn={running} />);
    expect(screen.getByText(/Waiting for the model/)).toBeTruthy();
    of.live.apply(7, { attempt: 1, offset: 0, text: "Hello **wor", sequence: 1 });
    frame();
    expect(screen.getByText(/Hello/)).toBeTruthy();
    of.live.apply(7, { attempt: 1, offset: 11, text: "ld**", sequence: 2 });
    frame();
    expect(screen.getByText("world").tagName).toBe("STRONG");
    expect(screen.queryByText(/Waiting for the model/)).toBeNull();
  });

  const lost = { code: "CHAT_WORKER_LOST", message: "Attempt 1 ended.", retryable: true };

  it("does not show the text of an attempt that was lost, and says so", async () => {
    frames();
    const of = conversation();
    of.live.apply(7, { attempt: 1, offset: 0, text: "Old words", sequence: 1 });
    await inside(of, <MessageView message={pending} turn={{ ...running, attempt: 2, error: lost }} />);
    expect(screen.queryByText("Old words")).toBeNull();
    expect(screen.getByText(/Attempt 2/)).toBeTruthy();
  });

  it("says when a busy provider is tried again, and counts down", async () => {
    vi.useFakeTimers({ now: Date.parse("2026-01-01T00:00:00Z") });
    try {
      const busy: Turn = {
        ...running,
        status: "queued",
        phase: "",
        error: { code: "rate_limited", message: "Too many requests.", retryable: true },
        retry_at: "2026-01-01T00:00:12Z",
      };
      await act(() => inside(conversation(), <MessageView message={pending} turn={busy} />));
      expect(screen.getByRole("status").textContent).toContain("The provider is busy; trying again in 12 s");
      await act(() => vi.advanceTimersByTimeAsync(5_000));
      expect(screen.getByRole("status").textContent).toContain("trying again in 7 s");
      await act(() => vi.advanceTimersByTimeAsync(9_000));
      expect(screen.getByRole("status").textContent).toContain("trying again now");
    } finally {
      vi.useRealTimers();
    }
  });

  it("shows how far a running call is, until it has ended", async () => {
    const frame = frames();
    const of = conversation();
    await inside(of, <MessageView message={pending} turn={running} />);
    const call = { id: "c1", name: "files__index", server: "files", arguments: {}, tool_call_id: 31 };
    const tell = (sequence: number, more: object) => {
      const part = { type: "tool_call" as const, tool_call: { ...call, ...more } };
      of.live.apply(7, { attempt: 1, offset: 0, text: "", part, sequence });
      frame();
    };
    tell(1, { status: "running" });
    expect(screen.queryByRole("progressbar")).toBeNull();
    tell(2, { status: "running", progress: "1 of 4: a quarter" });
    expect(screen.getByRole("progressbar").getAttribute("aria-valuenow")).toBe("25");
    screen.getByText("a quarter");
    tell(3, { status: "succeeded" });
    expect(screen.queryByRole("progressbar")).toBeNull();
  });

  it("does not call a worker dead after an approval", async () => {
    frames();
    await inside(conversation(), <MessageView message={pending} turn={{ ...running, attempt: 2 }} />);
    expect(screen.queryByText(/Attempt 2/)).toBeNull();
    expect(screen.queryByText(/worker/)).toBeNull();
  });

  it("does not ask again for a call that was decided while another one waits", async () => {
    const frame = frames();
    const of = conversation({ decided: new Map([[31, true]]) });
    await inside(of, <MessageView message={pending} turn={{ ...running, status: "waiting" }} />);
    [31, 32].forEach((id, i) => {
      const call = {
        id: `c${id}`,
        name: "files__write",
        arguments: {},
        status: "waiting" as const,
        tool_call_id: id,
      };
      of.live.apply(7, {
        attempt: 1,
        offset: 0,
        text: "",
        part: { type: "tool_call", tool_call: call },
        sequence: i + 1,
      });
    });
    frame();
    expect(screen.getAllByRole("button", { name: "Approve" })).toHaveLength(1);
    screen.getByText("Approved");
  });

  it("asks whether a tool may be called", async () => {
    const frame = frames();
    const of = conversation();
    await inside(of, <MessageView message={pending} turn={{ ...running, status: "waiting" }} />);
    const call = {
      id: "c1",
      name: "files__write",
      server: "files",
      arguments: { path: "a" },
      status: "waiting" as const,
      tool_call_id: 31,
    };
    of.live.apply(7, {
      attempt: 1,
      offset: 0,
      text: "",
      part: { type: "tool_call", tool_call: call },
      sequence: 1,
    });
    frame();
    fireEvent.click(screen.getByRole("button", { name: "Approve" }));
    expect(of.decide).toHaveBeenCalledWith(31, true);
    const result = { call_id: "c1", name: "files__write", content: "no such folder", is_error: true };
    of.live.apply(7, {
      attempt: 1,
      offset: 0,
      text: "",
      part: { type: "tool_result", tool_result: result },
      sequence: 2,
    });
    frame();
    expect(screen.queryByRole("button", { name: "Approve" })).toBeNull();
    fireEvent.click(screen.getByRole("button", { name: /write/ }));
    expect(screen.getByText(/no such folder/)).toBeTruthy();
  });
});

describe("an answer that has ended", () => {
  it("tells why it failed and what to do next", async () => {
    const of = conversation();
    const failed = turn({
      status: "failed",
      reason_code: "CHAT_MODEL_NOT_CONFIGURED",
      error: { code: "x", message: "There is no model.", retryable: false },
    });
    const answer = message({ id: 12, role: "assistant", status: "failed", content: "", parts: [] });
    await inside(of, <MessageView message={answer} turn={failed} />);
    expect(screen.getByRole("alert").textContent).toContain("Add a model under Models");
    fireEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(of.regenerate).toHaveBeenCalledWith(answer);
  });

  it("tells what a stopped one cost", async () => {
    const usage = { ...turn({}).usage, output_tokens: 42, estimated: true };
    const answer = message({ id: 12, role: "assistant", status: "partial" });
    await inside(
      conversation(),
      <MessageView message={answer} turn={turn({ status: "cancelled", usage })} />,
    );
    expect(screen.getByText(/42 tokens had been written and are billed \(an estimate\)/)).toBeTruthy();
  });

  it("shows its versions and goes to the one before", async () => {
    const of = conversation();
    const answer = message({ id: 12, role: "assistant", siblings: { ids: [10, 12, 14], index: 1 } });
    await inside(of, <MessageView message={answer} turn={turn({})} />);
    expect(screen.getByRole("group", { name: "Version 2 of 3 of this answer" })).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "Earlier version" }));
    expect(of.showVersion).toHaveBeenCalledWith(10);
  });
});

it("sends an edited message beside the old one", async () => {
  const of = conversation({ editing: 11 });
  await inside(of, <MessageView message={message({ content: "Helo" })} turn={null} />);
  const field = screen.getByLabelText("Edit the message");
  fireEvent.change(field, { target: { value: "Hello there" } });
  fireEvent.keyDown(field, { key: "Enter" });
  await waitFor(() =>
    expect(of.resend).toHaveBeenCalledWith(expect.objectContaining({ id: 11 }), "Hello there"),
  );
  await waitFor(() => expect(of.edit).toHaveBeenCalledWith(null));
});

describe("where one writes", () => {
  const type = (key: string, more = {}) =>
    fireEvent.keyDown(screen.getByLabelText("Message"), { key, ...more });

  it("sends with Enter, and not with Shift, without words, or while composing", async () => {
    const onSend = vi.fn();
    const field = (value: string) => (
      <Composer value={value} onChange={() => {}} onSend={onSend} why={null} />
    );
    const { unmount } = await show(field("  "));
    type("Enter");
    unmount();
    await show(field("Hi"));
    type("Enter", { shiftKey: true });
    type("Enter", { isComposing: true });
    expect(onSend).not.toHaveBeenCalled();
    type("Enter");
    expect(onSend).toHaveBeenCalledTimes(1);
  });

  it("says why it does not send", async () => {
    const onSend = vi.fn();
    await show(<Composer value="Hi" onChange={() => {}} onSend={onSend} why="The thread is archived." />);
    type("Enter");
    fireEvent.click(screen.getByRole("button", { name: "Send" }));
    expect(onSend).not.toHaveBeenCalled();
    expect(screen.getByText("The thread is archived.")).toBeTruthy();
  });

  it("takes files that are dropped", async () => {
    const onFiles = vi.fn();
    await show(<Composer value="" onChange={() => {}} onSend={() => {}} why={null} onFiles={onFiles} />);
    const file = new File(["x"], "a.txt");
    fireEvent.drop(screen.getByLabelText("Message"), { dataTransfer: { files: [file], types: ["Files"] } });
    expect(onFiles).toHaveBeenCalledWith([file]);
  });
});
