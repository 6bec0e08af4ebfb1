import { IconHistory } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ScheduleFiring } from "../../../api/aliases";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { Section } from "../../../ui/page";
import { ShowMore } from "../../../ui/show-more";
import { lookOf, StatusIcon } from "../../../ui/status";
import table from "../../../ui/table.module.css";
import { Ago } from "../../../ui/time";
import { firingsQuery } from "../api";
import { lookOfFiring, wordsOfFiring } from "../model";
import classes from "../schedules.module.css";

const exact = (at: string): string =>
  new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

function Row({ firing: f }: { firing: ScheduleFiring }) {
  return (
    <tr className={table.row}>
      <td className={table.muted}>{exact(f.due_at)}</td>
      <td style={{ whiteSpace: "nowrap" }}>
        <span className={classes.outcome}>
          <StatusIcon status={lookOfFiring(f)} size={15} /> {wordsOfFiring(f)}
        </span>
      </td>
      <td className={classes.message}>
        {f.flowchart_run_id ? (
          <Link
            className={table.link}
            to="/runs/$runId"
            params={{ runId: String(f.flowchart_run_id) }}
          >{`Run ${f.flowchart_run_id}, ${lookOf(f.run_status).label.toLowerCase()}`}</Link>
        ) : (
          f.message ||
          (f.node_run_id &&
            `Index run of node ${f.node_run_id}, ${lookOf(f.node_status ?? "").label.toLowerCase()}`)
        )}
      </td>
      <td className={table.muted}>
        <Ago at={f.fired_at} />
      </td>
    </tr>
  );
}

/** What became of a schedule's times, newest first. */
export function Firings({ id }: { id: number }) {
  const list = useInfiniteQuery(firingsQuery(id));
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Section title="Firings">
      {list.isError && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {list.isPending && <Lines n={4} />}
      {list.isSuccess && items.length === 0 && (
        <Empty icon={IconHistory} title="It has not fired yet">
          Each time it fires, the run appears here; a time that started nothing says why.
        </Empty>
      )}
      {items.length > 0 && (
        <table className={table.table}>
          <thead>
            <tr>
              <th>Due</th>
              <th>Outcome</th>
              <th>Run</th>
              <th>Fired</th>
            </tr>
          </thead>
          <tbody>
            {items.map((f) => (
              <Row key={f.id} firing={f} />
            ))}
          </tbody>
        </table>
      )}
      <ShowMore list={list} />
    </Section>
  );
}
