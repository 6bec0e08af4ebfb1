import { Button, Group, Stack } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { CodeField, parseJson } from "../../../ui/code-editor";
import { Modal } from "../../../ui/dialogs";
import { ErrorNotice } from "../../../ui/feedback";
import { NumberInput, Select, TextInput } from "../../../ui/inputs";
import { createSchedule, type LoadedSchedule, updateSchedule } from "../api";
import { scheduleKeys } from "../keys";
import { draftOf, type Form, faultOf, formOf, newForm } from "../model";
import { CronField } from "./cron-field";

export interface Choice {
  value: string;
  label: string;
}

interface Props {
  /** The one to change; without it a new one is made. */
  schedule?: LoadedSchedule | undefined;
  flowchartId?: number | undefined;
  flowcharts: Choice[];
  onClose: () => void;
}

interface PartProps {
  form: Form;
  error: unknown;
  change: (part: Partial<Form>) => void;
}

function Policies({ form, error, change }: PartProps) {
  return (
    <>
      <Group gap="sm" align="flex-start" grow>
        <Select
          label="If its time was missed"
          description="No scheduler ran then"
          allowDeselect={false}
          value={form.missed}
          onChange={(v) => change({ missed: v === "skip" ? "skip" : "catch_up" })}
          data={[
            { value: "catch_up", label: "Run it late" },
            { value: "skip", label: "Leave it out" },
          ]}
        />
        <NumberInput
          label="At most"
          description="Of several missed times, the newest"
          min={1}
          max={100}
          allowDecimal={false}
          disabled={form.missed === "skip"}
          value={form.catchUpLimit}
          error={faultOf(error, "catch_up_limit")}
          onChange={(v) => change({ catchUpLimit: Number(v) || 1 })}
        />
      </Group>
      <Group gap="sm" align="flex-start" grow>
        <Select
          label="If its last run still runs"
          allowDeselect={false}
          value={form.overlap}
          onChange={(v) => change({ overlap: v === "allow" ? "allow" : "skip" })}
          data={[
            { value: "skip", label: "Leave this one out" },
            { value: "allow", label: "Start another beside it" },
          ]}
        />
        <NumberInput
          label="Spread"
          suffix=" s"
          min={0}
          max={3600}
          allowDecimal={false}
          value={form.jitterSeconds}
          error={faultOf(error, "jitter_seconds")}
          onChange={(v) => change({ jitterSeconds: Number(v) || 0 })}
        />
      </Group>
    </>
  );
}

function useSaving({ schedule, onClose }: Props) {
  const cache = useQueryClient();
  const navigate = useNavigate();
  return useMutation({
    mutationFn: async ({ form, input }: { form: Form; input: unknown }) => {
      const draft = draftOf(form, form.flowchartId ?? 0, input);
      return schedule ? updateSchedule(schedule.id, draft, schedule.etag) : createSchedule(draft);
    },
    onSuccess: (saved) => {
      void cache.invalidateQueries({ queryKey: scheduleKeys.all });
      onClose();
      if (!schedule)
        void navigate({ to: "/schedules/$scheduleId", params: { scheduleId: String(saved.id) } });
    },
  });
}

/** Makes a schedule, or changes one. */
export function ScheduleDialog(props: Props) {
  const { schedule, flowchartId, flowcharts, onClose } = props;
  const [form, setForm] = useState<Form>(() =>
    schedule
      ? formOf(schedule)
      : newForm(flowchartId ?? null, Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC"),
  );
  const [fault, setFault] = useState<string>();
  const save = useSaving(props);
  const change = (part: Partial<Form>) => setForm((known) => ({ ...known, ...part }));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const parsed = parseJson(form.input);
    if ("fault" in parsed) setFault(parsed.fault);
    else save.mutate({ form, input: parsed.value });
  };
  return (
    <Modal opened onClose={onClose} title={schedule ? "Change the schedule" : "New schedule"} size={680}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          {save.error && <ErrorNotice error={save.error} />}
          <Group gap="sm" align="flex-start" grow>
            <TextInput
              label="Name"
              placeholder="Weekly report"
              required
              withAsterisk={false}
              maxLength={200}
              data-autofocus
              value={form.name}
              error={faultOf(save.error, "name")}
              onChange={(e) => change({ name: e.currentTarget.value })}
            />
            <Select
              label="Flowchart"
              placeholder="What it starts"
              searchable
              allowDeselect={false}
              data={flowcharts}
              value={form.flowchartId === null ? null : String(form.flowchartId)}
              error={faultOf(save.error, "flowchart_id")}
              onChange={(v) => change({ flowchartId: v ? Number(v) : null })}
            />
          </Group>
          <CronField cron={form.cron} timeZone={form.timeZone} error={save.error} onChange={change} />
          <CodeField
            label="Input"
            description="An object, the input of each run."
            language="json"
            minHeight={70}
            value={form.input}
            error={fault ?? faultOf(save.error, "input")}
            onChange={(input) => {
              change({ input });
              setFault(undefined);
            }}
          />
          <Policies form={form} error={save.error} change={change} />
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button
              type="submit"
              loading={save.isPending}
              disabled={!form.name.trim() || form.flowchartId === null}
            >
              {schedule ? "Save" : "Create"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
