import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useState } from "react";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { NumberInput, Select } from "../../../ui/inputs";
import { notify } from "../../../ui/notices";
import { Section } from "../../../ui/page";
import { answeringModelsQuery } from "../../models/api";
import settings from "../../settings/settings.module.css";
import { type LoadedSettings, saveSettings, settingsQuery, threadKeys } from "../api";
import { complexities } from "../model";
import { behaviourFields, budgetFields, changeOf, faultOf, faulty, formOf, serverFault } from "../settings";
import { type PartProps, Prices } from "./price-table";

function Line({
  label,
  hint,
  fault,
  children,
}: {
  label: string;
  hint?: string;
  fault?: string | null;
  children: ReactNode;
}) {
  return (
    <div className={settings.line}>
      <div>
        {label}
        {hint && <small>{hint}</small>}
        {fault && (
          <small role="alert" className={settings.fault}>
            {fault}
          </small>
        )}
      </div>
      {children}
    </div>
  );
}

function NumberLines({
  fields,
  form,
  error,
  disabled,
  onChange,
}: PartProps & { fields: typeof budgetFields }) {
  return fields.map((field) => {
    const fault = faultOf(field, form) ?? serverFault(error, field.name);
    return (
      <Line key={field.name} label={field.label} hint={field.hint} fault={fault}>
        <NumberInput
          aria-label={field.label}
          w={170}
          allowDecimal={false}
          clampBehavior="none"
          hideControls
          thousandSeparator=","
          suffix={field.suffix}
          error={fault !== null}
          disabled={disabled}
          value={form.numbers[field.name]}
          onChange={(value) => onChange({ numbers: { ...form.numbers, [field.name]: value } })}
        />
      </Line>
    );
  });
}

function Defaults({ form, disabled, onChange }: PartProps) {
  const models = useQuery(answeringModelsQuery);
  return (
    <>
      <Line label="Default model" hint="Of threads that choose none.">
        <Select
          aria-label="Default model"
          w={230}
          placeholder="The newest"
          clearable
          disabled={disabled}
          data={models.data?.map((m) => ({ value: String(m.id), label: m.name })) ?? []}
          value={form.model === null ? null : String(form.model)}
          onChange={(id) => onChange({ model: id === null ? null : Number(id) })}
        />
      </Line>
      <Line label="Answers" hint={complexities.find((c) => c.value === form.complexity)?.hint ?? ""}>
        <Select
          aria-label="Answers"
          w={230}
          allowDeselect={false}
          disabled={disabled}
          data={complexities.map(({ value, label }) => ({ value, label }))}
          value={form.complexity}
          onChange={(v) => {
            const complexity = complexities.find((c) => c.value === v)?.value;
            if (complexity) onChange({ complexity });
          }}
        />
      </Line>
      <Line label="A message while another is answered">
        <Select
          aria-label="A message while another is answered"
          w={230}
          allowDeselect={false}
          disabled={disabled}
          data={[
            { value: "queue", label: "Waits for its turn" },
            { value: "refuse", label: "Is refused" },
          ]}
          value={form.onBusy}
          onChange={(v) => onChange({ onBusy: v === "refuse" ? "refuse" : "queue" })}
        />
      </Line>
    </>
  );
}

function ChatForm({ saved, manages }: { saved: LoadedSettings; manages: boolean }) {
  const cache = useQueryClient();
  const [form, setForm] = useState(formOf(saved));
  const change = changeOf(form, saved);
  const save = useMutation({
    mutationFn: () => saveSettings(change, saved.etag),
    onSuccess: (now) => {
      cache.setQueryData(threadKeys.settings, now);
      notify("Saved. It counts from the next turn on.");
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  const part: PartProps = {
    form,
    error: save.error,
    disabled: !manages || save.isPending,
    onChange: (next) => {
      setForm((f) => ({ ...f, ...next }));
      save.reset(); // it was about something else
    },
  };
  return (
    <form className={settings.form} onSubmit={submit}>
      <Defaults {...part} />
      <NumberLines {...part} fields={behaviourFields} />
      <NumberLines {...part} fields={budgetFields} />
      <Prices {...part} />
      {save.error && (
        <div className={settings.line}>
          <ErrorNotice
            error={save.error}
            onRetry={() => void cache.invalidateQueries({ queryKey: threadKeys.settings })}
          />
        </div>
      )}
      <div className={settings.line}>
        <span className={settings.hint}>
          {manages
            ? `Tools get ${100 - Number(form.numbers.history_percent) - Number(form.numbers.retrieval_percent)} % of the window.`
            : "Administrators change this."}
        </span>
        {manages && (
          <Button
            type="submit"
            loading={save.isPending}
            disabled={faulty(form) || Object.keys(change).length === 0}
          >
            Save
          </Button>
        )}
      </div>
    </form>
  );
}

/** Budgets, prices and manners of all threads. */
export function ChatSettingsSection({ manages }: { manages: boolean }) {
  const loaded = useQuery(settingsQuery);
  return (
    <Section title="Threads">
      {loaded.isError && <ErrorNotice error={loaded.error} onRetry={() => void loaded.refetch()} />}
      {loaded.isPending && <Lines n={6} height={48} />}
      {loaded.data && <ChatForm key={loaded.data.etag} saved={loaded.data} manages={manages} />}
    </Section>
  );
}
