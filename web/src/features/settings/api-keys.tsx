import { ActionIcon, Button, Group, Stack, Tooltip } from "@mantine/core";
import { IconKey, IconPlus, IconTrash } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import type { ApiKey } from "../../api/aliases";
import { Confirm } from "../../ui/confirm";
import { Modal } from "../../ui/dialogs";
import { CopyButton, Empty, ErrorNotice, Lines } from "../../ui/feedback";
import { TextInput } from "../../ui/inputs";
import { Section } from "../../ui/page";
import table from "../../ui/table.module.css";
import { Ago } from "../../ui/time";
import { apiKeysKey, apiKeysQuery, createApiKey, deleteApiKey } from "./api";
import classes from "./settings.module.css";

function NewKey({ onClose }: { onClose: () => void }) {
  const cache = useQueryClient();
  const [name, setName] = useState("");
  const create = useMutation({
    mutationFn: () => createApiKey(name.trim()),
    onSuccess: () => cache.invalidateQueries({ queryKey: apiKeysKey }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  if (create.data) {
    return (
      <Modal
        opened
        onClose={onClose}
        title={`Key “${create.data.api_key.name}”`}
        size={560}
        closeOnClickOutside={false}
      >
        <Stack gap="sm">
          <div>Copy the key now. It is stored hashed and cannot be shown again.</div>
          <div className={classes.secret}>
            <code>{create.data.key}</code>
            <CopyButton text={create.data.key} label="Copy key" />
          </div>
          <div className={classes.hint}>
            Send it as <code>Authorization: Bearer …</code> with each request.
          </div>
          <Group justify="flex-end">
            <Button onClick={onClose}>Done</Button>
          </Group>
        </Stack>
      </Modal>
    );
  }
  return (
    <Modal opened onClose={onClose} title="New API key">
      <form onSubmit={submit}>
        <Stack gap="sm">
          {create.error && <ErrorNotice error={create.error} />}
          <TextInput
            label="What it is for"
            placeholder="Nightly import"
            maxLength={100}
            data-autofocus
            value={name}
            onChange={(e) => setName(e.currentTarget.value)}
          />
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={create.isPending} disabled={!name.trim()}>
              Create key
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

export function ApiKeys() {
  const cache = useQueryClient();
  const keys = useQuery(apiKeysQuery);
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<ApiKey | null>(null);
  const add = (
    <Button variant="default" leftSection={<IconPlus size={15} />} onClick={() => setCreating(true)}>
      New key
    </Button>
  );
  return (
    <Section title="API keys" actions={keys.data && keys.data.length > 0 && add}>
      {creating && <NewKey onClose={() => setCreating(false)} />}
      {revoking && (
        <Confirm
          title={`Delete the key “${revoking.name}”`}
          action="Delete key"
          onClose={() => setRevoking(null)}
          run={async () => {
            await deleteApiKey(revoking.id);
            await cache.invalidateQueries({ queryKey: apiKeysKey });
          }}
        >
          What uses “{revoking.name}” ({revoking.prefix}…) is refused from then on. This cannot be undone.
        </Confirm>
      )}
      {keys.isError && <ErrorNotice error={keys.error} onRetry={() => void keys.refetch()} />}
      {keys.isPending && <Lines n={2} />}
      {keys.data?.length === 0 && (
        <Empty icon={IconKey} title="No API keys" action={add}>
          With a key, scripts and other services start runs and read results as you.
        </Empty>
      )}
      {keys.data && keys.data.length > 0 && (
        <table className={table.table}>
          <thead>
            <tr>
              <th>Name</th>
              <th>Key</th>
              <th>Created</th>
              <th>Last used</th>
              <th aria-label="Actions" />
            </tr>
          </thead>
          <tbody>
            {keys.data.map((key) => (
              <tr key={key.id}>
                <td>
                  <b>{key.name}</b>
                </td>
                <td className={table.muted}>
                  <code>{key.prefix}…</code>
                </td>
                <td className={table.muted}>
                  <Ago at={key.created_at} />
                </td>
                <td className={table.muted}>{key.last_used_at ? <Ago at={key.last_used_at} /> : "Never"}</td>
                <td>
                  <div className={table.actions}>
                    <Tooltip label="Delete">
                      <ActionIcon
                        size={30}
                        aria-label={`Delete ${key.name}`}
                        onClick={() => setRevoking(key)}
                      >
                        <IconTrash size={16} />
                      </ActionIcon>
                    </Tooltip>
                  </div>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Section>
  );
}
