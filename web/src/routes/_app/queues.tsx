import { useQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { config } from "../../config";
import { queuesQuery, workersQuery } from "../../features/queues/api";
import { DeadSection } from "../../features/queues/components/dead";
import { Notices, Tiles } from "../../features/queues/components/figures";
import { QueueDrawer } from "../../features/queues/components/queue-drawer";
import { QueueTable } from "../../features/queues/components/queue-table";
import { ThreadsRow } from "../../features/queues/components/threads-row";
import { WorkersSection } from "../../features/queues/components/workers";
import { type JobState, jobStates } from "../../features/queues/job-states";
import classes from "../../features/queues/queues.module.css";
import { ErrorNotice, Lines } from "../../ui/feedback";
import { PageFrame } from "../../ui/page";

interface Search {
  /** The queue that is open. */
  queue?: string;
  jobs?: JobState;
  /** The queue whose dead are listed, and which of them. */
  dead?: string;
  code?: string;
  pending?: true;
}

const text = (value: unknown): string => (typeof value === "string" ? value.slice(0, 100) : "");

export const Route = createFileRoute("/_app/queues")({
  validateSearch: (search): Search => {
    const queue = text(search.queue);
    const jobs = jobStates.find((s) => s === search.jobs);
    const dead = text(search.dead);
    const code = text(search.code);
    return {
      ...(queue && { queue }),
      ...(jobs && { jobs }),
      ...(dead && { dead }),
      ...(code && { code }),
      ...(search.pending === true && { pending: true as const }),
    };
  },
  component: Queues,
});

function Queues() {
  const { user } = Route.useRouteContext();
  const search = Route.useSearch();
  const navigate = Route.useNavigate();
  const queues = useQuery(queuesQuery);
  const workers = useQuery(workersQuery);
  const manages = user.role === "admin";
  const go = (next: Search) => void navigate({ search: next, replace: true, resetScroll: false });
  const dead = search.dead ?? queues.data?.items[0]?.name;
  return (
    <PageFrame
      title="Queues and workers"
      actions={manages && <a href={`${config.apiBase}/river/`}>River's page</a>}
    >
      {queues.isError && (
        <div className={classes.error}>
          <ErrorNotice error={queues.error} onRetry={() => void queues.refetch()} />
        </div>
      )}
      {queues.isPending && <Lines n={6} height={64} />}
      {queues.data && (
        <>
          <Notices queues={queues.data.items} workers={workers.data} />
          <Tiles queues={queues.data} />
          <QueueTable queues={queues.data.items} manages={manages}>
            <ThreadsRow threads={queues.data.threads} manages={manages} />
          </QueueTable>
        </>
      )}
      {workers.isError && (
        <div className={classes.error}>
          <ErrorNotice error={workers.error} onRetry={() => void workers.refetch()} />
        </div>
      )}
      {workers.data && <WorkersSection workers={workers.data} manages={manages} />}
      {queues.data && dead !== undefined && (
        <DeadSection
          queues={queues.data.items}
          filter={{ queue: dead, code: search.code ?? "", pending: search.pending ?? false }}
          onFilter={({ queue, code, pending }) => {
            const { dead: _, code: __, pending: ___, ...rest } = search;
            go({ ...rest, dead: queue, ...(code && { code }), ...(pending && { pending: true as const }) });
          }}
          writes={user.role !== "viewer"}
        />
      )}
      {search.queue !== undefined && (
        <QueueDrawer
          key={search.queue}
          name={search.queue}
          state={search.jobs ?? "waiting"}
          onState={(jobs) => go({ ...search, jobs })}
          onClose={() => {
            const { queue: _, jobs: __, ...rest } = search;
            go(rest);
          }}
        />
      )}
    </PageFrame>
  );
}
