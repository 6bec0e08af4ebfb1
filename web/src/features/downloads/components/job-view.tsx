import { IconAlertCircle } from "@tabler/icons-react";
import type { DownloadDetail } from "../../../api/aliases";
import { bytes, count } from "../../../ui/format";
import { Section } from "../../../ui/page";
import { Status } from "../../../ui/status";
import table from "../../../ui/table.module.css";
import { Ago, Elapsed } from "../../../ui/time";
import classes from "../downloads.module.css";
import { eta, headline, isMoving, percent, speed, titleOf } from "../model";
import { PlainBar } from "./bar";
import { FileTable } from "./file-table";
import { Sparkline } from "./sparkline";

function Trouble({ job }: { job: DownloadDetail }) {
  if (!job.error || job.status === "succeeded" || job.status === "cancelled") return null;
  return (
    <div role="alert" className={classes.trouble} data-waits={job.status !== "failed" || undefined}>
      <IconAlertCircle size={18} aria-hidden />
      <div>
        <b>{job.status === "failed" ? titleOf(job.error.code) : "The last attempt did not get through"}</b>
        <p>{job.error.message}</p>
        {job.status === "queued" && job.run_after && (
          <p className={classes.note}>It tries again at {new Date(job.run_after).toLocaleTimeString()}.</p>
        )}
        {job.status === "failed" && (
          <p className={classes.note}>What is on the disk stays: a new download of it goes on from there.</p>
        )}
      </div>
    </div>
  );
}

function Summary({ job }: { job: DownloadDetail }) {
  const tone = job.status === "succeeded" ? "succeeded" : job.status === "failed" ? "failed" : "running";
  return (
    <div className={classes.summary}>
      <div className={classes.summaryHead}>
        <Status status={job.status} />
        <span className={classes.headline}>{job.status === "failed" ? "" : headline(job)}</span>
        <b>{percent(job.bytes_done, job.bytes_total)}</b>
      </div>
      <PlainBar
        size={job.bytes_total}
        done={job.status === "succeeded" ? job.bytes_total : job.bytes_done}
        label="Progress"
        tone={tone}
      />
      <div className={classes.figures}>
        <dl className={classes.facts}>
          <div>
            <dt>Files</dt>
            <dd>
              {count(job.files_done)} of {count(job.files_total)}
            </dd>
          </div>
          <div>
            <dt>Size</dt>
            <dd>{bytes(job.bytes_total)}</dd>
          </div>
          <div>
            <dt>Fetched</dt>
            <dd>{bytes(job.bytes_fetched)}</dd>
          </div>
          <div>
            <dt>Speed</dt>
            <dd>{isMoving(job.status) ? speed(job.bytes_per_second) : "–"}</dd>
          </div>
          <div>
            <dt>Left</dt>
            <dd>{isMoving(job.status) ? eta(job.eta_seconds) : "–"}</dd>
          </div>
          <div>
            <dt>Took</dt>
            <dd>
              <Elapsed from={job.started_at} to={job.finished_at} />
            </dd>
          </div>
          <div>
            <dt>Worker</dt>
            <dd>{job.worker || "–"}</dd>
          </div>
        </dl>
        {isMoving(job.status) && <Sparkline value={job.bytes_per_second} at={job.as_of.sequence} />}
      </div>
    </div>
  );
}

const attemptLook: Record<string, string> = { handed_over: "Handed over", lost: "Lost with its worker" };

function Attempts({ job }: { job: DownloadDetail }) {
  return (
    <table className={table.table}>
      <thead>
        <tr>
          <th>Attempt</th>
          <th>Worker</th>
          <th>How it ended</th>
          <th className={table.number}>Fetched</th>
          <th className={table.number}>Took</th>
          <th>Begun</th>
        </tr>
      </thead>
      <tbody>
        {job.attempts.map((a) => (
          <tr key={a.number}>
            <td>{a.number}</td>
            <td>{a.worker}</td>
            <td className={table.clip}>
              {attemptLook[a.status] ?? <Status status={a.status} />}
              {a.error && <div className={table.sub}>{a.error.message}</div>}
            </td>
            <td className={table.number}>{bytes(a.bytes_fetched)}</td>
            <td className={table.number}>
              <Elapsed from={a.claimed_at} to={a.finished_at} />
            </td>
            <td className={table.muted}>
              <Ago at={a.claimed_at} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function JobView({ job }: { job: DownloadDetail }) {
  return (
    <>
      <Trouble job={job} />
      <Summary job={job} />
      <Section title="Files">
        <FileTable files={job.files} />
      </Section>
      {job.attempts.length > 1 && (
        <Section title="Attempts">
          <Attempts job={job} />
        </Section>
      )}
    </>
  );
}
