import { ActionIcon, Tooltip } from "@mantine/core";
import { IconArrowBackUp } from "@tabler/icons-react";
import { NumberInput, Select, Switch, TextInput } from "../../ui/inputs";
import type { LoadedExecutor } from "./api";
import {
  canGiveBack,
  type ExecutorField,
  type ExecutorForm,
  type ExecutorValue,
  faultAt,
  faultyNumber,
  follows,
  providers,
  type whereGroup,
} from "./node-executor";
import own from "./node-executor.module.css";
import classes from "./settings.module.css";

type Group = typeof whereGroup;
type Field = Group["fields"][number];

export interface PartProps {
  saved: LoadedExecutor;
  form: ExecutorForm;
  error: unknown;
  disabled: boolean;
  onChange: (next: Partial<ExecutorForm>) => void;
}

function contextsOf(saved: LoadedExecutor, value: string): string[] {
  const { contexts } = saved.k8s_kubeconfig;
  return value === "" || contexts.includes(value) ? contexts : [...contexts, value];
}

interface InputProps {
  field: Field;
  saved: LoadedExecutor;
  value: ExecutorValue;
  faulty: boolean;
  disabled: boolean;
  onChange: (value: ExecutorValue) => void;
}

const width = 270;

function Value({ field, saved, value, faulty, disabled, onChange }: InputProps) {
  const common = { "aria-label": field.label, disabled, w: width };
  switch (field.kind) {
    case "switch":
      return (
        <Switch
          aria-label={field.label}
          disabled={disabled}
          checked={value === true}
          onChange={(e) => onChange(e.currentTarget.checked)}
        />
      );
    case "number":
      return (
        <NumberInput
          {...common}
          allowDecimal={false}
          clampBehavior="none"
          hideControls
          thousandSeparator=","
          suffix={field.suffix ?? ""}
          error={faulty}
          value={typeof value === "boolean" ? "" : value}
          onChange={onChange}
        />
      );
    case "provider":
      return (
        <Select
          {...common}
          allowDeselect={false}
          data={providers}
          error={faulty}
          value={String(value)}
          onChange={(v) => v && onChange(v)}
        />
      );
    case "context":
      return (
        <Select
          {...common}
          clearable
          placeholder={
            saved.k8s_kubeconfig.set
              ? `Its current one, ${saved.k8s_kubeconfig.current_context}`
              : "No kubeconfig"
          }
          data={contextsOf(saved, String(value))}
          error={faulty}
          value={value === "" ? null : String(value)}
          onChange={(v) => onChange(v ?? "")}
        />
      );
    case "text":
      return (
        <TextInput
          {...common}
          maxLength={1000}
          error={faulty}
          value={String(value)}
          onChange={(e) => onChange(e.currentTarget.value)}
        />
      );
  }
}

/** Whether the environment says a value, and the way back to that. */
function Origin({ saved, form, name, disabled, onChange }: PartProps & { name: ExecutorField }) {
  if (form.given.has(name)) return <small className={own.origin}>from the environment once saved</small>;
  if (follows(saved, name)) return <small className={own.origin}>from the environment</small>;
  if (disabled || !canGiveBack(saved, name)) return <small className={own.origin}>set here</small>;
  return (
    <small className={own.origin}>
      set here
      <Tooltip label="Follow the environment again">
        <ActionIcon
          size={18}
          aria-label={`Follow the environment again: ${name}`}
          onClick={() => onChange({ given: new Set([...form.given, name]) })}
        >
          <IconArrowBackUp size={13} />
        </ActionIcon>
      </Tooltip>
    </small>
  );
}

function FieldLine({ field, ...part }: PartProps & { field: Field }) {
  const { saved, form, error, disabled, onChange } = part;
  const { name } = field;
  const fault = faultyNumber(form) === name ? "Give a whole number." : faultAt(error, name);
  const change = (value: ExecutorValue) =>
    onChange({
      values: { ...form.values, [name]: value },
      given: new Set([...form.given].filter((n) => n !== name)),
    });
  return (
    <div className={classes.line}>
      <div>
        {field.label}
        {field.hint && <small>{field.hint}</small>}
        {fault && (
          <small role="alert" className={classes.fault}>
            {fault}
          </small>
        )}
      </div>
      <div className={own.value}>
        <Value
          field={field}
          saved={saved}
          value={form.values[name] ?? ""}
          faulty={fault !== null}
          disabled={disabled || form.given.has(name)}
          onChange={change}
        />
        <Origin {...part} name={name} />
      </div>
    </div>
  );
}

export function Fields({ group, ...part }: PartProps & { group: Group }) {
  return group.fields.map((field) => <FieldLine key={field.name} field={field} {...part} />);
}
