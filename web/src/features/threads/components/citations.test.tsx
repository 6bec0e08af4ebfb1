import { fireEvent, screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { show } from "../../../test/render";
import { Citations } from "./citations";

it("shows a passage with its place, and leads to the chunks of its file", async () => {
  const items = [
    {
      number: 1,
      source_id: 2,
      path: "docs/jobs.md",
      position: "lines 3–9",
      score: 0.5,
      text: "Tried again.",
    },
  ];
  await show(<Citations items={items} />);
  fireEvent.mouseEnter(screen.getByRole("button", { name: /jobs\.md/ }));
  expect(await screen.findByText("Tried again.")).toBeTruthy();
  expect(screen.getByText("lines 3–9")).toBeTruthy();
  const link = screen.getByRole("link", { name: "Its chunks in the index" });
  expect(link.getAttribute("href")).toBe("/sources/2/files?path=docs%2Fjobs.md");
});
