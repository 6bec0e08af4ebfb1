import { describe, expect, it } from "vitest";
import { describe as describeLink, type Link, type LinkEvent, startLink, step, type Timer } from "./fallback";

const play = (...events: LinkEvent[]): Link => events.reduce(step, startLink());
const connected: LinkEvent = { type: "connected" };
const ready: LinkEvent = { type: "ready" };
const refused: LinkEvent = { type: "connect_error" };
const lost: LinkEvent = { type: "disconnected" };
const timer = (name: Timer): LinkEvent => ({ type: "timer", timer: name });

describe("fallback gating", () => {
  it("polls when no connection was made in time", () => {
    expect(play(timer("connect"))).toMatchObject({ phase: "polling", failure: "socket_connect_timeout" });
  });

  it("does nothing on connect errors alone", () => {
    expect(play(refused, refused)).toEqual(startLink());
  });

  it("treats a socket that closes before it was ready as a transient while the time runs", () => {
    const link = play(connected, lost);
    expect(link).toMatchObject({ phase: "connecting", timer: "connect", failure: null });
    expect(step(link, timer("connect")).phase).toBe("polling");
    expect(step(step(step(link, connected), ready), timer("connect")).phase).toBe("live");
  });

  it("does not poll while a socket catches up, but does when that one is lost after the time", () => {
    const slow = play(connected, timer("connect"));
    expect(slow).toMatchObject({ phase: "catching_up", failure: null });
    expect(step(slow, ready)).toMatchObject({ phase: "live", overdue: null });
    expect(step(slow, lost)).toMatchObject({ phase: "polling", failure: "socket_connect_timeout" });
  });

  it("treats a short disconnect as a transient", () => {
    const dropped = play(connected, ready, lost);
    expect(dropped).toMatchObject({ phase: "reconnecting", timer: "drop" });
    const back = step(dropped, connected);
    expect(back.phase).toBe("catching_up");
    expect(step(back, ready)).toMatchObject({ phase: "live", failure: null, timer: null });
  });

  it("lets the time run on through a socket that comes and goes without being ready", () => {
    const flapping = play(connected, ready, lost, connected, lost);
    expect(flapping).toMatchObject({ phase: "reconnecting", timer: "drop" });
    expect(step(flapping, timer("drop"))).toMatchObject({ phase: "polling", failure: "socket_disconnected" });
  });

  it("polls after a sustained disconnect and stops when the socket is ready again", () => {
    const polling = play(connected, ready, lost, timer("drop"));
    expect(polling).toMatchObject({ phase: "polling", failure: "socket_disconnected" });
    expect(step(step(polling, connected), ready)).toMatchObject({ phase: "live", failure: null });
  });

  it("stays at polling when the socket is lost again before it caught up", () => {
    expect(play(timer("connect"), connected, lost).phase).toBe("polling");
  });

  it("ignores a timer that was cleared", () => {
    const live = play(connected, ready);
    expect(step(live, timer("connect"))).toBe(live);
  });

  it("says why it polls", () => {
    expect(describeLink(play(timer("connect"))).reason).toContain("within 5 seconds");
    expect(describeLink(play(connected, ready, lost, timer("drop"))).reason).toContain("3 seconds");
  });
});
