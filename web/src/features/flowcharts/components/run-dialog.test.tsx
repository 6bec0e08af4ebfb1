import { fireEvent, screen, waitFor } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import { flowchartRun, node } from "../../../test/graphs";
import { serve, show } from "../../../test/render";
import { useEditor } from "../store";
import { useSave } from "../use-editing";
import { RunDialog } from "./run-dialog";

const schema = {
  type: "object",
  required: ["text"],
  properties: {
    text: { type: "string", title: "Ticket", description: "What was written" },
    times: { type: "integer" },
    urgent: { type: "boolean" },
  },
};

function Dialog({ onClose }: { onClose: () => void }) {
  return <RunDialog flowchartId={7} save={useSave(7)} onClose={onClose} />;
}

async function open(input_schema?: unknown) {
  const graph = { nodes: [node("start", "start", input_schema ? { input_schema } : {})], edges: [] };
  useEditor.getState().open(7, graph, 1, '"1"', { valid: true, errors: [] });
  const onClose = vi.fn();
  await show(<Dialog onClose={onClose} />);
  await screen.findByRole("dialog");
  return onClose;
}

const press = (name: string) => fireEvent.click(screen.getByRole("button", { name }));

describe("the run dialog", () => {
  it("makes a form of the start node's schema and sends what is in it", async () => {
    const sent = serve({
      "POST /flowcharts/7/runs": { status: 202, body: { flowchart_run: flowchartRun() } },
    });
    const onClose = await open(schema);
    fireEvent.change(screen.getByRole("textbox", { name: /Ticket/ }), { target: { value: "Hello" } });
    fireEvent.change(screen.getByRole("textbox", { name: "times" }), { target: { value: "3" } });
    fireEvent.click(screen.getByRole("switch", { name: "urgent" }));
    press("Run");
    await screen.findByText("elsewhere: /runs/5");
    expect(sent).toHaveLength(1);
    expect(sent[0]?.body).toEqual({ input: { text: "Hello", times: 3, urgent: true } });
    expect(sent[0]?.headers.get("idempotency-key")).toMatch(/^[0-9a-f]{32}$/);
    expect(onClose).toHaveBeenCalled();
  });

  it("says at the field what is missing, and sends nothing", async () => {
    const sent = serve({});
    await open(schema);
    press("Run");
    const text = screen.getByRole("textbox", { name: /Ticket/ });
    await waitFor(() => expect(text.getAttribute("aria-invalid")).toBe("true"));
    expect(sent).toEqual([]);
  });

  it("takes JSON where there is no schema, and says when it is none", async () => {
    const sent = serve({
      "POST /flowcharts/7/runs": { status: 202, body: { flowchart_run: flowchartRun() } },
    });
    await open();
    const input = await screen.findByRole("textbox", { name: "Input" });
    fireEvent.change(input, { target: { value: "{" } });
    press("Run");
    expect(await screen.findByText(/JSON/, { selector: "[class*=error]" })).toBeTruthy();
    expect(sent).toEqual([]);
    fireEvent.change(input, { target: { value: '{"a": 1}' } });
    press("Run");
    await screen.findByText("elsewhere: /runs/5");
    expect(sent[0]?.body).toEqual({ input: { a: 1 } });
  });

  it("shows why the server refused, with the request id", async () => {
    serve({
      "POST /flowcharts/7/runs": {
        status: 422,
        body: {
          detail: "The input does not fit.",
          errors: [{ location: "input.times", message: "must be at least 1" }],
          request_id: "r-77",
        },
      },
    });
    const onClose = await open(schema);
    fireEvent.change(screen.getByRole("textbox", { name: /Ticket/ }), { target: { value: "Hello" } });
    press("Run");
    const alert = await screen.findByRole("alert");
    for (const text of ["The input does not fit.", "input.times", "must be at least 1", "r-77"])
      expect(alert.textContent).toContain(text);
    expect(onClose).not.toHaveBeenCalled();
  });
});
