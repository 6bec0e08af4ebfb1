import { Button } from "@mantine/core";
import { useDebouncedCallback, useDisclosure } from "@mantine/hooks";
import { IconPlus, IconSchema, IconSearch } from "@tabler/icons-react";
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { createFileRoute, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { flowchartListQuery } from "../../../features/flowcharts/api";
import { CreateFlowchart } from "../../../features/flowcharts/components/create-dialog";
import { FlowchartTable } from "../../../features/flowcharts/components/flowchart-table";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { TextInput } from "../../../ui/inputs";
import { PageFrame } from "../../../ui/page";
import { ShowMore } from "../../../ui/show-more";
import table from "../../../ui/table.module.css";

export const Route = createFileRoute("/_app/flowcharts/")({
  validateSearch: (search): { q?: string; new?: true } => ({
    ...(search.q ? { q: String(search.q) } : {}),
    ...(search.new ? { new: true } : {}),
  }),
  component: Flowcharts,
});

function Flowcharts() {
  const { q = "", new: creating } = Route.useSearch();
  const navigate = useNavigate({ from: Route.fullPath });
  const [text, setText] = useState(q);
  const [opened, dialog] = useDisclosure(creating ?? false);
  const list = useInfiniteQuery({ ...flowchartListQuery(q), placeholderData: keepPreviousData });
  const search = useDebouncedCallback((value: string) => {
    void navigate({ search: value.trim() ? { q: value.trim() } : {}, replace: true });
  }, 250);
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  const create = (
    <Button leftSection={<IconPlus size={15} />} onClick={dialog.open}>
      New flowchart
    </Button>
  );
  return (
    <PageFrame title="Flowcharts" actions={create}>
      <CreateFlowchart opened={opened} onClose={dialog.close} />
      <div className={table.filters}>
        <TextInput
          w={300}
          aria-label="Search flowcharts"
          placeholder="Search by name or description"
          leftSection={<IconSearch size={15} />}
          value={text}
          onChange={(e) => {
            setText(e.currentTarget.value);
            search(e.currentTarget.value);
          }}
        />
      </div>
      {list.isError && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {list.isPending && <Lines n={8} />}
      {list.isSuccess && items.length === 0 && (
        <Empty
          icon={IconSchema}
          title={q ? "Nothing matches" : "No flowcharts yet"}
          action={q ? undefined : create}
        >
          {q
            ? `No flowchart has “${q}” in its name or description.`
            : "A flowchart joins prompts, decisions, requests and scripts into one run that you can watch and repeat."}
        </Empty>
      )}
      {items.length > 0 && <FlowchartTable items={items} />}
      <ShowMore list={list} />
    </PageFrame>
  );
}
