import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Source } from "../../../api/aliases";
import { at } from "../../../test/graphs";
import { type Sent, serve, show } from "../../../test/render";
import { counts, indexFile, indexRun, running, source } from "../../../test/sources";
import type { JournalFilter } from "../api";
import { emptyForm, formOf } from "../form";
import { useSourceActions } from "../use-source-actions";
import { ChunkList } from "./chunk-list";
import { HealthBanner } from "./health-banner";
import { IndexMenu } from "./index-menu";
import { RunActions } from "./run-actions";
import { RunHistory } from "./run-history";
import { RunPanel, ShownRun } from "./run-panel";
import { SourceFields } from "./source-form";
import { SourceTable } from "./source-table";

const list = (items: unknown[]) => ({ body: { items, next_cursor: null } });
const sentTo = (sent: Sent[], path: string) => sent.filter((s) => s.path === path && s.method === "POST");
const press = (name: string | RegExp) => fireEvent.click(screen.getByRole("button", { name }));

beforeEach(() => {
  // A grid measures itself, which a DOM without layout cannot.
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      unobserve() {}
      disconnect() {}
    },
  );
});

describe("the list", () => {
  it("shows what each source does now, and why one failed", async () => {
    const error = { code: "x", message: "The token was refused.", at: at(0) };
    const active_run = running({ counts: counts({ added: 40, done: 10 }) });
    await show(
      <SourceTable
        writes
        items={[
          source({ status: "indexing", active_run }),
          source({ id: 4, name: "Wiki", status: "error", error, last_run: indexRun({ status: "failed" }) }),
        ]}
      />,
    );
    expect(screen.getByLabelText("Progress of Handbook").getAttribute("aria-valuenow")).toBe("25");
    expect(screen.getByText("The token was refused.")).toBeTruthy();
    expect(screen.getByRole<HTMLButtonElement>("button", { name: "Index Handbook" }).disabled).toBe(true);
  });

  it("deletes without asking and offers to take it back", async () => {
    const sent = serve({
      "DELETE /rag/sources/2": { status: 204 },
      "POST /rag/sources/2/restore": { body: source() },
    });
    await show(<SourceTable writes items={[source()]} />);
    press("Delete Handbook");
    fireEvent.click(await screen.findByRole("button", { name: "Undo" }));
    await waitFor(() => expect(sent.at(-1)?.path).toBe("/rag/sources/2/restore"));
  });

  it("has nothing to press for those who may only read", async () => {
    await show(<SourceTable writes={false} items={[source()]} />);
    expect(within(screen.getByRole("table")).queryByRole("button")).toBeNull();
  });
});

describe("the form", () => {
  const save = vi.fn();
  const open = (saved?: Source) =>
    show(
      <SourceFields
        start={saved ? formOf(saved, "UTC") : emptyForm("git", "UTC")}
        {...(saved && { source: saved })}
        action="Save"
        save={save}
      />,
    );
  beforeEach(() => void save.mockReset().mockResolvedValue(undefined));

  it("checks what was written before it is saved, and forgets the verdict with the next letter", async () => {
    const sent = serve({
      "POST /rag/sources/check": { body: { ok: false, message: "The token was refused.", revision: "" } },
    });
    await open();
    fireEvent.change(screen.getByLabelText("Address"), { target: { value: "https://x/y.git" } });
    fireEvent.click(screen.getByText("Token"));
    fireEvent.change(screen.getByLabelText("Token", { selector: "input[type=password]" }), {
      target: { value: "secret" },
    });
    press("Check");
    expect(await screen.findByText("The token was refused.")).toBeTruthy();
    expect(sent[0]?.body).toMatchObject({ kind: "git", url: "https://x/y.git", token: "secret" });
    fireEvent.change(screen.getByLabelText("Branch"), { target: { value: "dev" } });
    expect(screen.queryByText("The token was refused.")).toBeNull();
  });

  it("checks a change of a source together with the secret that is stored", async () => {
    const sent = serve({
      "POST /rag/sources/check": { body: { ok: true, message: "Reached.", revision: "8b0fe02c", files: 12 } },
    });
    await open(source({ credential: { kind: "token", fingerprint: "ab12", set_at: at(0) } }));
    expect(screen.getByText("ab12")).toBeTruthy();
    fireEvent.change(screen.getByLabelText("Branch"), { target: { value: "dev" } });
    press("Check");
    expect(await screen.findByText(/12 files would be indexed/)).toBeTruthy();
    expect(sent[0]?.body).toEqual({ id: 2, branch: "dev" });
  });

  it("says at the fields what the server found wrong", async () => {
    const { ApiError } = await import("../../../api/client");
    const errors = [{ location: "body.url", message: "is no address of a repository" }];
    save.mockRejectedValue(new ApiError(422, "invalid", "", "It was not saved.", errors, ""));
    await open(source());
    press("Save");
    expect(await screen.findByText("Is no address of a repository")).toBeTruthy();
    expect(screen.getByText("It was not saved.")).toBeTruthy();
  });

  it("does not send what is not whole", async () => {
    await open();
    expect(screen.getByRole<HTMLButtonElement>("button", { name: "Save" }).disabled).toBe(true);
    expect(screen.getByText("Give it a name.")).toBeTruthy();
  });

  it("browses only the allowed folders", async () => {
    serve({
      "GET /rag/local-roots": {
        body: {
          roots: [
            { path: "/srv", exists: true },
            { path: "/x", exists: false },
          ],
        },
      },
      "GET /rag/local-roots/browse": {
        body: { path: "/srv", folders: [{ name: "docs", path: "/srv/docs" }] },
      },
    });
    await show(<SourceFields start={emptyForm("local", "UTC")} action="Save" save={save} />);
    expect((await screen.findByRole<HTMLButtonElement>("button", { name: /\/x/ })).disabled).toBe(true);
    press("/srv");
    fireEvent.click(await screen.findByRole("button", { name: "docs" }));
    fireEvent.click(await screen.findByRole("button", { name: "Choose this folder" }));
    expect(screen.getByLabelText<HTMLInputElement>("Folder").value).toBe("/srv/docs");
  });
});

