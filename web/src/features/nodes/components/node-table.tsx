import { Link } from "@tanstack/react-router";
import type { ListedNode } from "../../../api/aliases";
import { Status } from "../../../ui/status";
import table from "../../../ui/table.module.css";
import { Ago, Elapsed } from "../../../ui/time";
import { isFinalNode } from "../../runs/model";
import { modeLabel } from "../model";

export function NodeTable({ items }: { items: ListedNode[] }) {
  return (
    <table className={table.table}>
      <thead>
        <tr>
          <th>Node</th>
          <th>Kind</th>
          <th>Status</th>
          <th className={table.number}>Took</th>
          <th>Begun</th>
        </tr>
      </thead>
      <tbody>
        {items.map((n) => (
          <tr key={n.id} className={table.row}>
            <td className={table.clip}>
              <Link className={table.link} to="/nodes/$nodeId" params={{ nodeId: String(n.id) }}>
                {n.title || `Node run ${n.id}`}
              </Link>
              <div className={table.sub}>{n.error ? n.error.message : `#${n.id}`}</div>
            </td>
            <td className={table.muted}>
              {n.kind}
              {n.execution_mode && <div className={table.sub}>{modeLabel(n.execution_mode)}</div>}
            </td>
            <td>
              <Status status={n.status} />
            </td>
            <td className={table.number}>
              <Elapsed from={n.started_at} to={n.finished_at} open={!isFinalNode(n.status)} />
            </td>
            <td className={table.muted}>
              <Ago at={n.created_at} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
