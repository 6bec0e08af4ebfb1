// What the form of a source holds, and the requests that it means. Pure.

import {
  isObject,
  type Source,
  type SourceChange,
  type SourceCheck,
  type SourceDraft,
  type SourceKind,
} from "../../api/aliases";
import { ApiError } from "../../api/client";

export type SecretKind = "none" | "token" | "ssh_key" | "service_account";
export type Timing = "off" | "every" | "cron";
export const units = { minutes: 60, hours: 3_600, days: 86_400 } as const;
export type Unit = keyof typeof units;

export interface SourceForm {
  name: string;
  kind: SourceKind;
  path: string;
  url: string;
  branch: string;
  subfolder: string;
  submodules: boolean;
  folderId: string;
  endpoint: string;
  include: string;
  exclude: string;
  /** In MiB; "": as the settings say. */
  maxMegabytes: number | "";
  secretKind: SecretKind;
  /** "": the stored one stays. */
  secret: string;
  timing: Timing;
  every: number;
  unit: Unit;
  cron: string;
  timeZone: string;
  mode: "fresh" | "delta";
  enabled: boolean;
}

export const emptyForm = (kind: SourceKind, timeZone: string): SourceForm => ({
  name: "",
  kind,
  path: "",
  url: "",
  branch: "",
  subfolder: "",
  submodules: false,
  folderId: "",
  endpoint: "",
  include: "",
  exclude: "",
  maxMegabytes: "",
  secretKind: kind === "google_drive" ? "service_account" : "none",
  secret: "",
  timing: "off",
  every: 6,
  unit: "hours",
  cron: "0 3 * * *",
  timeZone,
  mode: "delta",
  enabled: true,
});

function intervalOf(seconds: number): { every: number; unit: Unit } {
  for (const unit of ["days", "hours", "minutes"] as const)
    if (seconds % units[unit] === 0) return { every: seconds / units[unit], unit };
  return { every: Math.max(1, Math.round(seconds / 60)), unit: "minutes" };
}

const mebibyte = 1_048_576;

/** A form that says what a source is; a copy has neither its name nor its secret. */
export function formOf(source: Source, timeZone: string, copy = false): SourceForm {
  const base = emptyForm(source.kind, timeZone);
  const { schedule } = source;
  return {
    ...base,
    name: copy ? `${source.name} copy` : source.name,
    path: source.path ?? "",
    url: source.url ?? "",
    branch: source.branch ?? "",
    subfolder: source.subfolder ?? "",
    submodules: source.submodules ?? false,
    folderId: source.folder_id ?? "",
    endpoint: source.endpoint ?? "",
    include: source.include.join("\n"),
    exclude: source.exclude.join("\n"),
    maxMegabytes: source.max_file_bytes === null ? "" : source.max_file_bytes / mebibyte,
    secretKind: source.credential?.kind ?? base.secretKind,
    ...(schedule && {
      timing: schedule.cron !== null ? ("cron" as const) : ("every" as const),
      ...(schedule.cron !== null && { cron: schedule.cron }),
      ...(schedule.every_seconds !== null && intervalOf(schedule.every_seconds)),
      timeZone: schedule.time_zone || timeZone,
      mode: schedule.mode,
      enabled: schedule.enabled,
    }),
  };
}

export const patternsOf = (text: string): string[] =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);

function scheduleOf(form: SourceForm): SourceDraft["schedule"] {
  if (form.timing === "off") return null;
  const rest = { mode: form.mode, enabled: form.enabled };
  return form.timing === "cron"
    ? { cron: form.cron.trim(), time_zone: form.timeZone, ...rest }
    : { every_seconds: Math.round(form.every * units[form.unit]), ...rest };
}

function placeOf(form: SourceForm): Partial<SourceDraft> {
  switch (form.kind) {
    case "local":
      return { path: form.path.trim() };
    case "git":
      return {
        url: form.url.trim(),
        branch: form.branch.trim(),
        subfolder: form.subfolder.trim(),
        submodules: form.submodules,
      };
    case "google_drive":
      return {
        folder_id: folderIdOf(form.folderId),
        ...(form.endpoint.trim() && { endpoint: form.endpoint.trim() }),
      };
  }
}

/** The id in what was pasted: the address of a folder, or the id itself. */
export function folderIdOf(text: string): string {
  return /\/folders\/([\w-]+)/.exec(text)?.[1] ?? text.trim();
}

const secretNames = ["token", "ssh_key", "service_account"] as const;

/** What is sent of the secret: nothing where the stored one stays, null where it goes. */
function secretOf(form: SourceForm, stored: Source["credential"]): Partial<SourceDraft> {
  if (form.secretKind === "none")
    return stored && stored.kind !== "service_account" ? { [stored.kind]: null } : {};
  if (form.secret.trim() === "") return {};
  const name = secretNames.find((n) => n === form.secretKind);
  return name ? { [name]: form.secretKind === "token" ? form.secret.trim() : form.secret } : {};
}

const shared = (form: SourceForm) => ({
  name: form.name.trim(),
  ...placeOf(form),
  include: patternsOf(form.include),
  exclude: patternsOf(form.exclude),
  max_file_bytes: form.maxMegabytes === "" ? null : Math.round(form.maxMegabytes * mebibyte),
});

export const draftOf = (form: SourceForm): SourceDraft => ({
  kind: form.kind,
  ...shared(form),
  ...secretOf(form, null),
  ...(form.timing !== "off" && { schedule: scheduleOf(form) ?? null }),
});

const equal = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Only what differs is sent, so that two people can change different things. */
export function changeOf(form: SourceForm, saved: Source): SourceChange {
  const before = formOf(saved, form.timeZone);
  const was: Record<string, unknown> = shared(before);
  const change = Object.fromEntries(Object.entries(shared(form)).filter(([name, v]) => !equal(v, was[name])));
  const timing = scheduleOf(form);
  return {
    ...change,
    ...secretOf(form, saved.credential),
    ...(!equal(timing, scheduleOf(before)) && { schedule: timing ?? null }),
  };
}

/** What is missing before anybody is asked; "" when nothing is. */
export function missingOf(form: SourceForm): string {
  if (!form.name.trim()) return "Give it a name.";
  if (form.kind === "local" && !form.path.trim()) return "Choose a folder.";
  if (form.kind === "git" && !form.url.trim()) return "Say where the repository is.";
  if (form.kind === "google_drive" && !form.folderId.trim()) return "Say which folder.";
  return "";
}

export type Fault = (field: string) => string | undefined;

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

const isCheck = (value: unknown): value is SourceCheck =>
  isObject(value) &&
  typeof value.ok === "boolean" &&
  (value.errors === undefined || Array.isArray(value.errors));

/** What the server found wrong, by field: in refusals, and in what a check said. */
export function faultsOf(...errors: unknown[]): Fault {
  const found = errors.flatMap((e) => (e instanceof ApiError || isCheck(e) ? (e.errors ?? []) : []));
  return (field) => {
    const own = found.filter(
      (f) => f.location === `body.${field}` || f.location.startsWith(`body.${field}[`),
    );
    return own.length > 0 ? own.map((f) => capital(f.message)).join("; ") : undefined;
  };
}

/** An error of the schedule, as the fields of a schedule on its own name it. */
export function scheduleError(error: unknown): unknown {
  if (!(error instanceof ApiError)) return error;
  const errors = error.errors.map((f) => ({
    ...f,
    location: f.location.replace(/^body\.schedule\./, "body."),
  }));
  return new ApiError(error.status, error.code, error.reason, error.detail, errors, error.requestId);
}
