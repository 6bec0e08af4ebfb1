import { fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import type { Flowchart } from "../../../api/aliases";
import { serve, show } from "../../../test/render";
import { FlowchartToolSettings } from "./flowchart-tool";

const flowchart = { id: 7, name: "Sum up", description: "Sums texts up." } as Flowchart;
const stored = { name: "sum_up", description: "", enabled: true, wait_seconds: 30 };
const notPublished = { body: { tool: null } };

it("publishes under a name made of the flowchart's", async () => {
  let published = false;
  const sent = serve({
    "GET /flowcharts/7/tool": () => (published ? { body: { tool: stored }, etag: '"1"' } : notPublished),
    "PUT /flowcharts/7/tool": () => {
      published = true;
      return { body: stored, etag: '"1"' };
    },
  });
  await show(<FlowchartToolSettings flowchart={flowchart} />);
  fireEvent.click(await screen.findByRole("button", { name: "Publish as an MCP tool" }));
  fireEvent.click(screen.getByRole("button", { name: "Publish" }));
  await screen.findByRole("button", { name: "Withdraw" });
  expect(sent.find((s) => s.method === "PUT")?.body).toEqual(stored);
  expect(screen.queryByRole("button", { name: "Save the tool" })).toBeNull();
});

it("saves against what was seen, and withdraws", async () => {
  const sent = serve({
    "GET /flowcharts/7/tool": { body: { tool: stored }, etag: '"4"' },
    "PUT /flowcharts/7/tool": { body: stored, etag: '"5"' },
    "DELETE /flowcharts/7/tool": { status: 204 },
  });
  await show(<FlowchartToolSettings flowchart={flowchart} />);
  fireEvent.click(await screen.findByLabelText("Offered to clients"));
  fireEvent.click(screen.getByRole("button", { name: "Save the tool" }));
  await waitFor(() => expect(sent.some((s) => s.method === "PUT")).toBe(true));
  const put = sent.find((s) => s.method === "PUT");
  expect(put?.headers.get("If-Match")).toBe('"4"');
  expect(put?.body).toEqual({ ...stored, enabled: false });
  fireEvent.click(screen.getByRole("button", { name: "Withdraw" }));
  await waitFor(() => expect(sent.some((s) => s.method === "DELETE")).toBe(true));
});

it("does not send a name that cannot be, and shows what the Studio refuses", async () => {
  serve({
    "GET /flowcharts/7/tool": notPublished,
    "PUT /flowcharts/7/tool": { status: 409, body: { detail: "Another flowchart is published as that." } },
  });
  await show(<FlowchartToolSettings flowchart={flowchart} />);
  fireEvent.click(await screen.findByRole("button", { name: "Publish as an MCP tool" }));
  const publish = () => screen.getByRole<HTMLButtonElement>("button", { name: "Publish" });
  fireEvent.change(screen.getByLabelText("Tool name"), { target: { value: "llmctl_x" } });
  screen.getByText("Names that begin with llmctl_ are the Studio's own.");
  expect(publish().disabled).toBe(true);
  fireEvent.change(screen.getByLabelText("Tool name"), { target: { value: "other" } });
  fireEvent.click(publish());
  await screen.findByText("Another flowchart is published as that.");
});
