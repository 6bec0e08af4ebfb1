import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { flowchartRun } from "../../../test/graphs";
import { show } from "../../../test/render";
import { TraceLink } from "./trace-link";

const id = "0af7651916cd43dd8448eb211c80319c";

describe("the trace of a run", () => {
  it("is a link where the server says where traces are looked at", async () => {
    await show(
      <TraceLink run={flowchartRun({ trace_id: id, trace_url: `https://traces.example.org/${id}` })} />,
    );
    const link = screen.getByRole("link", { name: "Trace 0af76519" });
    expect(link.getAttribute("href")).toBe(`https://traces.example.org/${id}`);
    expect(link.getAttribute("rel")).toBe("noreferrer");
  });

  it("is an id to copy elsewhere", async () => {
    await show(<TraceLink run={flowchartRun({ trace_id: id })} />);
    expect(screen.queryByRole("link")).toBeNull();
    expect(screen.getByText("Trace 0af76519")).toBeDefined();
    expect(screen.getByRole("button", { name: "Copy trace id" })).toBeDefined();
  });

  it("is not there for a run that is not traced", async () => {
    await show(<TraceLink run={flowchartRun()} />);
    expect(screen.queryByText(/Trace/)).toBeNull();
  });
});
