import { useQuery } from "@tanstack/react-query";
import type { Complexity } from "../../../api/aliases";
import { MultiSelect, Select } from "../../../ui/inputs";
import { mcpServersQuery } from "../../mcp/api";
import { answeringModelsQuery } from "../../models/api";
import { SourcePicker } from "../../sources/components/source-picker";
import { settingsQuery } from "../api";
import { complexities } from "../model";

/** The choices of a session, for a thread that is there and for one that is to be. */
export interface Choices {
  model_id: number | null;
  response_complexity: Complexity | null;
  mcp_server_ids: number[];
  source_ids: number[];
}

export function ChoiceFields({
  value,
  disabled,
  onChange,
}: {
  value: Choices;
  disabled: boolean;
  onChange: (change: Partial<Choices>) => void;
}) {
  const models = useQuery(answeringModelsQuery);
  const servers = useQuery(mcpServersQuery);
  const settings = useQuery(settingsQuery);
  const standard = models.data?.find((m) => m.id === settings.data?.default_model_id)?.name;
  return (
    <>
      <Select
        size="xs"
        inputWrapperOrder={["label", "input", "description", "error"]}
        label="Model"
        placeholder={standard ? `Default: ${standard}` : "Default: the newest"}
        clearable
        searchable
        disabled={disabled}
        data={models.data?.map((m) => ({ value: String(m.id), label: m.name })) ?? []}
        value={value.model_id === null ? null : String(value.model_id)}
        onChange={(id) => onChange({ model_id: id === null ? null : Number(id) })}
      />
      <Select
        size="xs"
        inputWrapperOrder={["label", "input", "description", "error"]}
        label="Answers"
        description={complexities.find((c) => c.value === value.response_complexity)?.hint}
        placeholder="Default"
        allowDeselect={false}
        disabled={disabled}
        data={complexities.map(({ value: v, label }) => ({ value: v, label }))}
        value={value.response_complexity}
        onChange={(v) => {
          const chosen = complexities.find((c) => c.value === v)?.value;
          if (chosen) onChange({ response_complexity: chosen });
        }}
      />
      <MultiSelect
        size="xs"
        inputWrapperOrder={["label", "input", "description", "error"]}
        label="MCP servers"
        description="Whose tools the model may call."
        placeholder={value.mcp_server_ids.length === 0 ? "None" : ""}
        clearable
        disabled={disabled}
        nothingFoundMessage="No server is set up. Add one under MCP."
        data={
          servers.data
            ?.filter((s) => s.enabled || value.mcp_server_ids.includes(s.id))
            .map((s) => ({ value: String(s.id), label: s.enabled ? s.name : `${s.name} (off)` })) ?? []
        }
        value={value.mcp_server_ids.map(String)}
        onChange={(ids) => onChange({ mcp_server_ids: ids.map(Number) })}
      />
      <SourcePicker
        size="xs"
        label="Sources"
        description="Passages of them are looked up for each message, and cited."
        indexedOnly
        disabled={disabled}
        value={value.source_ids}
        onChange={(source_ids) => onChange({ source_ids })}
      />
    </>
  );
}
