import { ActionIcon, Button, Group, Stack, Tooltip } from "@mantine/core";
import { IconPlus, IconX } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useRef, useState } from "react";
import type { McpServer } from "../../../api/aliases";
import { Modal } from "../../../ui/dialogs";
import { ErrorNotice } from "../../../ui/feedback";
import {
  Input,
  NumberInput,
  PasswordInput,
  SegmentedControl,
  Select,
  Switch,
  TextInput,
} from "../../../ui/inputs";
import { notify } from "../../../ui/notices";
import { createServer, mcpKeys, updateServer } from "../api";
import { changeOf, draftOf, emptyForm, faultsOf, formOf, type Pair, type ServerForm } from "../form";
import { approvals, keyFrom, transports } from "../model";
import classes from "./mcp.module.css";

// So that fields beside each other stand in one line.
const order: ("label" | "input" | "description" | "error")[] = ["label", "input", "description", "error"];

interface PairsProps {
  form: ServerForm;
  onChange: (change: Partial<ServerForm>) => void;
}

/** Headers or variables: names are shown, values only go in. */
function Pairs({ form, onChange }: PairsProps) {
  const next = useRef(1000);
  const env = form.transport === "stdio";
  const set = (pair: Pair) => onChange({ pairs: form.pairs.map((p) => (p.key === pair.key ? pair : p)) });
  const remove = (pair: Pair) =>
    onChange({
      pairs: form.pairs.filter((p) => p.key !== pair.key),
      ...(pair.stored && { removed: [...form.removed, pair.name] }),
    });
  return (
    <Input.Wrapper
      label={env ? "Environment" : "Headers"}
      description="Kept as secrets: they are encrypted, and nobody is shown a value again."
    >
      <div className={classes.pairs}>
        {form.pairs.map((pair) => (
          <div key={pair.key} className={classes.pair}>
            <TextInput
              size="xs"
              aria-label="Name"
              placeholder={env ? "TOKEN" : "Authorization"}
              disabled={pair.stored}
              value={pair.name}
              onChange={(e) => set({ ...pair, name: e.currentTarget.value })}
            />
            <PasswordInput
              size="xs"
              aria-label={`Value of ${pair.name || "the new one"}`}
              placeholder={pair.stored ? "Stored. Type to replace it" : env ? "Value" : "Bearer …"}
              autoComplete="new-password"
              value={pair.value}
              onChange={(e) => set({ ...pair, value: e.currentTarget.value })}
            />
            <Tooltip label="Remove">
              <ActionIcon aria-label={`Remove ${pair.name || "it"}`} onClick={() => remove(pair)}>
                <IconX size={15} />
              </ActionIcon>
            </Tooltip>
          </div>
        ))}
        <div>
          <Button
            variant="default"
            leftSection={<IconPlus size={14} />}
            onClick={() =>
              onChange({
                pairs: [...form.pairs, { key: next.current++, name: "", value: "", stored: false }],
              })
            }
          >
            {env ? "Add a variable" : "Add a header"}
          </Button>
        </div>
      </div>
    </Input.Wrapper>
  );
}

interface FieldProps extends PairsProps {
  faults: ReturnType<typeof faultsOf>;
  isNew: boolean;
}

function Address({ form, faults, onChange }: FieldProps) {
  return (
    <>
      <Input.Wrapper label="Transport" description={transports.find((t) => t.value === form.transport)?.hint}>
        <SegmentedControl
          fullWidth
          mt={4}
          aria-label="Transport"
          value={form.transport}
          onChange={(value) => {
            const transport = transports.find((t) => t.value === value)?.value;
            if (transport) onChange({ transport });
          }}
          data={transports.map(({ value, label }) => ({ value, label }))}
        />
      </Input.Wrapper>
      {form.transport === "stdio" ? (
        <TextInput
          label="Command"
          description="The program with its arguments; quotes hold words together. No shell is involved."
          placeholder="npx -y @modelcontextprotocol/server-filesystem /data"
          error={faults.command}
          value={form.command}
          onChange={(e) => onChange({ command: e.currentTarget.value })}
        />
      ) : (
        <TextInput
          label="Address"
          placeholder="https://host/mcp"
          error={faults.url}
          value={form.url}
          onChange={(e) => onChange({ url: e.currentTarget.value })}
        />
      )}
    </>
  );
}

