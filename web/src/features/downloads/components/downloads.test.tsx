import { fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { detail, file, job, plan } from "../../../test/downloads";
import { serve, show } from "../../../test/render";
import { JobActions } from "./job-actions";
import { JobView } from "./job-view";
import { NewDownload } from "./new-download";

it("plans first, and downloads what was looked at", async () => {
  const sent = serve({
    "POST /downloads/plan": { body: plan({}) },
    "POST /downloads": { status: 202, body: { ...job({ id: 7 }), created: true } },
  });
  const created = vi.fn();
  await show(<NewDownload onCreated={created} />);
  const download = screen.getByRole<HTMLButtonElement>("button", { name: "Download" });
  expect(download.disabled).toBe(true);
  fireEvent.change(screen.getByLabelText("Model"), { target: { value: " o/m " } });
  fireEvent.change(screen.getByLabelText("Not these"), { target: { value: "*.md, *.onnx" } });
  fireEvent.click(screen.getByRole("button", { name: "Look at it" }));
  await screen.findByText("2 of 3 files, 100 B to download");
  expect(sent[0]?.body).toEqual({ repo_id: "o/m", include: [], exclude: ["*.md", "*.onnx"] });
  fireEvent.click(download);
  await waitFor(() => expect(created).toHaveBeenCalledWith(expect.objectContaining({ id: 7 })));
  expect(sent[1]?.headers.get("Idempotency-Key")).toBeTruthy();
});

it("does not start what does not fit, and looks again after a change", async () => {
  serve({
    "POST /downloads/plan": {
      body: plan({ fits: false, bytes_to_fetch: 900, disk: { free: 600, total: 1000, reserve: 100 } }),
    },
  });
  await show(<NewDownload from={{ repo: "o/m" }} onCreated={() => {}} />);
  fireEvent.click(screen.getByRole("button", { name: "Look at it" }));
  await screen.findByText(/It does not fit: 900 B/);
  expect(screen.getByRole<HTMLButtonElement>("button", { name: "Download" }).disabled).toBe(true);
  fireEvent.change(screen.getByLabelText("Revision"), { target: { value: "v2" } });
  expect(screen.queryByText(/It does not fit/)).toBeNull();
});

it("says what the hub refused", async () => {
  const refusal = { code: "invalid", reason: "download.gated", detail: "o/m is gated: ask for access." };
  serve({ "POST /downloads/plan": { status: 422, body: refusal } });
  await show(<NewDownload from={{ repo: "o/m" }} onCreated={() => {}} />);
  fireEvent.click(screen.getByRole("button", { name: "Look at it" }));
  expect((await screen.findByRole("alert")).textContent).toContain("ask for access");
});

it("shows which parts of each file are there, and that it was verified", async () => {
  const files = [
    file({}),
    file({ id: 2, path: "done.bin", status: "succeeded", bytes_done: 100, ranges: [[0, 100]] }),
  ];
  await show(<JobView job={detail({ files })} />);
  const bar = screen.getByLabelText("Progress of model.safetensors");
  expect(bar.children.length).toBe(2);
  expect(bar.getAttribute("aria-valuenow")).toBe("30");
  expect(screen.getByLabelText(/^Verified: SHA-256 abab/)).toBeTruthy();
});

it("tells why it failed and what to do", async () => {
  const error = { code: "wrong_hash", message: "m.bin: two hashes. Ask the owner.", retryable: false };
  await show(<JobView job={detail({ status: "failed", error, finished_at: "2026-01-01T00:01:00Z" })} />);
  expect(screen.getByRole("alert").textContent).toContain("Ask the owner");
  expect(screen.getByText("A file is not what the hub publishes")).toBeTruthy();
});

it("pauses without asking, and asks before it removes bytes", async () => {
  const sent = serve({
    "POST /downloads/1/pause": { status: 202, body: job({}) },
    "POST /downloads/1/cancel": { status: 202, body: job({}) },
  });
  await show(<JobActions job={job({})} onGone={() => {}} />);
  fireEvent.click(screen.getByRole("button", { name: "Pause" }));
  await waitFor(() => expect(sent.map((s) => s.path)).toEqual(["/downloads/1/pause"]));
  fireEvent.click(screen.getByRole("button", { name: "Cancel" }));
  await screen.findByText(/The 50 B that it has fetched are removed/);
  fireEvent.click(screen.getByRole("button", { name: "Cancel the download" }));
  await waitFor(() => expect(sent.at(-1)?.path).toBe("/downloads/1/cancel"));
});

it("says how many bytes go with a record", async () => {
  const sent = serve({ "DELETE /downloads/1": { status: 202, body: {} } });
  const gone = vi.fn();
  const done = job({ status: "succeeded", bytes_total: 3 * 1024 ** 3, finished_at: "2026-01-01T00:01:00Z" });
  await show(<JobActions job={done} onGone={gone} />);
  fireEvent.click(screen.getByRole("button", { name: "Delete" }));
  fireEvent.click(await screen.findByRole("switch"));
  fireEvent.click(screen.getByRole("button", { name: "Delete with 3.0 GiB" }));
  await waitFor(() => expect(gone).toHaveBeenCalled());
  expect(sent[0]?.method).toBe("DELETE");
});

it("downloads a failed one again with what was asked for", async () => {
  const failed = job({ id: 7, status: "failed", repo_id: "o/m", revision: "v2", include: ["*.json", "a b"] });
  await show(<JobActions job={failed} onGone={() => {}} />);
  const link = screen.getByRole("link", { name: "Download again" });
  const { pathname, searchParams } = new URL(link.getAttribute("href") ?? "", "http://x");
  expect(pathname).toBe("/downloads/new");
  expect(Object.fromEntries(searchParams)).toEqual({ repo: "o/m", revision: "v2", include: "*.json\na b" });
});
