import { IconBan } from "@tabler/icons-react";
import type { Cancellation, Receipt, RunStatus } from "../../../api/aliases";
import { duration } from "../../../ui/format";
import table from "../../../ui/table.module.css";
import { Elapsed } from "../../../ui/time";
import classes from "./stopped.module.css";

const meaning: Record<NonNullable<Receipt["how"]>, string> = {
  stopped: "Its worker stopped it and said so.",
  "finished first": "It had ended by itself before the order came.",
  "never began": "Nobody had begun it, and nobody will.",
  "forced after grace": "Its worker did not confirm in time; what it had started may have gone on.",
  "worker died": "Its worker is gone, and with it what it ran.",
};

function Row({ receipt, onNode }: { receipt: Receipt; onNode: (id: number) => void }) {
  const r = receipt;
  return (
    <tr>
      <td className={table.clip}>
        <button type="button" className={classes.node} onClick={() => onNode(r.node_run_id)}>
          {r.title || r.flowchart_node_id}
        </button>
        {r.attempt > 1 && <span className={table.muted}> attempt {r.attempt}</span>}
      </td>
      <td className={table.muted}>
        {r.worker ? `${r.worker.hostname}, process ${r.worker.pid}` : "Nobody held it"}
        {r.executor && `, executor ${r.executor}`}
      </td>
      <td data-how={r.how ?? "asked"} className={classes.how} title={r.how ? meaning[r.how] : undefined}>
        {r.how ?? "asked, not confirmed"}
      </td>
      <td className={table.number}>
        {r.confirmed_at ? (
          duration(Math.max(0, Date.parse(r.confirmed_at) - Date.parse(r.asked_at)))
        ) : (
          <Elapsed from={r.asked_at} to={null} open />
        )}
      </td>
    </tr>
  );
}

interface Props {
  cancellation: Cancellation;
  status: RunStatus;
  onNode: (nodeRunId: number) => void;
}

/** What was asked to stop, of whom, and how it ended. */
export function Stopped({ cancellation, status, onNode }: Props) {
  const { asked, confirmed, receipts } = cancellation;
  if (asked === 0) return null;
  return (
    <details className={classes.stopped} open={status !== "failed" && status !== "succeeded"}>
      <summary>
        <IconBan size={15} aria-hidden />
        <b>What was stopped</b>
        <span role="status">
          {asked > 1 && confirmed === asked && `all ${asked} `}
          {confirmed < asked && `${confirmed} of ${asked} `}
          confirmed
        </span>
      </summary>
      <div className={classes.list}>
        <table className={table.table}>
          <thead>
            <tr>
              <th>Node</th>
              <th>Held by</th>
              <th>How it ended</th>
              <th className={table.number}>After</th>
            </tr>
          </thead>
          <tbody>
            {receipts.map((r) => (
              <Row key={`${r.node_run_id}/${r.attempt}`} receipt={r} onNode={onNode} />
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
