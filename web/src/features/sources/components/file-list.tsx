import { Button } from "@mantine/core";
import { IconFiles } from "@tabler/icons-react";
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import type { SourceFile } from "../../../api/aliases";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { bytes } from "../../../ui/format";
import { Select } from "../../../ui/inputs";
import table from "../../../ui/table.module.css";
import { type FileFilter, sourceFilesQuery } from "../api";
import { chunks } from "../model";
import classes from "../sources.module.css";
import { SearchField } from "./search-field";

interface Props {
  source: number;
  filter: FileFilter;
  /** What there is to choose from. */
  languages: string[];
  kinds: string[];
  open: number | undefined;
  onFilter: (filter: FileFilter) => void;
  onOpen: (file: number) => void;
}

function Filters({ filter, languages, kinds, onFilter }: Omit<Props, "source" | "open" | "onOpen">) {
  const set = (name: keyof FileFilter, value: string | null) => {
    const { [name]: _, ...rest } = filter;
    onFilter({ ...rest, ...(value && { [name]: value }) });
  };
  return (
    <div className={table.filters}>
      <SearchField label="Search by path" width={220} value={filter.q ?? ""} onChange={(q) => set("q", q)} />
      <Select
        w={130}
        aria-label="Kind of file"
        placeholder="Every kind"
        clearable
        data={kinds}
        value={filter.kind ?? null}
        onChange={(v) => set("kind", v)}
      />
      <Select
        w={150}
        aria-label="Language"
        placeholder="Every language"
        clearable
        searchable
        data={languages}
        value={filter.language ?? null}
        onChange={(v) => set("language", v)}
      />
    </div>
  );
}

function Item({ file, open, onOpen }: { file: SourceFile; open: boolean; onOpen: () => void }) {
  return (
    <li>
      <button type="button" className={classes.fileItem} aria-current={open || undefined} onClick={onOpen}>
        <span title={file.path}>{file.path}</span>
        <small>{[file.language || file.kind, chunks(file.chunks), bytes(file.size)].join(" · ")}</small>
      </button>
    </li>
  );
}

/** The files of a source's index. */
export function FileList({ source, open, onOpen, ...filters }: Props) {
  const { filter } = filters;
  const list = useInfiniteQuery({ ...sourceFilesQuery(source, filter), placeholderData: keepPreviousData });
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  const filtered = Object.keys(filter).length > 0;
  return (
    <div>
      <Filters {...filters} />
      {list.isError && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {list.isPending && <Lines n={8} />}
      {list.isSuccess && items.length === 0 && (
        <Empty icon={IconFiles} title={filtered ? "No file matches" : "No files in the index"}>
          {filtered
            ? "No indexed file is like that."
            : "After an index run the files that searches see are here."}
        </Empty>
      )}
      {items.length > 0 && (
        <ul className={classes.fileList} aria-label="Indexed files">
          {items.map((f) => (
            <Item key={f.id} file={f} open={f.id === open} onOpen={() => onOpen(f.id)} />
          ))}
          {list.hasNextPage && (
            <li className={table.more}>
              <Button
                variant="default"
                loading={list.isFetchingNextPage}
                onClick={() => void list.fetchNextPage()}
              >
                Show more
              </Button>
            </li>
          )}
        </ul>
      )}
    </div>
  );
}
