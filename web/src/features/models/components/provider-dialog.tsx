import { Button, Group, Stack } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import type { Provider, ProviderKind } from "../../../api/aliases";
import { Modal } from "../../../ui/dialogs";
import { ErrorNotice } from "../../../ui/feedback";
import { PasswordInput, Select, TextInput } from "../../../ui/inputs";
import { notify } from "../../../ui/notices";
import { createProvider, modelKeys, type ProviderChange, updateProvider } from "../api";

export const kinds: { value: ProviderKind; label: string; hint: string; url: string }[] = [
  {
    value: "openai",
    label: "OpenAI or compatible",
    hint: "Any server that speaks chat completions. The address includes /v1.",
    url: "https://api.openai.com/v1",
  },
  { value: "anthropic", label: "Anthropic", hint: "Empty: the provider's own address.", url: "" },
  { value: "gemini", label: "Google Gemini", hint: "Empty: the provider's own address.", url: "" },
  { value: "demo", label: "Demo (offline)", hint: "Answers by itself, for trying things out.", url: "" },
];

const kindOf = (value: string | null): ProviderKind =>
  kinds.find((k) => k.value === value)?.value ?? "openai";

interface Props {
  /** The provider to change; null for a new one. */
  provider: Provider | null;
  onClose: () => void;
}

export function ProviderDialog({ provider, onClose }: Props) {
  const cache = useQueryClient();
  const [kind, setKind] = useState<ProviderKind>(provider?.kind ?? "openai");
  const [name, setName] = useState(provider?.name ?? "");
  const [url, setUrl] = useState(provider?.base_url ?? "");
  const [key, setKey] = useState("");
  const [removeKey, setRemoveKey] = useState(false);
  const look = kinds.find((k) => k.value === kind);
  const save = useMutation({
    mutationFn: async (): Promise<{ notice?: string }> => {
      const common = { name: name.trim(), base_url: url.trim() };
      if (!provider) {
        await createProvider({ ...common, kind, ...(key && { api_key: key }) });
        return {};
      }
      const change: ProviderChange = {
        ...common,
        ...(key ? { api_key: key } : removeKey && { api_key: "" }),
      };
      return updateProvider(provider.id, change);
    },
    onSuccess: ({ notice }) => {
      if (notice) notify(notice);
      void cache.invalidateQueries({ queryKey: modelKeys.providers });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <Modal
      opened
      onClose={onClose}
      title={provider ? `Change ${provider.name}` : "Add a provider"}
      size={520}
    >
      <form onSubmit={submit} autoComplete="off">
        <Stack gap="sm">
          {save.error && <ErrorNotice error={save.error} />}
          <Select
            label="Kind"
            data={kinds.map(({ value, label }) => ({ value, label }))}
            value={kind}
            disabled={provider !== null}
            allowDeselect={false}
            onChange={(value) => setKind(kindOf(value))}
          />
          <TextInput
            label="Name"
            placeholder="Production OpenAI"
            required
            withAsterisk={false}
            maxLength={100}
            value={name}
            onChange={(e) => setName(e.currentTarget.value)}
          />
          {kind !== "demo" && (
            <>
              <TextInput
                label="Address"
                description={look?.hint}
                placeholder={look?.url || "Provider's own"}
                value={url}
                onChange={(e) => setUrl(e.currentTarget.value)}
              />
              <PasswordInput
                label="API key"
                description={
                  provider?.api_key_set
                    ? "A key is stored and cannot be shown. Type another one to replace it."
                    : "Stored sealed and never shown again."
                }
                placeholder={provider?.api_key_set ? `•••• ${provider.api_key_fingerprint}` : ""}
                autoComplete="new-password"
                value={key}
                onChange={(e) => {
                  setKey(e.currentTarget.value);
                  setRemoveKey(false);
                }}
              />
              {provider?.api_key_set && !key && (
                <Group>
                  <Button variant="default" color="gray" onClick={() => setRemoveKey(!removeKey)}>
                    {removeKey ? "Keep the stored key" : "Remove the stored key"}
                  </Button>
                  {removeKey && <span style={{ fontSize: 13 }}>It is removed when you save.</span>}
                </Group>
              )}
            </>
          )}
          <Group justify="flex-end" gap="xs" mt={4}>
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending} disabled={!name.trim()}>
              {provider ? "Save" : "Add provider"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
