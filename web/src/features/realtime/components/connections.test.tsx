import { fireEvent, screen, within } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import { serve, show } from "../../../test/render";
import type { Connection } from "../model";
import { ConnectionDrawer } from "./connection-drawer";
import { ConnectionsSection } from "./connections";

const connection = (more: Partial<Connection> = {}): Connection => ({
  sid: "S1",
  worker: "WORKERA",
  hostname: "web-0",
  user: { id: 1, email: "ada@example.org", role: "admin" },
  via: "session",
  credential_id: 12,
  since: new Date().toISOString(),
  transport: "websocket",
  address: "10.0.0.7",
  user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  rooms: ["studio", "flowchart_run:7"],
  catching_up: false,
  streams: [{ stream: "flowchart_run:7", cursor: 1_234 }],
  queue: { frames: 0, bytes: 0 },
  requests: 0,
  ...more,
});
const list = (...items: Connection[]) => ({ body: { items, next_cursor: null, mute: [] } });

describe("the list of connections", () => {
  it("shows who is connected from where, and which one this browser is", async () => {
    serve({
      "GET /realtime/connections": list(
        connection(),
        connection({ sid: "S2", transport: "polling", catching_up: true, via: "api_key" }),
      ),
    });
    await show(<ConnectionsSection room="" own="S1" />);
    const [first, second] = (await screen.findAllByRole("row")).slice(1);
    if (!first || !second) throw new Error("rows are missing");
    for (const text of ["ada@example.org", "Firefox 140 on Linux", "10.0.0.7", "WebSocket", "this browser"])
      within(first).getByText(text);
    for (const text of ["Polling", "catching up", "with an API key"]) within(second).getByText(text);
    expect(within(second).queryByText("this browser")).toBeNull();
  });

  it("says what is missing, and that a room is empty", async () => {
    const mute = [{ worker: "WORKERB", hostname: "web-1", reason: "no answer within 1s" }];
    serve({ "GET /realtime/connections": { body: { items: [], next_cursor: null, mute } } });
    await show(<ConnectionsSection room="task:1" own={null} />);
    await screen.findByText("Nobody is in this room");
    screen.getByText(/Those of WORKERB are missing: no answer within 1s/);
  });

  it("says why there is none", async () => {
    serve({ "GET /realtime/connections": { status: 403, body: { detail: "Only administrators may." } } });
    await show(<ConnectionsSection room="" own={null} />);
    await screen.findByText("Only administrators may.");
  });
});

describe("a connection", () => {
  it("shows its rooms and how far each stream was served, and is cut off after naming it", async () => {
    const sent = serve({
      "GET /realtime/connections/S1": { body: connection() },
      "POST /realtime/connections/S1/disconnect": { status: 204 },
    });
    await show(<ConnectionDrawer sid="S1" onClose={() => {}} />);
    await screen.findByText("1,234");
    screen.getByText("Browser session 12");
    fireEvent.click(screen.getByRole("button", { name: "Disconnect" }));
    const ask = await screen.findByRole("dialog", { name: "Disconnect ada@example.org" });
    within(ask).getByText(/from 10\.0\.0\.7 \(Firefox 140 on Linux\) is cut off/);
    expect(sent.filter((s) => s.method === "POST")).toEqual([]);
    fireEvent.click(within(ask).getByRole("button", { name: "Disconnect" }));
    await vi.waitFor(() => expect(sent.find((s) => s.method === "POST")?.body).toEqual({ reconnect: true }));
    await screen.findByText("The connection of ada@example.org was cut off.");
  });

  it("says when it has ended", async () => {
    serve({ "GET /realtime/connections/S1": { status: 404, body: { detail: "no such connection" } } });
    await show(<ConnectionDrawer sid="S1" onClose={() => {}} />);
    await screen.findByText("This connection has ended");
  });
});
