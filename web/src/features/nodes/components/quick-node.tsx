import { Button, Group, Stack } from "@mantine/core";
import { IconPlayerPlay } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import type { ListedNode } from "../../../api/aliases";
import { ErrorNotice } from "../../../ui/feedback";
import { NumberInput, Select, Textarea, TextInput } from "../../../ui/inputs";
import { modelsQuery } from "../../models/api";
import { startQuick } from "../api";
import { nodeKeys } from "../keys";
import { emptyDraft, obstacle, type QuickDraft, requestOf } from "../model";
import classes from "../nodes.module.css";

/** Asks a model something, as a node of its own. */
export function QuickNode({ onStarted }: { onStarted: (task: ListedNode) => void }) {
  const cache = useQueryClient();
  const models = useQuery(modelsQuery);
  const [draft, setDraft] = useState(emptyDraft);
  const options = (models.data ?? []).map((m) => ({
    value: String(m.id),
    label: `${m.name} (${m.provider_name})`,
  }));
  // One model needs no choice.
  const filled = {
    ...draft,
    model: draft.model ?? (options.length === 1 ? (options[0]?.value ?? null) : null),
  };
  const start = useMutation({
    mutationFn: () => startQuick(requestOf(filled)),
    onSuccess: (task) => {
      void cache.invalidateQueries({ queryKey: nodeKeys.lists });
      onStarted(task);
    },
  });
  const set = (part: Partial<QuickDraft>) => {
    setDraft({ ...draft, ...part });
    start.reset();
  };
  const why = obstacle(filled);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (why === null) start.mutate();
  };
  return (
    <form onSubmit={submit} autoComplete="off" className={classes.form}>
      <Stack gap="sm">
        {models.isError && <ErrorNotice error={models.error} onRetry={() => void models.refetch()} />}
        <Select
          label="Model"
          placeholder={
            models.isSuccess && options.length === 0 ? "Add one under Models first" : "Choose a model"
          }
          searchable
          value={filled.model}
          data={options}
          onChange={(model) => set({ model })}
        />
        <Textarea
          label="Prompt"
          description="As it is: there is no flowchart whose values could stand in it"
          autosize
          minRows={5}
          maxRows={18}
          maxLength={200_000}
          data-autofocus
          value={draft.prompt}
          onChange={(e) => set({ prompt: e.currentTarget.value })}
        />
        <Textarea
          label="System"
          description="What the model is told about its task, if anything"
          autosize
          minRows={2}
          maxRows={10}
          maxLength={200_000}
          value={draft.system}
          onChange={(e) => set({ system: e.currentTarget.value })}
        />
        <TextInput
          label="Title"
          placeholder="The beginning of the prompt"
          maxLength={200}
          value={draft.title}
          onChange={(e) => set({ title: e.currentTarget.value })}
        />
        <div className={classes.pair}>
          <NumberInput
            label="Temperature"
            placeholder="The model's"
            min={0}
            max={2}
            step={0.1}
            value={draft.temperature}
            onChange={(temperature) => set({ temperature })}
          />
          <NumberInput
            label="Tokens at most"
            placeholder="The model's"
            min={1}
            allowDecimal={false}
            value={draft.maxTokens}
            onChange={(maxTokens) => set({ maxTokens })}
          />
          <NumberInput
            label="Seconds at most"
            placeholder="The setting for nodes"
            min={1}
            max={86_400}
            value={draft.timeout}
            onChange={(timeout) => set({ timeout })}
          />
        </div>
        {start.error && <ErrorNotice error={start.error} />}
        <Group justify="flex-end" gap="xs" mt={4}>
          <Button
            type="submit"
            leftSection={<IconPlayerPlay size={15} />}
            loading={start.isPending}
            disabled={why !== null}
            {...(why !== null && { title: why })}
          >
            Run
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
