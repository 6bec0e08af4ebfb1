import { Button, Group, Stack } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import type { JsonObject, Model, Provider } from "../../../api/aliases";
import { Modal } from "../../../ui/dialogs";
import { ErrorNotice } from "../../../ui/feedback";
import { Autocomplete, NumberInput, Select, TextInput } from "../../../ui/inputs";
import { createModel, modelKeys, offeredModelsQuery, updateModel } from "../api";

interface Props {
  model: Model | null;
  providers: Provider[];
  onClose: () => void;
}

const purposes = [
  { value: "answers", label: "Answers" },
  { value: "embedding", label: "Embeddings and reranking" },
];

const numberOf = (config: JsonObject | null | undefined, key: string): number | "" => {
  const value = config?.[key];
  return typeof value === "number" ? value : "";
};

const textOf = (config: JsonObject | null | undefined, key: string): string => {
  const value = config?.[key];
  return typeof value === "string" ? value : "";
};

export function ModelDialog({ model, providers, onClose }: Props) {
  const cache = useQueryClient();
  const [providerId, setProviderId] = useState(model?.provider_id ?? providers[0]?.id ?? 0);
  const [wire, setWire] = useState(model?.model ?? "");
  const [name, setName] = useState(model?.name ?? "");
  const [temperature, setTemperature] = useState<number | string>(numberOf(model?.config, "temperature"));
  const [maxTokens, setMaxTokens] = useState<number | string>(numberOf(model?.config, "max_tokens"));
  const [purpose, setPurpose] = useState(model?.config?.purpose === "embedding" ? "embedding" : "answers");
  const [queryPrefix, setQueryPrefix] = useState(textOf(model?.config, "query_prefix"));
  const [documentPrefix, setDocumentPrefix] = useState(textOf(model?.config, "document_prefix"));
  const answers = purpose === "answers";
  const offered = useQuery({ ...offeredModelsQuery(providerId), enabled: providerId > 0 });
  const save = useMutation({
    mutationFn: (): Promise<Model> => {
      const config: JsonObject = { ...model?.config };
      delete config.temperature;
      delete config.max_tokens;
      delete config.purpose;
      delete config.query_prefix;
      delete config.document_prefix;
      if (!answers) config.purpose = purpose;
      if (!answers && queryPrefix) config.query_prefix = queryPrefix;
      if (!answers && documentPrefix) config.document_prefix = documentPrefix;
      if (answers && typeof temperature === "number") config.temperature = temperature;
      if (answers && typeof maxTokens === "number") config.max_tokens = maxTokens;
      const draft = { name: name.trim() || wire.trim(), provider_id: providerId, model: wire.trim(), config };
      return model ? updateModel(model.id, draft) : createModel(draft);
    },
    onSuccess: () => {
      void cache.invalidateQueries({ queryKey: modelKeys.models });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <Modal opened onClose={onClose} title={model ? `Change ${model.name}` : "Add a model"} size={520}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          {save.error && <ErrorNotice error={save.error} />}
          <Select
            label="Provider"
            data={providers.map((p) => ({ value: String(p.id), label: p.name }))}
            value={String(providerId)}
            allowDeselect={false}
            onChange={(value) => value && setProviderId(Number(value))}
          />
          <Autocomplete
            label="Model"
            description={
              offered.isError
                ? "The provider's list cannot be read. Type the name that it uses."
                : "The provider's name for it."
            }
            placeholder={offered.isFetching ? "Reading the provider's list" : "gpt-4.1-mini"}
            required
            withAsterisk={false}
            limit={50}
            data={[...new Set(offered.data?.map((m) => m.id))]}
            value={wire}
            onChange={setWire}
          />
          <TextInput
            label="Name"
            description="How your flowcharts call it."
            placeholder={wire || "Fast summaries"}
            maxLength={100}
            value={name}
            onChange={(e) => setName(e.currentTarget.value)}
          />
          <Select
            label="Used for"
            description={
              answers ? null : "Set it under Settings, Retrieval. Threads and nodes do not offer it."
            }
            data={purposes}
            value={purpose}
            allowDeselect={false}
            onChange={(value) => value && setPurpose(value)}
          />
          {!answers && (
            <Group grow align="flex-start">
              <TextInput
                label="Before questions"
                description="If the model wants it, with its space."
                placeholder="query: "
                maxLength={500}
                value={queryPrefix}
                onChange={(e) => setQueryPrefix(e.currentTarget.value)}
              />
              <TextInput
                label="Before documents"
                description="Another one makes indexes stale."
                placeholder="passage: "
                maxLength={500}
                value={documentPrefix}
                onChange={(e) => setDocumentPrefix(e.currentTarget.value)}
              />
            </Group>
          )}
          {answers && (
            <Group grow>
              <NumberInput
                label="Temperature"
                placeholder="Provider's default"
                min={0}
                max={2}
                step={0.1}
                decimalScale={2}
                value={temperature}
                onChange={setTemperature}
              />
              <NumberInput
                label="Most output tokens"
                placeholder="Provider's default"
                min={1}
                max={1_000_000}
                allowDecimal={false}
                value={maxTokens}
                onChange={setMaxTokens}
              />
            </Group>
          )}
          <Group justify="flex-end" gap="xs" mt={4}>
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending} disabled={!wire.trim() || providerId === 0}>
              {model ? "Save" : "Add model"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
