import { IconBooks, IconPlus } from "@tabler/icons-react";
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { createFileRoute, useNavigate } from "@tanstack/react-router";
import { sourceListQuery } from "../../../features/sources/api";
import { HealthBanner } from "../../../features/sources/components/health-banner";
import { KindLinks } from "../../../features/sources/components/kind-cards";
import { SearchField } from "../../../features/sources/components/search-field";
import { SourceTable } from "../../../features/sources/components/source-table";
import { RetrievalTabs } from "../../../features/sources/components/source-tabs";
import { type SourceFilter, sourceKinds, sourceStatuses } from "../../../features/sources/filter";
import { kindLabels, statusLabel } from "../../../features/sources/model";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { Select } from "../../../ui/inputs";
import { LinkButton } from "../../../ui/link-button";
import { PageFrame } from "../../../ui/page";
import { ShowMore } from "../../../ui/show-more";
import table from "../../../ui/table.module.css";

export const Route = createFileRoute("/_app/sources/")({
  validateSearch: (search): SourceFilter => {
    const q = typeof search.q === "string" ? search.q.slice(0, 200) : "";
    const kind = sourceKinds.find((k) => k === search.kind);
    const status = sourceStatuses.find((s) => s === search.status);
    return { ...(q && { q }), ...(kind && { kind }), ...(status && { status }) };
  },
  component: Sources,
});

function Filters({ filter }: { filter: SourceFilter }) {
  const navigate = useNavigate({ from: Route.fullPath });
  const set = (next: SourceFilter) => void navigate({ search: next, replace: true });
  const { q: _, ...withoutText } = filter;
  return (
    <div className={table.filters}>
      <SearchField
        label="Filter by name"
        value={filter.q ?? ""}
        onChange={(q) => set({ ...withoutText, ...(q && { q }) })}
      />
      <Select
        w={180}
        aria-label="Kind"
        placeholder="Every kind"
        clearable
        value={filter.kind ?? null}
        data={sourceKinds.map((value) => ({ value, label: kindLabels[value] }))}
        onChange={(value) => {
          const { kind: __, ...rest } = filter;
          const kind = sourceKinds.find((k) => k === value);
          set({ ...rest, ...(kind && { kind }) });
        }}
      />
      <Select
        w={180}
        aria-label="Status"
        placeholder="Every status"
        clearable
        value={filter.status ?? null}
        data={sourceStatuses.map((value) => ({ value, label: statusLabel(value) }))}
        onChange={(value) => {
          const { status: __, ...rest } = filter;
          const status = sourceStatuses.find((s) => s === value);
          set({ ...rest, ...(status && { status }) });
        }}
      />
    </div>
  );
}

function Sources() {
  const { user } = Route.useRouteContext();
  const filter = Route.useSearch();
  const filtered = Object.keys(filter).length > 0;
  const list = useInfiniteQuery({ ...sourceListQuery(filter), placeholderData: keepPreviousData });
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  const writes = user.role !== "viewer";
  const none = list.isSuccess && items.length === 0;
  return (
    <PageFrame
      title="Sources"
      actions={
        writes &&
        !(none && !filtered) && (
          <LinkButton to="/sources/new" leftSection={<IconPlus size={15} />}>
            Add source
          </LinkButton>
        )
      }
    >
      <RetrievalTabs manages={user.role === "admin"} />
      <HealthBanner />
      {(!none || filtered) && <Filters filter={filter} />}
      {list.isError && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {list.isPending && <Lines n={6} />}
      {none && filtered && (
        <Empty
          icon={IconBooks}
          title="No source matches"
          action={
            <LinkButton to="/sources" variant="default">
              Clear the filters
            </LinkButton>
          }
        >
          No source has this name, kind and status.
        </Empty>
      )}
      {none && !filtered && (
        <Empty icon={IconBooks} title="No sources yet" action={writes && <KindLinks />}>
          A source is a place with files: a folder, a Git repository, a folder on Google Drive. Its files are
          cut into chunks and indexed, so that threads, flowcharts and the playground can find and cite them.
          Only what changed is indexed again.
        </Empty>
      )}
      {items.length > 0 && <SourceTable items={items} writes={writes} />}
      <ShowMore list={list} />
    </PageFrame>
  );
}
