import { act, fireEvent, screen } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Link, startLink, step } from "../realtime/fallback";
import { type Details, startState } from "../realtime/messages";
import { RealtimeProvider } from "../realtime/provider";
import { serve, show } from "../test/render";
import { Shell } from "./shell";

// A socket that does what the test says.
const socket = vi.hoisted(() => ({
  state: undefined as unknown,
  lastEvent: null as number | null,
  listeners: new Set<() => void>(),
  stopped: 0,
}));
vi.mock("../realtime/session", () => ({
  startSession: () => ({
    client: {
      getState: () => socket.state,
      lastEvent: () => socket.lastEvent,
      subscribe: (listener: () => void) => {
        socket.listeners.add(listener);
        return () => socket.listeners.delete(listener);
      },
    },
    stop: () => {
      socket.stopped++;
    },
  }),
}));

const become = (link: Link, details: Partial<Details> = {}) =>
  act(() => {
    socket.state = { link, details: { ...startState("shared").details, ...details } };
    for (const listener of socket.listeners) listener();
  });

const connecting = startLink();
const live = step(step(connecting, { type: "connected" }), { type: "ready" });
const lost = step(live, { type: "disconnected" });
const polling = step(lost, { type: "timer", timer: "drop" });

function width(px: number) {
  vi.stubGlobal("matchMedia", (query: string) => ({
    matches: query.includes("1023") ? px < 1024 : false,
    media: query,
    addEventListener: () => {},
    removeEventListener: () => {},
    addListener: () => {},
    removeListener: () => {},
  }));
}

const open = () =>
  show(
    <RealtimeProvider onSignedOut={() => {}}>
      <Shell>content</Shell>
    </RealtimeProvider>,
  );
const dot = (name: RegExp) => screen.findByRole("button", { name });

beforeEach(() => {
  socket.state = startState("shared");
  socket.listeners.clear();
  socket.stopped = 0;
  serve({ "GET /flowcharts": { body: { items: [], next_cursor: null } } });
  width(1440);
});
afterEach(() => vi.unstubAllGlobals());

describe("the connection dot", () => {
  it("says how changes arrive, and why", async () => {
    const { unmount } = await open();
    await dot(/^Connection: Connecting/);
    await vi.waitFor(() => expect(socket.listeners.size).toBeGreaterThan(0), 5_000);
    become(live);
    expect((await dot(/^Connection: Live\. Changes appear/)).textContent).toBe("Live");
    become(lost);
    await dot(/^Connection: Catching up\. The live connection was lost/);
    become(polling);
    await dot(/^Connection: Polling\. .*refresh every 5 seconds/);
    become(live);
    await dot(/^Connection: Live/);
    unmount();
    expect(socket.stopped).toBe(1);
  });

  it("shows what carries the events on a closer look", async () => {
    await open();
    await vi.waitFor(() => expect(socket.listeners.size).toBeGreaterThan(0), 5_000);
    socket.lastEvent = Date.now();
    become(live, { transport: "websocket", worker: "WORKERA", since: Date.now() - 120_000, tabs: 3 });
    fireEvent.mouseEnter(await dot(/^Connection: Live/));
    await screen.findByText("WebSocket");
    for (const text of ["WORKERA", "2 min ago", "just now", "3 tabs"]) screen.getByText(text);
    become(lost, { closed: "slow_consumer" });
    screen.getByText("this browser took too long to read");
  });

  it("says when the server says that it is late", async () => {
    await open();
    await vi.waitFor(() => expect(socket.listeners.size).toBeGreaterThan(0), 5_000);
    become(live, { degraded: "bus: no answer" });
    await dot(/^Connection: Degraded\. The server says that changes may come late: bus: no answer\./);
  });

  it("says that the device is offline", async () => {
    await open();
    const online = vi.spyOn(navigator, "onLine", "get").mockReturnValue(false);
    act(() => void window.dispatchEvent(new Event("offline")));
    await dot(/^Connection: Offline\. This device/);
    online.mockReturnValue(true);
    act(() => void window.dispatchEvent(new Event("online")));
    await dot(/^Connection: Connecting/);
  });
});

describe("the shell", () => {
  it("has its navigation at the side, or in a drawer below 1024 pixels", async () => {
    const { unmount } = await open();
    expect(screen.getByRole("link", { name: "Runs" })).toBeTruthy();
    expect(screen.queryByRole("button", { name: "Open navigation" })).toBeNull();
    unmount();
    width(1000);
    await open();
    expect(screen.queryByRole("link", { name: "Runs" })).toBeNull();
    fireEvent.click(screen.getByRole("button", { name: "Open navigation" }));
    fireEvent.click(await screen.findByRole("link", { name: "Runs" }));
    await screen.findByText("elsewhere: /runs");
  });

  it("opens the palette with Ctrl-K and with its button", async () => {
    await open();
    fireEvent.keyDown(document.documentElement, { key: "k", code: "KeyK", ctrlKey: true });
    const search = await screen.findByPlaceholderText(/Go to a page/);
    fireEvent.change(search, { target: { value: "12" } });
    fireEvent.click(await screen.findByText("Open run 12"));
    await screen.findByText("elsewhere: /runs/12");
  });
});
