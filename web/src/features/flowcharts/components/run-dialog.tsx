import { Button, Group, Stack, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useMemo, useState } from "react";
import type { Json } from "../../../api/aliases";
import { ApiError } from "../../../api/client";
import { CodeField, parseJson } from "../../../ui/code-editor";
import { Modal } from "../../../ui/dialogs";
import { ErrorNotice } from "../../../ui/feedback";
import { NumberInput, SegmentedControl, Select, Switch, Textarea } from "../../../ui/inputs";
import { runKeys } from "../../runs/api";
import { flowchartKeys, startRun } from "../api";
import { type Field, fieldsOf, readInput } from "../schema";
import { isDirty, useEditor } from "../store";
import type { useSave } from "../use-editing";

interface Props {
  flowchartId: number;
  save: ReturnType<typeof useSave>;
  onClose: () => void;
}

function InputField({
  field,
  value,
  error,
  first,
  onChange,
}: {
  field: Field;
  value: string;
  error?: string | undefined;
  first: boolean;
  onChange: (v: string) => void;
}) {
  const common = {
    label: field.label,
    description: field.description || undefined,
    error,
    withAsterisk: field.required,
    "data-autofocus": first || undefined,
  };
  switch (field.kind) {
    case "boolean":
      return (
        <Switch
          label={field.label}
          description={field.description || undefined}
          checked={value === "true"}
          onChange={(e) => onChange(String(e.currentTarget.checked))}
        />
      );
    case "choice":
      return (
        <Select {...common} data={field.choices} value={value || null} onChange={(v) => onChange(v ?? "")} />
      );
    case "number":
    case "integer":
      return (
        <NumberInput
          {...common}
          allowDecimal={field.kind === "number"}
          value={value}
          onChange={(v) => onChange(String(v))}
        />
      );
    case "json":
      return (
        <CodeField
          label={field.label}
          description={common.description}
          error={error}
          language="json"
          value={value}
          onChange={onChange}
        />
      );
    default:
      return (
        <Textarea
          {...common}
          autosize
          minRows={1}
          maxRows={10}
          value={value}
          onChange={(e) => onChange(e.currentTarget.value)}
        />
      );
  }
}

/** Starts a run: with a form where the start node describes its input, else with JSON. */
export function RunDialog({ flowchartId, save, onClose }: Props) {
  const navigate = useNavigate();
  const cache = useQueryClient();
  const dirty = useEditor(isDirty);
  const schema = useEditor(
    (s) => s.history.present.nodes.find((n) => n.kind === "start")?.config.input_schema,
  );
  const fields = useMemo(() => fieldsOf(schema), [schema]);
  const [raw, setRaw] = useState(fields === null || fields.length === 0);
  const [values, setValues] = useState(() =>
    Object.fromEntries((fields ?? []).map((f) => [f.name, f.initial])),
  );
  const [text, setText] = useState("{}");
  const [faults, setFaults] = useState<Record<string, string>>({});

  const start = useMutation({
    mutationFn: async (input: Json | undefined) => {
      if (dirty) {
        const { stored } = await save.mutateAsync({});
        if (!stored.validation.valid) {
          throw new ApiError(
            422,
            "invalid",
            "flow.invalid",
            "The flowchart has problems and does not run. They are listed at the canvas.",
            [],
            "",
          );
        }
      }
      return startRun(flowchartId, input === undefined ? {} : { input });
    },
    onSuccess: ({ flowchart_run }) => {
      void cache.invalidateQueries({ queryKey: runKeys.lists });
      void cache.invalidateQueries({ queryKey: flowchartKeys.lists });
      onClose();
      void navigate({ to: "/runs/$runId", params: { runId: String(flowchart_run.id) } });
    },
  });

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (raw) {
      const parsed = parseJson(text);
      if ("fault" in parsed) setFaults({ "": parsed.fault });
      else start.mutate(parsed.value);
      return;
    }
    const read = readInput(fields ?? [], values);
    if ("faults" in read) setFaults(read.faults);
    else start.mutate(read.input);
  };

  return (
    <Modal opened onClose={onClose} title="Run" size={560}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          {start.error && <ErrorNotice error={start.error} />}
          {fields !== null && fields.length > 0 && (
            <SegmentedControl
              size="xs"
              aria-label="How to give the input"
              style={{ alignSelf: "flex-start" }}
              value={raw ? "json" : "form"}
              onChange={(value) => {
                const read = readInput(fields, values);
                if (value === "json" && "input" in read) setText(JSON.stringify(read.input, null, 2));
                setRaw(value === "json");
                setFaults({});
              }}
              data={[
                { value: "form", label: "Form" },
                { value: "json", label: "JSON" },
              ]}
            />
          )}
          {raw ? (
            <CodeField
              label="Input"
              description="An object. Nodes read it as input."
              language="json"
              minHeight={140}
              value={text}
              error={faults[""]}
              onChange={(value) => {
                setText(value);
                setFaults({});
              }}
            />
          ) : (
            (fields ?? []).map((field, i) => (
              <InputField
                first={i === 0}
                key={field.name}
                field={field}
                value={values[field.name] ?? ""}
                error={faults[field.name]}
                onChange={(value) => setValues((known) => ({ ...known, [field.name]: value }))}
              />
            ))
          )}
          <Group justify="space-between" mt={4}>
            <Text size="sm" c="dimmed">
              {dirty ? "Your changes are saved first." : ""}
            </Text>
            <Group gap="xs">
              <Button variant="default" onClick={onClose}>
                Cancel
              </Button>
              <Button type="submit" loading={start.isPending} data-autofocus={raw || undefined}>
                {dirty ? "Save and run" : "Run"}
              </Button>
            </Group>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
