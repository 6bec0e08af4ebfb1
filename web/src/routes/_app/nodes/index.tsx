import { IconBolt } from "@tabler/icons-react";
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { createFileRoute, useNavigate } from "@tanstack/react-router";
import type { NodeStatus } from "../../../api/aliases";
import { quickListQuery } from "../../../features/nodes/api";
import { NodeTable } from "../../../features/nodes/components/node-table";
import { statuses } from "../../../features/nodes/keys";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { MultiSelect } from "../../../ui/inputs";
import { LinkButton } from "../../../ui/link-button";
import { PageFrame } from "../../../ui/page";
import { ShowMore } from "../../../ui/show-more";
import { lookOf } from "../../../ui/status";
import table from "../../../ui/table.module.css";

interface Search {
  status?: NodeStatus[];
}

export const Route = createFileRoute("/_app/nodes/")({
  validateSearch: (search): Search => {
    const wanted = (Array.isArray(search.status) ? search.status : [search.status]).map(String);
    const status = statuses.filter((s) => wanted.includes(s));
    return status.length > 0 ? { status } : {};
  },
  component: Nodes,
});

function Nodes() {
  const { status } = Route.useSearch();
  const navigate = useNavigate({ from: Route.fullPath });
  const list = useInfiniteQuery({ ...quickListQuery(status), placeholderData: keepPreviousData });
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  const run = <LinkButton to="/nodes/new">Run a quick node</LinkButton>;
  return (
    <PageFrame
      title="Quick nodes"
      crumbs={[{ label: "Runs", to: "/runs" }, { label: "Quick nodes" }]}
      actions={items.length > 0 && run}
    >
      <div className={table.filters}>
        <MultiSelect
          w={320}
          aria-label="Status"
          placeholder={status ? "" : "Every status"}
          clearable
          value={status ?? []}
          data={statuses.map((value) => ({ value, label: lookOf(value).label }))}
          onChange={(next) =>
            void navigate({ search: next.length > 0 ? { status: next } : {}, replace: true })
          }
        />
      </div>
      {list.isError && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {list.isPending && <Lines n={10} />}
      {list.isSuccess && items.length === 0 && (
        <Empty
          icon={IconBolt}
          title={status ? "No quick node matches" : "No quick nodes yet"}
          action={
            status ? (
              <LinkButton to="/nodes" variant="default">
                Clear the filter
              </LinkButton>
            ) : (
              run
            )
          }
        >
          {status
            ? "No quick node has this status."
            : "A quick node is one step without a flowchart: a question to a model, or the indexing of a source. It is queued, retried and recovered like the steps of a run."}
        </Empty>
      )}
      {items.length > 0 && <NodeTable items={items} />}
      <ShowMore list={list} />
    </PageFrame>
  );
}
