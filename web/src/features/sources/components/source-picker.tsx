import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { MultiSelect } from "../../../ui/inputs";
import { sourceListQuery, sourceQuery } from "../api";
import { choicesOf } from "../choices";

interface Props {
  label: string;
  value: number[];
  onChange: (ids: number[]) => void;
  description?: ReactNode;
  placeholder?: string;
  error?: ReactNode;
  disabled?: boolean;
  size?: "xs" | "sm";
  /** For searching, a source without an index is of no use; for indexing it is. */
  indexedOnly?: boolean;
}

const most = 200;

/** Chooses sources by their names. */
export function SourcePicker({
  label,
  value,
  onChange,
  indexedOnly = false,
  placeholder = "None",
  ...rest
}: Props) {
  const list = useInfiniteQuery(sourceListQuery({}, most));
  const known = list.data?.pages.flatMap((page) => page.items);
  // One that is not on the first page is asked for by itself.
  const stray = known && value.find((id) => !known.some((s) => s.id === id));
  const single = useQuery({ ...sourceQuery(stray ?? 0), enabled: stray !== undefined, retry: false });
  const sources = [...(known ?? []), ...(single.data ? [single.data] : [])];
  return (
    <>
      <MultiSelect
        inputWrapperOrder={["label", "input", "description", "error"]}
        label={label}
        placeholder={value.length === 0 ? placeholder : ""}
        searchable
        clearable
        nothingFoundMessage="No source has that name."
        data={choicesOf(sources, value, known !== undefined, indexedOnly)}
        value={value.map(String)}
        onChange={(ids) => onChange(ids.map(Number))}
        {...rest}
      />
      {known?.length === 0 && (
        <div style={{ fontSize: 13 }}>
          There are no sources yet. <Link to="/sources">Add one under Sources</Link>.
        </div>
      )}
    </>
  );
}
