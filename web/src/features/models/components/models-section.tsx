import { ActionIcon, Button, Tooltip } from "@mantine/core";
import { IconCpu, IconPencil, IconPlus, IconTrash } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Model } from "../../../api/aliases";
import { Confirm } from "../../../ui/confirm";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { Section } from "../../../ui/page";
import table from "../../../ui/table.module.css";
import { Ago } from "../../../ui/time";
import { deleteModel, modelKeys, modelsQuery, providersQuery } from "../api";
import { ModelDialog } from "./model-dialog";

type Dialog = { what: "edit"; model: Model | null } | { what: "delete"; model: Model } | null;

function ModelTable({ models, onDialog }: { models: Model[]; onDialog: (dialog: Dialog) => void }) {
  return (
    <table className={table.table}>
      <thead>
        <tr>
          <th>Name</th>
          <th>Provider</th>
          <th>Model</th>
          <th>Changed</th>
          <th aria-label="Actions" />
        </tr>
      </thead>
      <tbody>
        {models.map((model) => (
          <tr key={model.id}>
            <td className={table.clip} style={{ width: "36%" }} title={model.name}>
              <b>{model.name}</b>
            </td>
            <td className={table.clip} style={{ width: "26%" }} title={model.provider_name}>
              <span className={table.muted}>{model.provider_name}</span>
            </td>
            <td className={table.clip} style={{ width: "26%" }} title={model.model}>
              <code>{model.model}</code>
            </td>
            <td className={table.muted}>
              <Ago at={model.updated_at} />
            </td>
            <td>
              <div className={table.actions}>
                <Tooltip label="Change">
                  <ActionIcon
                    size={30}
                    aria-label={`Change ${model.name}`}
                    onClick={() => onDialog({ what: "edit", model })}
                  >
                    <IconPencil size={16} />
                  </ActionIcon>
                </Tooltip>
                <Tooltip label="Delete">
                  <ActionIcon
                    size={30}
                    aria-label={`Delete ${model.name}`}
                    onClick={() => onDialog({ what: "delete", model })}
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
  );
}

export function ModelsSection() {
  const cache = useQueryClient();
  const models = useQuery(modelsQuery);
  const providers = useQuery(providersQuery);
  const [dialog, setDialog] = useState<Dialog>(null);
  const close = () => setDialog(null);
  const ready = (providers.data?.length ?? 0) > 0;
  const add = (
    <Button
      variant={models.data?.length === 0 ? "filled" : "default"}
      leftSection={<IconPlus size={15} />}
      disabled={!ready}
      onClick={() => setDialog({ what: "edit", model: null })}
    >
      Add model
    </Button>
  );
  return (
    <Section title="Models" actions={models.data && models.data.length > 0 && add}>
      {dialog?.what === "edit" && (
        <ModelDialog model={dialog.model} providers={providers.data ?? []} onClose={close} />
      )}
      {dialog?.what === "delete" && (
        <Confirm
          title={`Delete ${dialog.model.name}`}
          action="Delete model"
          onClose={close}
          run={async () => {
            await deleteModel(dialog.model.id);
            await cache.invalidateQueries({ queryKey: modelKeys.models });
          }}
        >
          “{dialog.model.name}” is deleted. Flowcharts that use it do not run until they name another one.
          This cannot be undone.
        </Confirm>
      )}
      {models.isError && <ErrorNotice error={models.error} onRetry={() => void models.refetch()} />}
      {models.isPending && <Lines n={3} />}
      {models.data?.length === 0 && (
        <Empty icon={IconCpu} title="No models yet" action={ready ? add : undefined}>
          {ready
            ? "Give a provider's model a name and your defaults; task nodes choose from these."
            : "Add a provider first; then name the models that your flowcharts use."}
        </Empty>
      )}
      {models.data && models.data.length > 0 && <ModelTable models={models.data} onDialog={setDialog} />}
    </Section>
  );
}