function Names({ form, faults, isNew, onChange }: FieldProps) {
  return (
    <Group grow align="flex-start">
      <TextInput
        label="Name"
        inputWrapperOrder={order}
        maxLength={100}
        data-autofocus
        error={faults.name}
        value={form.name}
        onChange={(e) => onChange({ name: e.currentTarget.value })}
      />
      <TextInput
        label="Key"
        inputWrapperOrder={order}
        description="The names of its tools begin with it."
        placeholder={isNew ? keyFrom(form.name) || "files" : ""}
        error={faults.serverKey}
        value={form.serverKey}
        onChange={(e) => onChange({ serverKey: e.currentTarget.value })}
      />
    </Group>
  );
}

function Calls({ form, faults, onChange }: FieldProps) {
  return (
    <Group grow align="flex-start">
      <Select
        label="Asks before calls"
        inputWrapperOrder={order}
        description={approvals.find((a) => a.value === form.approval)?.hint}
        allowDeselect={false}
        data={approvals.map(({ value, label }) => ({ value, label }))}
        value={form.approval}
        onChange={(value) => {
          const approval = approvals.find((a) => a.value === value)?.value;
          if (approval) onChange({ approval });
        }}
      />
      <NumberInput
        label="Time-out of a call"
        inputWrapperOrder={order}
        description="A call that takes longer fails."
        suffix=" s"
        min={1}
        max={3600}
        clampBehavior="none"
        error={faults.timeout}
        value={form.timeout}
        onChange={(timeout) => onChange({ timeout })}
      />
    </Group>
  );
}

function Authorization({ form, onChange }: PairsProps) {
  return (
    <details className={classes.more}>
      <summary>Authorization (OAuth)</summary>
      <Stack gap="sm" mt="xs">
        <p className={classes.quiet}>
          Servers that ask for a sign-in get one with “Connect” on their page; the Studio registers itself.
          Only where the server does not allow that, enter the client that you registered by hand.
        </p>
        <Group grow>
          <TextInput
            label="Client id"
            value={form.clientId}
            onChange={(e) => onChange({ clientId: e.currentTarget.value })}
          />
          <PasswordInput
            label="Client secret"
            autoComplete="new-password"
            value={form.clientSecret}
            onChange={(e) => onChange({ clientSecret: e.currentTarget.value })}
          />
        </Group>
      </Stack>
    </details>
  );
}

interface Props {
  /** The server to change; null for a new one. */
  server: McpServer | null;
  onClose: () => void;
  onSaved: (server: McpServer) => void;
}

export function ServerDialog({ server, onClose, onSaved }: Props) {
  const cache = useQueryClient();
  const [form, setForm] = useState<ServerForm>(server ? formOf(server) : emptyForm);
  const [tried, setTried] = useState(false);
  const faults = faultsOf(form);
  const integrated = server?.server_type === "integrated";
  const save = useMutation({
    mutationFn: (): Promise<McpServer & { notice?: string }> =>
      server
        ? updateServer(server.id, changeOf(form, server))
        : createServer(draftOf({ ...form, serverKey: form.serverKey || keyFrom(form.name) })),
    onSuccess: (saved) => {
      if (saved.notice) notify(saved.notice);
      void cache.invalidateQueries({ queryKey: mcpKeys.servers });
      onSaved(saved);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (Object.keys(faults).length === 0) save.mutate();
  };
  const onChange = (change: Partial<ServerForm>) => {
    setForm((f) => ({ ...f, ...change }));
    save.reset();
  };
  const fields = { form, faults: tried ? faults : {}, isNew: !server, onChange };
  return (
    <Modal opened onClose={onClose} title={server ? `Change ${server.name}` : "Add an MCP server"} size={640}>
      <form onSubmit={submit} autoComplete="off" noValidate>
        <Stack gap="sm">
          {save.error && <ErrorNotice error={save.error} />}
          {integrated ? (
            <p className={classes.quiet}>
              The Studio manages this server: its name and address follow from the integrations. How its tools
              may be called is yours to choose.
            </p>
          ) : (
            <>
              <Names {...fields} />
              <Address {...fields} />
              <Pairs form={form} onChange={onChange} />
            </>
          )}
          <Calls {...fields} />
          {!integrated && form.transport !== "stdio" && <Authorization form={form} onChange={onChange} />}
          <Switch
            label="Models may use it"
            checked={form.enabled}
            onChange={(e) => onChange({ enabled: e.currentTarget.checked })}
          />
          <Group justify="flex-end" gap="xs" mt={4}>
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending}>
              {server ? "Save" : "Add server"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
