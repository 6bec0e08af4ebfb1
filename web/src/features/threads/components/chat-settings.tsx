import { ActionIcon, Button, Tooltip } from "@mantine/core";
import { IconPlus, IconX } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useRef, useState } from "react";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { NumberInput, Select, TextInput } from "../../../ui/inputs";
import { notify } from "../../../ui/notices";
import { Section } from "../../../ui/page";
import { modelsQuery } from "../../models/api";
import settings from "../../settings/settings.module.css";
import { type LoadedSettings, saveSettings, settingsQuery, threadKeys } from "../api";
import { complexities } from "../model";
import {
  behaviourFields,
  budgetFields,
  changeOf,
  faultOf,
  faulty,
  formOf,
  type PriceRow,
  type SettingsForm,
  serverFault,
} from "../settings";
import classes from "./chat-settings.module.css";

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

interface PartProps {
  form: SettingsForm;
  error: unknown;
  disabled: boolean;
  onChange: (change: Partial<SettingsForm>) => void;
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
  const models = useQuery(modelsQuery);
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

const columns = [
  ["input", "Input"],
  ["cached", "Cached input"],
  ["output", "Output"],
] as const;

function Prices({ form, error, disabled, onChange }: PartProps) {
  const models = useQuery(modelsQuery);
  const next = useRef(1000);
  const used = new Set(form.prices.map((p) => p.model));
  const set = (row: PriceRow) => onChange({ prices: form.prices.map((p) => (p.key === row.key ? row : p)) });
  return (
    <div className={classes.prices}>
      <div className={classes.pricesHead}>
        <div>
          Prices
          <small>
            For a million tokens. Without a price the cost of a turn is unknown; a change counts from the next
            turn on.
          </small>
          {serverFault(error, "prices") && (
            <small role="alert" className={settings.fault}>
              {serverFault(error, "prices")}
            </small>
          )}
        </div>
        <TextInput
          aria-label="Currency"
          w={80}
          maxLength={3}
          disabled={disabled}
          error={!/^[A-Z]{3}$/.test(form.currency)}
          value={form.currency}
          onChange={(e) => onChange({ currency: e.currentTarget.value.toUpperCase() })}
        />
      </div>
      {form.prices.length > 0 && (
        <table>
          <thead>
            <tr>
              <th>Model</th>
              {columns.map(([, label]) => (
                <th key={label}>{label}</th>
              ))}
              <th aria-label="Actions" />
            </tr>
          </thead>
          <tbody>
            {form.prices.map((row) => (
              <tr key={row.key}>
                <td>
                  <Select
                    aria-label="Model"
                    size="xs"
                    placeholder="Choose one"
                    allowDeselect={false}
                    disabled={disabled}
                    data={
                      models.data
                        ?.filter((m) => m.id === row.model || !used.has(m.id))
                        .map((m) => ({ value: String(m.id), label: m.name })) ?? []
                    }
                    value={row.model === null ? null : String(row.model)}
                    onChange={(id) => set({ ...row, model: id === null ? null : Number(id) })}
                  />
                </td>
                {columns.map(([name, label]) => (
                  <td key={name}>
                    <NumberInput
                      aria-label={label}
                      size="xs"
                      min={0}
                      decimalScale={4}
                      hideControls
                      disabled={disabled}
                      value={row[name]}
                      onChange={(value) => set({ ...row, [name]: value })}
                    />
                  </td>
                ))}
                <td>
                  <Tooltip label="Remove">
                    <ActionIcon
                      aria-label="Remove the price"
                      disabled={disabled}
                      onClick={() => onChange({ prices: form.prices.filter((p) => p.key !== row.key) })}
                    >
                      <IconX size={15} />
                    </ActionIcon>
                  </Tooltip>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {!disabled && (
        <Button
          variant="default"
          leftSection={<IconPlus size={14} />}
          disabled={models.data?.every((m) => used.has(m.id)) ?? true}
          onClick={() =>
            onChange({
              prices: [...form.prices, { key: next.current++, model: null, input: 0, cached: 0, output: 0 }],
            })
          }
        >
          Add a price
        </Button>
      )}
    </div>
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
