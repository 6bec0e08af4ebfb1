import { ActionIcon, Button, Tooltip } from "@mantine/core";
import { IconPlus, IconX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useRef } from "react";
import { NumberInput, Select, TextInput } from "../../../ui/inputs";
import { modelsQuery } from "../../models/api";
import settings from "../../settings/settings.module.css";
import { type PriceRow, type SettingsForm, serverFault } from "../settings";
import classes from "./chat-settings.module.css";

/** A part of the settings' form. */
export interface PartProps {
  form: SettingsForm;
  error: unknown;
  disabled: boolean;
  onChange: (change: Partial<SettingsForm>) => void;
}

const columns = [
  ["input", "Input"],
  ["cached", "Cached input"],
  ["output", "Output"],
] as const;

/** What a million tokens of a model cost. */
export function Prices({ form, error, disabled, onChange }: PartProps) {
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