function Menu({ of }: { of: Source }) {
  return <IndexMenu source={of} actions={useSourceActions()} />;
}
function Orders({ of }: { of: ReturnType<typeof running> }) {
  return <RunActions run={of} actions={useSourceActions()} />;
}

describe("an index run", () => {
  it("is started in the way that fits: fresh the first time, then what changed, or planned first", async () => {
    const sent = serve({
      "POST /rag/sources/2/index": { status: 202, body: { task: { id: 90 }, index_run: running() } },
    });
    const view = await show(<Menu of={source({ index: null })} />);
    press("Index now");
    await waitFor(() => expect(sentTo(sent, "/rag/sources/2/index")[0]?.body).toEqual({ mode: "fresh" }));
    expect(sent[0]?.headers.get("Idempotency-Key")).toBeTruthy();
    view.unmount();
    await show(<Menu of={source()} />);
    press("Other ways to index");
    fireEvent.click(await screen.findByRole("menuitem", { name: /Plan first/ }));
    await waitFor(() =>
      expect(sentTo(sent, "/rag/sources/2/index")[1]?.body).toEqual({ mode: "delta", plan_first: true }),
    );
  });

  it("says who works on the source already", async () => {
    serve({
      "POST /rag/sources/2/index": {
        status: 409,
        body: { code: "conflict", reason: "rag.source_active", detail: "Node 90 is indexing this source." },
      },
    });
    await show(<Menu of={source()} />);
    press("Index now");
    expect(await screen.findByText("Node 90 is indexing this source.")).toBeTruthy();
  });

  it("takes the orders that fit its state, and asks before it is cancelled", async () => {
    const orders = Object.fromEntries(
      ["apply", "resume", "pause", "cancel"].map((o) => [
        `POST /rag/index-runs/31/${o}`,
        { status: 202, body: { index_run: running() } },
      ]),
    );
    const sent = serve(orders);
    for (const [status, button] of [
      ["planned", "Apply plan"],
      ["paused", "Resume"],
      ["indexing", "Pause"],
    ] as const) {
      const view = await show(<Orders of={running({ status })} />);
      press(button);
      await waitFor(() => expect(sent.length).toBeGreaterThan(0));
      view.unmount();
    }
    await show(<Orders of={running({ counts: counts({ added: 3, done: 1 }) })} />);
    press("Cancel");
    await screen.findByText(/What it has done so far is given up/);
    press("Cancel the run");
    await waitFor(() =>
      expect(sent.map((s) => s.path.split("/").at(-1))).toEqual(["apply", "resume", "pause", "cancel"]),
    );
  });

  const panel = (run: ReturnType<typeof running>, of = source()) => {
    const onFilter = vi.fn<(f: JournalFilter) => void>();
    function Panel() {
      return <RunPanel source={of} run={run} filter={{}} actions={useSourceActions()} onFilter={onFilter} />;
    }
    return show(<Panel />).then(() => onFilter);
  };

  it("shows its plan, with what stays, before anything is done", async () => {
    const run = running({ status: "planned", counts: counts({ found: 9, added: 1, removed: 1, kept: 7 }) });
    serve({
      "GET /rag/index-runs/31/files": list([
        indexFile("docs/new.md"),
        indexFile("docs/old.md", { action: "remove" }),
      ]),
    });
    const onFilter = await panel(run, source({ active_run: run }));
    expect(await screen.findByText("docs/old.md")).toBeTruthy();
    expect(screen.getByText("7 stay as they are")).toBeTruthy();
    press("− Remove 1");
    expect(onFilter).toHaveBeenCalledWith({ action: "remove" });
    expect(screen.queryByText("All files at once")).toBeNull();
  });

  it("tries the files that failed again", async () => {
    const run = indexRun({ counts: counts({ found: 5, added: 5, done: 3, failed: 2 }) });
    const sent = serve({
      "GET /rag/index-runs/31/errors": list([
        { code: "rag.parse_failed", message: "No text layer.", count: 2, paths: ["a.pdf"] },
      ]),
      "GET /rag/index-runs/31/files": list([]),
      "POST /rag/sources/2/index": {
        status: 202,
        body: { task: { id: 91 }, index_run: running({ id: 32 }) },
      },
    });
    const onFilter = await panel(run);
    expect(await screen.findByText("No text layer.")).toBeTruthy();
    expect(screen.getByText("and 1 more")).toBeTruthy();
    press("Show them");
    expect(onFilter).toHaveBeenCalledWith({ status: "failed" });
    press("Retry these");
    await waitFor(() =>
      expect(sentTo(sent, "/rag/sources/2/index")[0]?.body).toEqual({ mode: "delta", only_failed_of: 31 }),
    );
  });

  it("draws every file, names the one under the keys, and leads to it", async () => {
    const files = [indexFile("a.md", { status: "done" }), indexFile("b.md", { status: "failed" })];
    serve({ "GET /rag/index-runs/31/files": list(files), "GET /rag/index-runs/31/errors": list([]) });
    const onFilter = await panel(running({ counts: counts({ found: 2, added: 2, done: 1, failed: 1 }) }));
    const grid = await screen.findByRole("listbox", { name: "Files of this run" });
    expect(within(grid).getAllByRole("option")).toHaveLength(2);
    fireEvent.keyDown(grid, { key: "End" });
    expect(screen.getByText(/^b\.md: Failed/)).toBeTruthy();
    fireEvent.keyDown(grid, { key: "Enter" });
    expect(onFilter).toHaveBeenCalledWith({ q: "b.md" });
  });

  it("leads to its node, and says that nothing was indexed where nothing was", async () => {
    serve({});
    await panel(indexRun());
    expect(screen.getByRole("link", { name: /node 90/ }).getAttribute("href")).toBe("/nodes/90");
    await show(
      <ShownRun
        source={source({ last_run: null, index: null })}
        wanted={undefined}
        filter={{}}
        actions={null}
        onFilter={() => {}}
      />,
    );
    expect(screen.getByText("Not indexed yet")).toBeTruthy();
  });

  it("stays in the history with how long it took", async () => {
    serve({ "GET /rag/index-runs": list([indexRun({ counts: counts({ changed: 3 }) })]) });
    await show(<RunHistory source={2} />);
    expect(await screen.findByText("3 changed.")).toBeTruthy();
    expect(screen.getByText("59 s")).toBeTruthy();
  });
});

