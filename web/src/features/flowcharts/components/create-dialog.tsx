import { Button, Group, Stack } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import type { Graph } from "../../../api/aliases";
import { Modal } from "../../../ui/dialogs";
import { ErrorNotice } from "../../../ui/feedback";
import { Textarea, TextInput } from "../../../ui/inputs";
import { createFlowchart, flowchartKeys } from "../api";

// A flowchart that can be saved at once and shows what to fill in.
const starter: Graph = {
  nodes: [
    { id: "start", kind: "start", title: "Start", position: { x: 0, y: 0 }, config: {} },
    { id: "task", kind: "task", title: "Task", position: { x: 300, y: 0 }, config: { prompt: "" } },
    { id: "end", kind: "end", title: "End", position: { x: 600, y: 0 }, config: {} },
  ],
  edges: [
    { id: "e1", source: "start", target: "task", mode: "solid" },
    { id: "e2", source: "task", target: "end", mode: "solid" },
  ],
};

export function CreateFlowchart({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const navigate = useNavigate();
  const cache = useQueryClient();
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const create = useMutation({
    mutationFn: () => createFlowchart({ name: name.trim(), description: description.trim(), graph: starter }),
    onSuccess: (made) => {
      void cache.invalidateQueries({ queryKey: flowchartKeys.lists });
      onClose();
      void navigate({ to: "/flowcharts/$flowchartId", params: { flowchartId: String(made.id) } });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim()) create.mutate();
  };
  return (
    <Modal opened={opened} onClose={onClose} title="New flowchart">
      <form onSubmit={submit}>
        <Stack gap="sm">
          {create.error && <ErrorNotice error={create.error} />}
          <TextInput
            label="Name"
            placeholder="Summarise support tickets"
            required
            withAsterisk={false}
            maxLength={200}
            data-autofocus
            value={name}
            onChange={(e) => setName(e.currentTarget.value)}
          />
          <Textarea
            label="Description"
            description="What it is for. Optional."
            autosize
            minRows={2}
            maxRows={6}
            maxLength={2000}
            value={description}
            onChange={(e) => setDescription(e.currentTarget.value)}
          />
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={create.isPending} disabled={!name.trim()}>
              Create
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
