import { fireEvent, screen, waitFor } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import { mcpServer, mcpTest, mcpTool } from "../../../test/mcp";
import { serve, show } from "../../../test/render";
import { Approvals } from "./approvals";
import { ServerDialog } from "./server-dialog";
import { ServerView } from "./server-view";
import { TestResults } from "./test-results";

describe("a server", () => {
  it("is added with its secrets, which are asked for only once", async () => {
    const sent = serve({ "POST /mcp-servers": { status: 201, body: mcpServer({ id: 5 }) } });
    const saved = vi.fn();
    await show(<ServerDialog server={null} onClose={() => {}} onSaved={saved} />);
    fireEvent.click(screen.getByRole("button", { name: "Add server" }));
    expect(await screen.findByText("It needs a name.")).toBeTruthy();
    fireEvent.change(screen.getByLabelText("Name"), { target: { value: "My files" } });
    fireEvent.change(screen.getByLabelText("Address"), { target: { value: "https://h/mcp" } });
    fireEvent.click(screen.getByRole("button", { name: "Add a header" }));
    fireEvent.change(screen.getByPlaceholderText("Authorization"), { target: { value: "X-Key" } });
    fireEvent.change(screen.getByLabelText("Value of X-Key"), { target: { value: "s3cret" } });
    fireEvent.click(screen.getByRole("button", { name: "Add server" }));
    await waitFor(() => expect(saved).toHaveBeenCalledWith(expect.objectContaining({ id: 5 })));
    expect(sent[0]?.body).toMatchObject({
      server_key: "my-files",
      config: { url: "https://h/mcp", transport: "streamable-http" },
      headers: { "X-Key": "s3cret" },
    });
  });

  it("shows its tools with their parameters, and lets one be forbidden", async () => {
    const tools = [mcpTool({}), mcpTool({ name: "write_file", read_only: false })];
    const sent = serve({
      "GET /mcp-servers/1/tools": { body: { items: tools, next_cursor: null } },
      "PATCH /mcp-servers/1": { body: mcpServer({ allow_all_tools: false, allowed_tools: ["read_file"] }) },
    });
    await show(<ServerView server={mcpServer({})} manages />);
    fireEvent.click(await screen.findByRole("button", { name: /read_file/ }));
    expect(screen.getByRole("rowheader", { name: /path/ })).toBeTruthy();
    fireEvent.click(screen.getByLabelText("Models may call write_file"));
    await waitFor(() =>
      expect(sent.find((s) => s.method === "PATCH")?.body).toEqual({ allowed_tools: ["read_file"] }),
    );
  });

  it("tells how far a failed test came", async () => {
    await show(<TestResults test={mcpTest({ ok: false, message: "The list of tools never came." })} />);
    expect(screen.getByText(/The list of tools never came/)).toBeTruthy();
    expect(screen.getAllByRole("img").map((i) => i.getAttribute("aria-label"))).toContain("Failed");
  });
});

it("denies a call with a note for the model", async () => {
  const call = {
    id: 3,
    owner_kind: "node_run",
    owner_id: 9,
    owner_title: "Tidy up",
    flowchart_run_id: 4,
    name: "files__remove",
    tool: "remove",
    server_key: "files",
    arguments: '{"path":"/data"}',
    status: "waiting",
    created_at: "2026-01-01T00:00:00Z",
  };
  const sent = serve({
    "GET /approvals": { body: { items: [call], next_cursor: null } },
    "POST /tool-calls/3/deny": { body: { ...call, status: "denied" } },
  });
  await show(<Approvals />);
  expect(await screen.findByText(/"\/data"/)).toBeTruthy();
  fireEvent.change(screen.getByLabelText("Note"), { target: { value: "Not that folder" } });
  fireEvent.click(screen.getByRole("button", { name: "Deny" }));
  await waitFor(() =>
    expect(sent.find((s) => s.method === "POST")?.body).toEqual({ note: "Not that folder" }),
  );
});
