import { fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { serve, show } from "../../test/render";
import { RetentionSection } from "./retention";

const stored = { event_days: 180, text_days: 90, firing_days: 180, run_days: null };
const daysOf = (what: string) => screen.getByLabelText<HTMLInputElement>(`Days that ${what} are kept`);
const forever = (what: string) => screen.getByLabelText<HTMLInputElement>(`Keep ${what} for ever`);
const save = () => screen.getByRole<HTMLButtonElement>("button", { name: "Save" });

it("shows the ages, and what is kept for ever", async () => {
  serve({ "GET /settings/retention": { body: stored, etag: '"3"' } });
  await show(<RetentionSection manages={false} />);
  await waitFor(() => expect(daysOf("events").value).toBe("180 days"));
  expect(daysOf("streamed text").value).toBe("90 days");
  expect(daysOf("runs").value).toBe("");
  expect([forever("events").checked, forever("runs").checked]).toEqual([false, true]);
  expect(daysOf("events").disabled).toBe(true);
  expect(screen.queryByRole("button", { name: "Save" })).toBeNull();
});

it("saves what is kept longer at once, against the version that was seen", async () => {
  const longer = { ...stored, event_days: 365, text_days: null };
  const sent = serve({
    "GET /settings/retention": { body: stored, etag: '"3"' },
    "PATCH /settings/retention": { body: longer, etag: '"4"' },
  });
  await show(<RetentionSection manages />);
  await waitFor(() => expect(save().disabled).toBe(true));
  fireEvent.change(daysOf("events"), { target: { value: "365" } });
  fireEvent.click(forever("streamed text"));
  fireEvent.click(save());
  await screen.findByText(/^Saved\./);
  expect(sent[1]?.body).toEqual(longer);
  expect(sent[1]?.headers.get("If-Match")).toBe('"3"');
  await waitFor(() => expect(save().disabled).toBe(true));
});

it("asks before something is removed", async () => {
  const sent = serve({
    "GET /settings/retention": { body: stored, etag: '"3"' },
    "PATCH /settings/retention": { body: { ...stored, run_days: 30 }, etag: '"4"' },
  });
  await show(<RetentionSection manages />);
  await waitFor(() => save());
  fireEvent.click(forever("runs"));
  fireEvent.change(daysOf("runs"), { target: { value: "30" } });
  fireEvent.click(save());
  await screen.findByText("Remove old runs?");
  expect(sent).toHaveLength(1);
  fireEvent.click(screen.getByRole("button", { name: "Save and remove" }));
  await screen.findByText(/^Saved\./);
  expect(sent[1]?.body).toEqual({ ...stored, run_days: 30 });
});

it("says at the field what cannot be", async () => {
  serve({
    "GET /settings/retention": { body: stored, etag: '"3"' },
    "PATCH /settings/retention": {
      status: 400,
      body: {
        detail: "The settings cannot be used.",
        errors: [
          { location: "body.firing_days", message: "is 400; accepted are 1 to 365, or null for ever" },
        ],
      },
    },
  });
  await show(<RetentionSection manages />);
  await waitFor(() => save());
  fireEvent.change(daysOf("events"), { target: { value: "0" } });
  screen.getByText("0 is not between 1 and 36,500 days.");
  expect(save().disabled).toBe(true);
  fireEvent.change(daysOf("events"), { target: { value: "" } });
  screen.getByText("Give a number of days, or choose for ever.");
  fireEvent.change(daysOf("events"), { target: { value: "180" } });
  fireEvent.change(daysOf("firings"), { target: { value: "400" } });
  fireEvent.click(save());
  const fault = await screen.findByText(/is 400; accepted are 1 to 365/);
  expect(fault.closest("div")?.textContent).toMatch(/^Firings/);
  fireEvent.change(daysOf("firings"), { target: { value: "200" } });
  expect(screen.queryByText(/accepted are 1 to 365/)).toBeNull();
});

it("says that somebody else has saved meanwhile", async () => {
  serve({
    "GET /settings/retention": { body: stored, etag: '"3"' },
    "PATCH /settings/retention": { status: 412, body: { detail: "Somebody saved these settings." } },
  });
  await show(<RetentionSection manages />);
  await waitFor(() => save());
  fireEvent.change(daysOf("events"), { target: { value: "200" } });
  fireEvent.click(save());
  await screen.findByText("Somebody saved these settings.");
});
