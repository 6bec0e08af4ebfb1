import { fireEvent, screen } from "@testing-library/react";
import { expect, it } from "vitest";
import type { Integration } from "../../api/aliases";
import { serve, show } from "../../test/render";
import { Integrations } from "./integrations";

const github: Integration = {
  key: "github",
  name: "GitHub",
  configured: true,
  missing: [],
  config: { api_url: "https://git.test" },
  accepted: ["api_url", "pat"],
  secrets: [{ name: "pat", fingerprint: "ab12", set_at: "2026-01-01T00:00:00Z" }],
  revision: 4,
  updated_at: null,
};

const patch = "PATCH /settings/integrations/github";
const save = () => screen.getByRole<HTMLButtonElement>("button", { name: "Save" });

async function open(reply: Parameters<typeof serve>[0][string] = { body: github }, manages = true) {
  const sent = serve({ "GET /settings/integrations": { body: { items: [github] } }, [patch]: reply });
  await show(<Integrations manages={manages} />);
  await screen.findByText("GitHub");
  return sent;
}

it("writes a secret and never shows one", async () => {
  const sent = await open();
  const pat = screen.getByLabelText<HTMLInputElement>("Personal access token of GitHub");
  expect(pat.value).toBe("");
  expect(save().disabled).toBe(true);
  fireEvent.change(pat, { target: { value: "t0ken" } });
  fireEvent.click(save());
  await screen.findByText("GitHub is saved.");
  expect(sent[1]?.body).toEqual({ pat: "t0ken" });
  expect(sent[1]?.headers.get("If-Match")).toBe('"4"');
  expect(screen.getByLabelText<HTMLInputElement>("Personal access token of GitHub").value).toBe("");
});

it("removes what is emptied, and a secret only when asked to", async () => {
  const sent = await open();
  fireEvent.change(screen.getByLabelText("API URL of GitHub"), { target: { value: "" } });
  fireEvent.click(screen.getByRole("button", { name: "Remove" }));
  screen.getByText("Removed once saved.");
  fireEvent.click(save());
  await screen.findByText("GitHub is saved.");
  expect(sent[1]?.body).toEqual({ api_url: null, pat: null });
});

it("says at the member what cannot be", async () => {
  const errors = [{ location: "body.api_url", message: "is no address" }];
  await open({ status: 400, body: { detail: "It cannot be used.", errors } });
  fireEvent.change(screen.getByLabelText("API URL of GitHub"), { target: { value: "x" } });
  fireEvent.click(save());
  expect((await screen.findByText("is no address")).parentElement?.textContent).toMatch(/^API URL/);
});

it("only shows them to who does not manage", async () => {
  await open(undefined, false);
  for (const name of ["Save", "Remove"]) expect(screen.queryByRole("button", { name })).toBeNull();
  expect(screen.getByLabelText<HTMLInputElement>("Personal access token of GitHub").disabled).toBe(true);
});
