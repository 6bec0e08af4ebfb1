import { screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { serve, show } from "../../test/render";
import { McpServerSection } from "./mcp-server";
import { mcpClientConfig } from "./model";

const info = { url: "http://studio.test/api/mcp", public_url: "", tools: 29, published: 1 };

it("shows the address and how a client connects", async () => {
  serve({ "GET /studio-mcp": { body: info } });
  await show(<McpServerSection />);
  await screen.findByText(info.url);
  screen.getByText(/29 tools of the Studio, 1 published flowchart\. /);
  expect(document.querySelector("pre")?.textContent).toBe(mcpClientConfig(info.url));
  expect(screen.queryByText("Public address")).toBeNull();
});

it("prefers the public address where there is one", async () => {
  const public_url = "https://studio.example.com/mcp/llmctl";
  serve({ "GET /studio-mcp": { body: { ...info, public_url } } });
  await show(<McpServerSection />);
  await screen.findByText("Public address");
  expect(JSON.parse(document.querySelector("pre")?.textContent ?? "").mcpServers.llmctl.url).toBe(public_url);
});

it("says why it cannot be shown", async () => {
  serve({ "GET /studio-mcp": { status: 503, body: { detail: "The database is not available." } } });
  await show(<McpServerSection />);
  await screen.findByText("The database is not available.");
});
