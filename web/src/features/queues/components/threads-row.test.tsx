import { screen, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { queue, threadsQueue } from "../../../test/queues";
import { show } from "../../../test/render";
import { lookOfThreads } from "../threads-look";
import { QueueTable } from "./queue-table";
import { ThreadsRow } from "./threads-row";

it("shows the turns of threads below the queues, with what they wait for", async () => {
  const threads = threadsQueue({
    waiting: 3,
    waiting_seconds: 75,
    behind: 2,
    scheduled: 1,
    needs_approval: 4,
    running: 6,
    consumers: 2,
  });
  await show(
    <QueueTable queues={[queue()]} manages>
      <ThreadsRow threads={threads} manages />
    </QueueTable>,
  );
  const row = (await screen.findAllByRole("row")).at(-1);
  if (!row) throw new Error("the row is missing");
  for (const text of [
    "Working",
    "oldest 1 min 15 s",
    "1 for a busy provider",
    "2 behind another",
    "2 workers",
  ])
    within(row).getByText(text);
  expect(within(row).getByRole("link", { name: "4 for approval" }).getAttribute("href")).toBe("/approvals");
  expect(within(row).queryByRole("button")).toBeNull();
  expect(within(row).getAllByRole("cell")).toHaveLength(screen.getAllByRole("columnheader").length);
});

it.each([
  [{ no_consumer: true, waiting: 1, consumers: 0 }, "stuck"],
  [{ consumers: 0 }, "unserved"],
  [{ waiting: 1 }, "working"],
  [{}, "idle"],
])("is %o: %s", (from, kind) => {
  expect(lookOfThreads(threadsQueue(from)).kind).toBe(kind);
});
