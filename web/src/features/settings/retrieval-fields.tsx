import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { NumberInput, Select } from "../../ui/inputs";
import { modelsQuery } from "../models/api";
import { type Field, faultAt, faultOf, modelChoices, optionsOf, type RetrievalForm } from "./retrieval";
import classes from "./settings.module.css";

export interface PartProps {
  form: RetrievalForm;
  error: unknown;
  disabled: boolean;
  onChange: (next: Partial<RetrievalForm>) => void;
}

interface LineProps {
  label: string;
  hint: string;
  fault: string | null;
  children: ReactNode;
}

function Line({ label, hint, fault, children }: LineProps) {
  return (
    <div className={classes.line}>
      <div>
        {label}
        {hint && <small>{hint}</small>}
        {fault && (
          <small role="alert" className={classes.fault}>
            {fault}
          </small>
        )}
      </div>
      {children}
    </div>
  );
}

/** Which models retrieval uses. */
export function ModelLines({ form, error, disabled, onChange }: PartProps) {
  const models = useQuery(modelsQuery);
  return modelChoices.map((choice) => {
    const value = form.models[choice.name];
    const fault = faultAt(error, choice.name);
    return (
      <Line key={choice.name} label={choice.label} hint={choice.hint} fault={fault}>
        <Select
          aria-label={choice.label}
          w={270}
          flex="none"
          clearable
          searchable
          placeholder={models.isPending ? "Reading the models" : choice.none}
          nothingFoundMessage="No model fits. Add one under Models."
          disabled={disabled || models.isPending}
          error={fault !== null}
          data={optionsOf(choice, models.data ?? [], value)}
          value={value === null ? null : String(value)}
          onChange={(id) =>
            onChange({ models: { ...form.models, [choice.name]: id === null ? null : Number(id) } })
          }
        />
      </Line>
    );
  });
}

export function NumberLines({ fields, form, error, disabled, onChange }: PartProps & { fields: Field[] }) {
  return fields.map((field) => {
    const fault = faultOf(field, form) ?? faultAt(error, field.name);
    return (
      <Line key={field.name} label={field.label} hint={field.hint} fault={fault}>
        <NumberInput
          aria-label={field.label}
          w={170}
          flex="none"
          allowDecimal={field.per !== undefined}
          decimalScale={3}
          clampBehavior="none"
          hideControls
          thousandSeparator=","
          suffix={field.suffix ?? ""}
          placeholder={field.empty ?? ""}
          error={fault !== null}
          disabled={disabled}
          value={form.numbers[field.name]}
          onChange={(value) => onChange({ numbers: { ...form.numbers, [field.name]: value } })}
        />
      </Line>
    );
  });
}
