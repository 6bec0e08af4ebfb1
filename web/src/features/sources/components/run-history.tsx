import { IconHistory } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { IndexRun } from "../../../api/aliases";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { count } from "../../../ui/format";
import { ShowMore } from "../../../ui/show-more";
import table from "../../../ui/table.module.css";
import { Ago, Elapsed } from "../../../ui/time";
import { indexRunsQuery } from "../api";
import { headlineOfRun, modeLabels } from "../model";
import { RunState } from "./marks";

function Row({ run, longest }: { run: IndexRun; longest: number }) {
  const took =
    run.started_at && run.finished_at ? Date.parse(run.finished_at) - Date.parse(run.started_at) : 0;
  return (
    <tr className={table.row}>
      <td className={table.clip} style={{ width: "36%" }}>
        <Link
          className={table.link}
          to="/sources/$sourceId"
          params={{ sourceId: String(run.source_id) }}
          search={{ run: run.id }}
        >
          #{run.id} · {modeLabels[run.mode]}
        </Link>
        <div className={table.sub}>{headlineOfRun(run)}</div>
      </td>
      <td>
        <RunState run={run} />
      </td>
      <td className={table.number}>{run.planned_at ? count(run.counts.added) : "–"}</td>
      <td className={table.number}>{run.planned_at ? count(run.counts.changed) : "–"}</td>
      <td className={table.number}>{run.planned_at ? count(run.counts.removed) : "–"}</td>
      <td className={table.number}>{run.counts.failed > 0 ? count(run.counts.failed) : "–"}</td>
      <td className={table.number}>
        <Elapsed from={run.started_at} to={run.finished_at} />
        <span
          aria-hidden
          style={{
            display: "block",
            height: 3,
            marginLeft: "auto",
            width: `${longest > 0 ? (took / longest) * 100 : 0}%`,
            background: "var(--st-line-strong)",
          }}
        />
      </td>
      <td className={table.muted}>
        <Ago at={run.created_at} />
      </td>
    </tr>
  );
}

/** The index runs of a source, the newest first. */
export function RunHistory({ source }: { source: number }) {
  const list = useInfiniteQuery(indexRunsQuery(source));
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  const longest = Math.max(
    0,
    ...items.map((r) =>
      r.started_at && r.finished_at ? Date.parse(r.finished_at) - Date.parse(r.started_at) : 0,
    ),
  );
  return (
    <>
      {list.isError && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {list.isPending && <Lines n={6} />}
      {list.isSuccess && items.length === 0 && (
        <Empty icon={IconHistory} title="No index runs yet">
          Each indexing of this source is kept here, with what it did and how long it took.
        </Empty>
      )}
      {items.length > 0 && (
        <table className={table.table}>
          <thead>
            <tr>
              <th>Run</th>
              <th>Status</th>
              <th className={table.number}>Added</th>
              <th className={table.number}>Changed</th>
              <th className={table.number}>Removed</th>
              <th className={table.number}>Failed</th>
              <th className={table.number}>Took</th>
              <th>Begun</th>
            </tr>
          </thead>
          <tbody>
            {items.map((run) => (
              <Row key={run.id} run={run} longest={longest} />
            ))}
          </tbody>
        </table>
      )}
      <ShowMore list={list} />
    </>
  );
}
