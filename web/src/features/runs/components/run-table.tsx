import { Link } from "@tanstack/react-router";
import type { FlowchartRun } from "../../../api/aliases";
import { Status } from "../../../ui/status";
import table from "../../../ui/table.module.css";
import { Ago, Elapsed } from "../../../ui/time";

export function RunTable({ items }: { items: FlowchartRun[] }) {
  return (
    <table className={table.table}>
      <thead>
        <tr>
          <th>Run</th>
          <th>Flowchart</th>
          <th>Status</th>
          <th className={table.number}>Took</th>
          <th>Begun</th>
        </tr>
      </thead>
      <tbody>
        {items.map((run) => (
          <tr key={run.id} className={table.row}>
            <td className={table.muted}>
              <Link className={table.link} to="/runs/$runId" params={{ runId: String(run.id) }}>
                #{run.id}
              </Link>
            </td>
            <td className={table.clip}>
              {run.flowchart_name ?? `Flowchart ${run.flowchart_id}`}
              {run.error && <div className={table.sub}>{run.error.message}</div>}
            </td>
            <td>
              <Status status={run.status} />
            </td>
            <td className={table.number}>
              <Elapsed from={run.started_at} to={run.finished_at} />
            </td>
            <td className={table.muted}>
              <Ago at={run.created_at} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
