import { describe, expect, it } from "vitest";
import { describe as describeLink, type Link, type LinkEvent, startLink, step } from "./fallback";

const play = (...events: LinkEvent[]): Link => events.reduce(step, startLink());

describe("fallback gating", () => {
  it("polls when no connection was made in time", () => {
    expect(play({ type: "timer", timer: "connect" })).toMatchObject({
      phase: "polling",
      failure: "socket_connect_timeout",
    });
  });

  it("does nothing on connect errors alone", () => {
    expect(play({ type: "connect_error" }, { type: "connect_error" })).toEqual(startLink());
  });

  it("ignores the connect timer once connected", () => {
    expect(play({ type: "connected" }, { type: "timer", timer: "connect" }).phase).toBe("catching_up");
    expect(play({ type: "connected" }, { type: "ready" }, { type: "timer", timer: "connect" }).phase).toBe(
      "live",
    );
  });

  it("treats a short disconnect as a transient", () => {
    const dropped = play({ type: "connected" }, { type: "ready" }, { type: "disconnected" });
    expect(dropped).toMatchObject({ phase: "reconnecting", timer: "drop" });
    const back = step(step(dropped, { type: "connected" }), { type: "timer", timer: "drop" });
    expect(back.phase).toBe("catching_up");
    expect(step(back, { type: "ready" })).toMatchObject({ phase: "live", failure: null });
  });

  it("polls after a sustained disconnect and stops when the socket is ready again", () => {
    const polling = play(
      { type: "connected" },
      { type: "ready" },
      { type: "disconnected" },
      { type: "timer", timer: "drop" },
    );
    expect(polling).toMatchObject({ phase: "polling", failure: "socket_disconnected" });
    expect(step(step(polling, { type: "connected" }), { type: "ready" })).toMatchObject({
      phase: "live",
      failure: null,
    });
  });

  it("stays at polling when the socket is lost again before it caught up", () => {
    const polling = play(
      { type: "timer", timer: "connect" },
      { type: "connected" },
      { type: "disconnected" },
    );
    expect(polling.phase).toBe("polling");
  });

  it("polls when the very first socket closes before it was ready", () => {
    expect(play({ type: "connected" }, { type: "disconnected" })).toMatchObject({
      phase: "polling",
      failure: "socket_disconnected_before_ready",
    });
  });

  it("says why it polls", () => {
    expect(describeLink(play({ type: "timer", timer: "connect" })).reason).toContain("within 5 seconds");
  });
});
