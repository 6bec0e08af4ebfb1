import { ActionIcon, Button, Tooltip } from "@mantine/core";
import { IconPencil, IconPlugConnected, IconPlus, IconServer, IconTrash } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Provider, ProviderTest } from "../../../api/aliases";
import { ApiError } from "../../../api/client";
import { Confirm } from "../../../ui/confirm";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { Section } from "../../../ui/page";
import table from "../../../ui/table.module.css";
import { deleteProvider, modelKeys, providersQuery, testProvider } from "../api";
import classes from "./models.module.css";
import { kinds, ProviderDialog } from "./provider-dialog";

function TestResult({ test }: { test: ProviderTest }) {
  return (
    <div className={classes.test} data-ok={test.ok} role="status">
      {test.ok ? `Connected in ${test.latency_ms} ms. ` : ""}
      {test.message}
    </div>
  );
}

function ProviderRow({
  provider,
  onEdit,
  onDelete,
}: {
  provider: Provider;
  onEdit: () => void;
  onDelete: () => void;
}) {
  const test = useMutation({
    mutationFn: () => testProvider(provider.id),
  });
  const failed: ProviderTest | null = test.error
    ? {
        ok: false,
        latency_ms: 0,
        models: 0,
        message: test.error instanceof ApiError ? test.error.detail : "The test could not be made.",
      }
    : null;
  const result = test.data ?? failed;
  return (
    <tr>
      <td className={table.clip} style={{ width: "34%" }} title={provider.name}>
        <b>{provider.name}</b>
        {result && <TestResult test={result} />}
      </td>
      <td className={table.muted}>{kinds.find((k) => k.value === provider.kind)?.label ?? provider.kind}</td>
      <td className={table.clip} style={{ width: "26%" }} title={provider.base_url || undefined}>
        {provider.base_url || <span className={table.muted}>Provider's own</span>}
      </td>
      <td className={table.muted}>
        {provider.api_key_set ? (
          <Tooltip label="The key itself is never shown. This is its fingerprint.">
            <code>{provider.api_key_fingerprint || "set"}</code>
          </Tooltip>
        ) : (
          "No key"
        )}
      </td>
      <td>
        <div className={table.actions}>
          <Button
            variant="default"
            leftSection={<IconPlugConnected size={14} />}
            loading={test.isPending}
            onClick={() => test.mutate()}
          >
            Test
          </Button>
          <Tooltip label="Change">
            <ActionIcon size={30} aria-label={`Change ${provider.name}`} onClick={onEdit}>
              <IconPencil size={16} />
            </ActionIcon>
          </Tooltip>
          <Tooltip label="Delete">
            <ActionIcon size={30} aria-label={`Delete ${provider.name}`} onClick={onDelete}>
              <IconTrash size={16} />
            </ActionIcon>
          </Tooltip>
        </div>
      </td>
    </tr>
  );
}

type Dialog = { what: "edit"; provider: Provider | null } | { what: "delete"; provider: Provider } | null;

export function ProvidersSection() {
  const cache = useQueryClient();
  const providers = useQuery(providersQuery);
  const [dialog, setDialog] = useState<Dialog>(null);
  const close = () => setDialog(null);
  const add = (
    <Button
      variant={providers.data?.length === 0 ? "filled" : "default"}
      leftSection={<IconPlus size={15} />}
      onClick={() => setDialog({ what: "edit", provider: null })}
    >
      Add provider
    </Button>
  );
  return (
    <Section title="Providers" actions={providers.data && providers.data.length > 0 && add}>
      {dialog?.what === "edit" && <ProviderDialog provider={dialog.provider} onClose={close} />}
      {dialog?.what === "delete" && (
        <Confirm
          title={`Delete ${dialog.provider.name}`}
          action="Delete provider"
          onClose={close}
          run={async () => {
            await deleteProvider(dialog.provider.id);
            await cache.invalidateQueries({ queryKey: modelKeys.providers });
          }}
        >
          “{dialog.provider.name}” and its stored key are deleted. This cannot be undone.
        </Confirm>
      )}
      {providers.isError && <ErrorNotice error={providers.error} onRetry={() => void providers.refetch()} />}
      {providers.isPending && <Lines n={3} />}
      {providers.data?.length === 0 && (
        <Empty icon={IconServer} title="No providers yet" action={add}>
          A provider is where models answer: a hosted service, or a server of your own that speaks chat
          completions.
        </Empty>
      )}
      {providers.data && providers.data.length > 0 && (
        <table className={table.table}>
          <thead>
            <tr>
              <th>Name</th>
              <th>Kind</th>
              <th>Address</th>
              <th>Key</th>
              <th aria-label="Actions" />
            </tr>
          </thead>
          <tbody>
            {providers.data.map((p) => (
              <ProviderRow
                key={p.id}
                provider={p}
                onEdit={() => setDialog({ what: "edit", provider: p })}
                onDelete={() => setDialog({ what: "delete", provider: p })}
              />
            ))}
          </tbody>
        </table>
      )}
    </Section>
  );
}
