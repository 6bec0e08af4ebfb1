import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { beforeEach, expect, it } from "vitest";
import { serve, show } from "../../../test/render";
import { Markdown } from "../../../ui/markdown/markdown";
import { Citations, Cited } from "./citations";

beforeEach(() => void serve({}));

const items = [
  {
    number: 1,
    source_id: 2,
    path: "docs/jobs.md",
    position: "lines 3–9",
    score: 0.5,
    text: "Tried again.",
    chunk: "abc",
  },
  { number: 2, source_id: 2, path: "docs/queue.md", score: 0.4, text: "In their order." },
];

it("shows a passage with its place, and leads to the chunk in the index", async () => {
  await show(<Citations items={items} pieces={[]} />);
  fireEvent.mouseEnter(screen.getByRole("button", { name: /jobs\.md/ }));
  expect(await screen.findByText("Tried again.")).toBeTruthy();
  expect(screen.getByText("lines 3–9")).toBeTruthy();
  const link = screen.getByRole("link", { name: "Open in the index" });
  expect(link.getAttribute("href")).toBe("/sources/2/files?path=docs%2Fjobs.md&key=abc&at=lines+3%E2%80%939");
});

it("makes the numbers in the text lead to their passages, and leaves those without one", async () => {
  await show(
    <Cited items={items}>
      <Markdown text={"Jobs are tried again [1, 9].\n\n`[2]` and [more [2]](https://example.org)"} />
    </Cited>,
  );
  const marks = screen.getAllByRole("button", { name: /^Passage/ });
  expect(marks.map((m) => m.textContent)).toEqual(["1"]);
  expect(screen.getByText(/Jobs are tried again/).textContent).toContain("1[9]");
  for (const mark of marks) fireEvent.click(mark);
  const card = await screen.findByRole("dialog", { name: "Passage 1: jobs.md" });
  expect(within(card).getByText("Tried again.")).toBeTruthy();
  fireEvent.keyDown(card, { key: "Escape" });
  await waitFor(() => expect(screen.queryByText("Tried again.")).toBeNull());
});

it("sets apart what the answer does not name", async () => {
  await show(<Citations items={items} pieces={[{ kind: "text", key: "t0", text: "As [1] says." }]} />);
  expect(screen.getByRole("button", { name: "Passage 1: jobs.md" })).toBeTruthy();
  expect(
    screen.getByRole("button", { name: "Passage 2: queue.md, not named in the answer" }).dataset.unused,
  ).toBe("true");
});
