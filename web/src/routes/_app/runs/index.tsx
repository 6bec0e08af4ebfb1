import { IconActivity } from "@tabler/icons-react";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { createFileRoute, useNavigate } from "@tanstack/react-router";
import type { RunStatus } from "../../../api/aliases";
import { flowchartListQuery, flowchartQuery } from "../../../features/flowcharts/api";
import { runListQuery } from "../../../features/runs/api";
import { RunTable } from "../../../features/runs/components/run-table";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { MultiSelect, Select } from "../../../ui/inputs";
import { LinkButton } from "../../../ui/link-button";
import { PageFrame } from "../../../ui/page";
import { ShowMore } from "../../../ui/show-more";
import { lookOf } from "../../../ui/status";
import table from "../../../ui/table.module.css";

const statuses: RunStatus[] = [
  "queued",
  "running",
  "paused",
  "cancelling",
  "succeeded",
  "failed",
  "cancelled",
];

interface Search {
  status?: RunStatus[];
  flowchart?: number;
}

export const Route = createFileRoute("/_app/runs/")({
  validateSearch: (search): Search => {
    const wanted = (Array.isArray(search.status) ? search.status : [search.status]).map(String);
    const status = statuses.filter((s) => wanted.includes(s));
    const flowchart = Number(search.flowchart);
    return {
      ...(status.length > 0 ? { status } : {}),
      ...(Number.isInteger(flowchart) && flowchart > 0 ? { flowchart } : {}),
    };
  },
  component: Runs,
});

function Filters() {
  const search = Route.useSearch();
  const navigate = useNavigate({ from: Route.fullPath });
  const flowcharts = useInfiniteQuery(flowchartListQuery(""));
  const chosen = useQuery({
    ...flowchartQuery(search.flowchart ?? 0),
    enabled: search.flowchart !== undefined,
  });
  const options = new Map(flowcharts.data?.pages[0]?.items.map((f) => [String(f.id), f.name]));
  if (chosen.data) options.set(String(chosen.data.id), chosen.data.name);
  const set = (next: Search) => void navigate({ search: next, replace: true });
  return (
    <div className={table.filters}>
      <Select
        w={260}
        aria-label="Flowchart"
        placeholder="Every flowchart"
        searchable
        clearable
        value={search.flowchart === undefined ? null : String(search.flowchart)}
        data={[...options].map(([value, label]) => ({ value, label }))}
        onChange={(value) => {
          const { flowchart: _, ...rest } = search;
          set(value ? { ...rest, flowchart: Number(value) } : rest);
        }}
      />
      <MultiSelect
        w={320}
        aria-label="Status"
        placeholder={search.status ? "" : "Every status"}
        clearable
        value={search.status ?? []}
        data={statuses.map((value) => ({ value, label: lookOf(value).label }))}
        onChange={(status) => {
          const { status: _, ...rest } = search;
          set(status.length > 0 ? { ...rest, status } : rest);
        }}
      />
    </div>
  );
}

function Runs() {
  const { status, flowchart } = Route.useSearch();
  const filtered = status !== undefined || flowchart !== undefined;
  const list = useInfiniteQuery({
    ...runListQuery({ status, flowchart_id: flowchart }),
    placeholderData: keepPreviousData,
  });
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <PageFrame
      title="Runs"
      actions={
        <LinkButton to="/nodes" variant="default">
          Quick nodes
        </LinkButton>
      }
    >
      <Filters />
      {list.isError && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {list.isPending && <Lines n={10} />}
      {list.isSuccess && items.length === 0 && (
        <Empty
          icon={IconActivity}
          title={filtered ? "No run matches" : "No runs yet"}
          action={
            filtered ? (
              <LinkButton to="/runs" variant="default">
                Clear the filters
              </LinkButton>
            ) : (
              <LinkButton to="/flowcharts">Open a flowchart</LinkButton>
            )
          }
        >
          {filtered
            ? "No run has this flowchart and status."
            : "Start a flowchart and its run appears here, with every step, what it took and what it gave."}
        </Empty>
      )}
      {items.length > 0 && <RunTable items={items} />}
      <ShowMore list={list} />
    </PageFrame>
  );
}
