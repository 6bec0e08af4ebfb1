import { Button } from "@mantine/core";
import { IconAlertTriangle, IconCircleCheck, IconPlugConnected } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useState } from "react";
import type { Source, SourceCheck } from "../../../api/aliases";
import { ApiError } from "../../../api/client";
import { ErrorNotice } from "../../../ui/feedback";
import { count } from "../../../ui/format";
import { NumberInput, Textarea, TextInput } from "../../../ui/inputs";
import { checkSource } from "../api";
import { changeOf, draftOf, faultsOf, missingOf, type SourceForm } from "../form";
import classes from "../sources.module.css";
import { PlaceFields } from "./place-fields";
import { ScheduleFields } from "./schedule-fields";

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <fieldset className={classes.part}>
      <legend>{title}</legend>
      {children}
    </fieldset>
  );
}

function Verdict({ check }: { check: SourceCheck }) {
  const Icon = check.ok ? IconCircleCheck : IconAlertTriangle;
  return (
    <div className={classes.verdict} data-bad={!check.ok || undefined} role="status">
      <Icon size={17} aria-hidden />
      <div>
        {check.message}
        {check.ok && (check.files !== undefined || check.revision) && (
          <small>
            {check.files !== undefined && `${count(check.files)} files would be indexed. `}
            {check.revision && (
              <>
                At <code>{check.revision.slice(0, 12)}</code>.
              </>
            )}
          </small>
        )}
      </div>
    </div>
  );
}

interface Props {
  start: SourceForm;
  /** The one that is changed; its secret may stay as it is stored. */
  source?: Source;
  action: string;
  save: (form: SourceForm) => Promise<unknown>;
  /** Whether there is anything to save. */
  differs?: (form: SourceForm) => boolean;
  aside?: ReactNode;
}

/** A stored secret is not here: a change is checked as one, so that the server takes it along. */
const checkBody = (form: SourceForm, source: Source | undefined) =>
  source ? { id: source.id, ...changeOf(form, source) } : draftOf(form);

/** Everything that a source is, with a look at whether it can be reached before it is saved. */
export function SourceFields({ start, source, action, save, differs, aside }: Props) {
  const [form, setForm] = useState(start);
  const saving = useMutation({ mutationFn: () => save(form) });
  const changed = differs?.(form) ?? true;
  const checking = useMutation({ mutationFn: () => checkSource(checkBody(form, source)) });
  const change = (part: Partial<SourceForm>) => {
    setForm((known) => ({ ...known, ...part }));
    checking.reset(); // it was of something else
  };
  const error = saving.error ?? checking.error;
  const fault = faultsOf(saving.error, checking.error, checking.data);
  const atFields = error instanceof ApiError && error.errors.length > 0;
  const missing = missingOf(form);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    saving.mutate();
  };
  return (
    <form className={classes.form} onSubmit={submit} autoComplete="off">
      <Part title="What it is">
        <TextInput
          label="Name"
          placeholder="Handbook"
          maxLength={200}
          data-autofocus
          value={form.name}
          error={fault("name")}
          onChange={(e) => change({ name: e.currentTarget.value })}
        />
        <PlaceFields form={form} fault={fault} change={change} stored={source?.credential ?? null} />
      </Part>
      <Part title="Which files">
        <div className={classes.pair}>
          <Textarea
            label="Only these"
            description="Patterns, one a line; ** crosses folders"
            placeholder={"docs/**\n**/*.md"}
            autosize
            minRows={3}
            maxRows={10}
            spellCheck={false}
            value={form.include}
            error={fault("include")}
            onChange={(e) => change({ include: e.currentTarget.value })}
          />
          <Textarea
            label="Not these"
            description="They win over the ones beside"
            placeholder={"**/node_modules/**\n*.min.js"}
            autosize
            minRows={3}
            maxRows={10}
            spellCheck={false}
            value={form.exclude}
            error={fault("exclude")}
            onChange={(e) => change({ exclude: e.currentTarget.value })}
          />
        </div>
        <NumberInput
          label="Largest file"
          w={220}
          placeholder="As under Settings"
          suffix=" MiB"
          min={0.001}
          max={1024}
          decimalScale={3}
          value={form.maxMegabytes}
          error={fault("max_file_bytes")}
          onChange={(v) => change({ maxMegabytes: typeof v === "number" ? v : "" })}
        />
      </Part>
      <Part title="When">
        <ScheduleFields form={form} fault={fault} error={saving.error} change={change} />
      </Part>
      {error && !atFields && <ErrorNotice error={error} />}
      {atFields && <ErrorNotice error={new ApiError(0, "", "", error.detail, [], error.requestId)} />}
      {checking.data && <Verdict check={checking.data} />}
      <div className={classes.formActions}>
        {aside}
        <span className={classes.quiet}>{missing}</span>
        <Button
          variant="default"
          leftSection={<IconPlugConnected size={15} />}
          loading={checking.isPending}
          disabled={missing !== "" && missing !== "Give it a name."}
          onClick={() => checking.mutate()}
        >
          Check
        </Button>
        <Button type="submit" loading={saving.isPending} disabled={missing !== "" || !changed}>
          {action}
        </Button>
      </div>
    </form>
  );
}
