import { Link } from "@tanstack/react-router";
import type { Download } from "../../../api/aliases";
import { bytes } from "../../../ui/format";
import { Status } from "../../../ui/status";
import table from "../../../ui/table.module.css";
import { Ago } from "../../../ui/time";
import classes from "../downloads.module.css";
import { eta, isMoving, percent, speed } from "../model";
import { PlainBar } from "./bar";

const toneOf = (job: Download) =>
  job.status === "succeeded" ? "succeeded" : job.status === "failed" ? "failed" : "running";

export function DownloadTable({ items }: { items: Download[] }) {
  return (
    <table className={table.table}>
      <thead>
        <tr>
          <th>Model</th>
          <th>Status</th>
          <th>Progress</th>
          <th className={table.number}>Size</th>
          <th className={table.number}>Speed</th>
          <th className={table.number}>Left</th>
          <th>Begun</th>
        </tr>
      </thead>
      <tbody>
        {items.map((job) => (
          <tr key={job.id} className={table.row}>
            <td className={table.clip}>
              <Link
                className={table.link}
                to="/downloads/$downloadId"
                params={{ downloadId: String(job.id) }}
              >
                {job.repo_id}
              </Link>
              <div className={table.sub}>
                {job.status !== "succeeded" && job.error
                  ? job.error.message
                  : `${job.revision} · models/${job.target}`}
              </div>
            </td>
            <td>
              <Status status={job.status} />
            </td>
            <td className={classes.progressCell}>
              <PlainBar
                size={job.bytes_total}
                done={job.status === "succeeded" ? job.bytes_total : job.bytes_done}
                label={`Progress of ${job.repo_id}`}
                tone={toneOf(job)}
              />
              <small>{percent(job.bytes_done, job.bytes_total)}</small>
            </td>
            <td className={table.number}>{bytes(job.bytes_total)}</td>
            <td className={table.number}>{isMoving(job.status) ? speed(job.bytes_per_second) : "–"}</td>
            <td className={table.number}>{isMoving(job.status) ? eta(job.eta_seconds) : "–"}</td>
            <td className={table.muted}>
              <Ago at={job.created_at} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