describe("what is indexed", () => {
  it("is shown in chunks, with where each stands and whether it has a vector", async () => {
    const position = { line_start: 3, line_end: 9, page: 0, heading: ["Jobs", "Retries"] };
    const chunk = {
      id: 5,
      key: "abcdef123456",
      ordinal: 0,
      text: "It is tried again.",
      context: "",
      tokens: 7,
    };
    serve({ "GET /rag/files/70/chunks": list([{ ...chunk, position, has_vector: false }]) });
    await show(<ChunkList file={70} wanted={{ id: 99 }} />);
    expect(await screen.findByText("It is tried again.")).toBeTruthy();
    expect(screen.getByText("lines 3–9")).toBeTruthy();
    expect(screen.getByText("Jobs › Retries")).toBeTruthy();
    expect(screen.getByText("no vector")).toBeTruthy();
    expect(screen.getByText(/no longer in the index/)).toBeTruthy();
  });

  it("says that searches go by words where there is no embedding model", async () => {
    serve({
      "GET /rag/health": {
        body: {
          status: "configured_healthy",
          sources: 1,
          indexed_sources: 1,
          embedder: { configured: false, ok: false, model: "", message: "" },
          store: { ok: true, vector_backend: "none", pgvector: false, message: "" },
          reasons: [],
        },
      },
    });
    await show(<HealthBanner />);
    expect((await screen.findByRole("status")).textContent).toContain("Searches go by words alone.");
    expect(screen.getByRole("link").getAttribute("href")).toBe("/settings/retrieval");
  });
});
