import { lazy, Suspense } from "react";
import { Input, NumberInput, SegmentedControl, Select, Switch } from "../../../ui/inputs";
import { intervalWords } from "../../schedules/model";
import { type Fault, type SourceForm, scheduleError, type Timing, type Unit, units } from "../form";
import classes from "../sources.module.css";

const CronField = lazy(async () => ({
  default: (await import("../../schedules/components/cron-field")).CronField,
}));

const timings: { value: Timing; label: string }[] = [
  { value: "off", label: "By hand" },
  { value: "every", label: "Every …" },
  { value: "cron", label: "At times" },
];

interface Props {
  form: SourceForm;
  fault: Fault;
  error: unknown;
  change: (part: Partial<SourceForm>) => void;
}

function Every({ form, fault, change }: Omit<Props, "error">) {
  const seconds = Math.round(form.every * units[form.unit]);
  return (
    <div>
      <div className={classes.every}>
        <NumberInput
          aria-label="How many"
          w={110}
          min={1}
          max={100_000}
          allowDecimal={false}
          value={form.every}
          error={fault("schedule.every_seconds") !== undefined}
          onChange={(v) => change({ every: Number(v) || 1 })}
        />
        <Select
          aria-label="Unit"
          w={130}
          allowDeselect={false}
          value={form.unit}
          data={Object.keys(units)}
          onChange={(v) => change({ unit: (Object.keys(units) as Unit[]).find((u) => u === v) ?? "hours" })}
        />
      </div>
      <p className={classes.quiet} role={fault("schedule.every_seconds") ? "alert" : undefined}>
        {fault("schedule.every_seconds") ??
          `It is indexed ${intervalWords(seconds)}, counted from when this is saved.`}
      </p>
    </div>
  );
}

/** When a source is indexed by itself. */
export function ScheduleFields({ form, fault, error, change }: Props) {
  return (
    <>
      <Input.Wrapper label="Index" labelElement="div" error={fault("schedule")}>
        <SegmentedControl
          fullWidth
          aria-label="When it is indexed"
          value={form.timing}
          data={timings}
          onChange={(v) => change({ timing: timings.find((t) => t.value === v)?.value ?? "off" })}
        />
      </Input.Wrapper>
      {form.timing === "every" && <Every form={form} fault={fault} change={change} />}
      {form.timing === "cron" && (
        <Suspense>
          <CronField
            cron={form.cron}
            timeZone={form.timeZone}
            error={scheduleError(error)}
            onChange={(c) =>
              change({
                ...(c.cron !== undefined && { cron: c.cron }),
                ...(c.timeZone !== undefined && { timeZone: c.timeZone }),
              })
            }
          />
        </Suspense>
      )}
      {form.timing !== "off" && (
        <>
          <Select
            label="How"
            allowDeselect={false}
            value={form.mode}
            error={fault("schedule.mode")}
            data={[
              { value: "delta", label: "Delta: what has changed" },
              { value: "fresh", label: "Fresh: everything, beside the index that is there" },
            ]}
            onChange={(v) => change({ mode: v === "fresh" ? "fresh" : "delta" })}
          />
          <Switch
            label="On"
            checked={form.enabled}
            onChange={(e) => change({ enabled: e.currentTarget.checked })}
          />
        </>
      )}
    </>
  );
}
