import { describe, expect, it } from "vitest";
import { ApiError } from "../../api/client";
import { source } from "../../test/sources";
import { changeOf, draftOf, emptyForm, faultsOf, folderIdOf, formOf, missingOf, scheduleError } from "./form";

const git = { ...emptyForm("git", "UTC"), name: " Docs ", url: "https://x/y.git" };
const schedule = {
  id: 1,
  cron: null,
  every_seconds: 21_600,
  time_zone: "Europe/Berlin",
  mode: "delta" as const,
  enabled: true,
  next_due_at: null,
};
const credential = { kind: "token" as const, fingerprint: "ab", set_at: "" };

describe("a new source", () => {
  it("sends what its kind has, and no secret that was not given", () => {
    expect(draftOf({ ...git, include: "docs/**\n\n *.md ", maxMegabytes: 2 })).toEqual({
      kind: "git",
      name: "Docs",
      url: "https://x/y.git",
      branch: "",
      subfolder: "",
      submodules: false,
      include: ["docs/**", "*.md"],
      exclude: [],
      max_file_bytes: 2_097_152,
    });
    expect(draftOf({ ...emptyForm("local", "UTC"), name: "n", path: "/srv" })).toEqual({
      kind: "local",
      name: "n",
      path: "/srv",
      include: [],
      exclude: [],
      max_file_bytes: null,
    });
  });

  it("keeps a key as it was pasted, and trims a token", () => {
    const key = "-----BEGIN-----\nx\n";
    expect(draftOf({ ...git, secretKind: "ssh_key", secret: key }).ssh_key).toBe(key);
    expect(draftOf({ ...git, secretKind: "token", secret: " t " }).token).toBe("t");
  });

  it("has an interval or an expression with its time zone", () => {
    expect(draftOf({ ...git, timing: "every", every: 90, unit: "minutes" }).schedule).toEqual({
      every_seconds: 5_400,
      mode: "delta",
      enabled: true,
    });
    expect(draftOf({ ...git, timing: "cron", cron: " 0 3 * * * ", timeZone: "Asia/Tokyo" }).schedule).toEqual(
      {
        cron: "0 3 * * *",
        time_zone: "Asia/Tokyo",
        mode: "delta",
        enabled: true,
      },
    );
  });

  it("takes the id out of a folder's address", () => {
    expect(folderIdOf("https://drive.google.com/drive/u/0/folders/1a-B_c?usp=sharing")).toBe("1a-B_c");
    expect(folderIdOf(" 1a-B_c ")).toBe("1a-B_c");
  });

  it("says what is missing before anybody is asked", () => {
    expect(missingOf(emptyForm("git", "UTC"))).toBe("Give it a name.");
    expect(missingOf({ ...emptyForm("local", "UTC"), name: "x" })).toBe("Choose a folder.");
    expect(missingOf(git)).toBe("");
  });
});

describe("a change", () => {
  it("sends only what differs", () => {
    const saved = source({ schedule, credential });
    const form = formOf(saved, "UTC");
    expect(changeOf(form, saved)).toEqual({});
    expect(changeOf({ ...form, name: "Other", exclude: "*.lock" }, saved)).toEqual({
      name: "Other",
      exclude: ["*.lock"],
    });
    expect(form).toMatchObject({ timing: "every", every: 6, unit: "hours" });
  });

  it("leaves a stored secret unless another is given or it is taken away", () => {
    const saved = source({ credential });
    const form = formOf(saved, "UTC");
    expect(changeOf({ ...form, secret: "new" }, saved)).toEqual({ token: "new" });
    expect(changeOf({ ...form, secretKind: "none" }, saved)).toEqual({ token: null });
    expect(changeOf({ ...form, secretKind: "ssh_key", secret: "k" }, saved)).toEqual({ ssh_key: "k" });
  });

  it("takes a schedule away", () => {
    const saved = source({ schedule });
    expect(changeOf({ ...formOf(saved, "UTC"), timing: "off" }, saved)).toEqual({ schedule: null });
  });

  it("begins a copy without the name and the secret of its original", () => {
    const copy = formOf(source({ credential }), "UTC", true);
    expect(copy).toMatchObject({ name: "Handbook copy", secretKind: "token", secret: "" });
  });
});

describe("what the server found wrong", () => {
  const error = new ApiError(
    422,
    "invalid",
    "",
    "No.",
    [
      { location: "body.include[1]", message: "the pattern [ is not closed" },
      { location: "body.schedule.cron", message: "is no expression" },
    ],
    "",
  );

  it("stands at its field", () => {
    const fault = faultsOf(error);
    expect(fault("include")).toBe("The pattern [ is not closed");
    expect(fault("exclude")).toBeUndefined();
    expect(faultsOf(new Error("x"))("name")).toBeUndefined();
    const check = { ok: false, message: "No.", errors: [{ location: "body.url", message: "is none" }] };
    expect(faultsOf(undefined, check)("url")).toBe("Is none");
  });

  it("of the schedule is said as the fields of a schedule name it", () => {
    expect(scheduleError(error)).toMatchObject({ errors: [{}, { location: "body.cron" }] });
  });
});
