import { IconAlertTriangle, IconCircleCheck } from "@tabler/icons-react";
import { useState } from "react";
import type { DownloadPlan, PlannedFile } from "../../../api/aliases";
import { bytes, count } from "../../../ui/format";
import { TextInput } from "../../../ui/inputs";
import classes from "../downloads.module.css";
import { foldersOf, obstacle, share } from "../model";

/** The disk: what is used, what this takes, what has to stay free. */
export function DiskGauge({ plan }: { plan: DownloadPlan }) {
  const { free, total, reserve } = plan.disk;
  const used = Math.max(0, total - free);
  const width = (n: number) => `${share(n, total) * 100}%`;
  return (
    <figure className={classes.disk}>
      <div
        className={classes.gauge}
        role="img"
        aria-label={`${bytes(used)} used, ${bytes(plan.bytes_to_fetch)} for this, ${bytes(free)} free of ${bytes(total)}`}
      >
        <span data-part="used" style={{ width: width(used) }} />
        <span
          data-part={plan.fits ? "this" : "over"}
          style={{ width: width(Math.min(plan.bytes_to_fetch, free)) }}
        />
        <span data-part="reserve" style={{ width: width(Math.min(reserve, free)), marginLeft: "auto" }} />
      </div>
      <figcaption>
        <span data-part="used">{bytes(used)} used</span>
        <span data-part={plan.fits ? "this" : "over"}>{bytes(plan.bytes_to_fetch)} for this</span>
        <span data-part="reserve">{bytes(reserve)} stay free</span>
        <span>{bytes(free)} free now</span>
      </figcaption>
    </figure>
  );
}

function FileLine({ file }: { file: PlannedFile }) {
  const name = file.path.slice(file.path.lastIndexOf("/") + 1);
  return (
    <li data-out={file.selected ? undefined : true}>
      <span title={file.path}>{name}</span>
      {file.present && <em>there</em>}
      {!file.selected && <em>left out</em>}
      <b>{bytes(file.size)}</b>
    </li>
  );
}

const shownFiles = 300;

export function PlanView({ plan }: { plan: DownloadPlan }) {
  const [filter, setFilter] = useState("");
  const folders = foldersOf(plan.files, filter);
  const against = obstacle(plan);
  return (
    <div className={classes.plan}>
      <p className={classes.verdict} data-bad={against !== null || undefined} role="status">
        {against ? <IconAlertTriangle size={16} aria-hidden /> : <IconCircleCheck size={16} aria-hidden />}
        {against ??
          `${count(plan.files_total)} of ${count(plan.files.length)} files, ${bytes(plan.bytes_to_fetch)} to download`}
      </p>
      <dl className={classes.facts}>
        <div>
          <dt>Commit</dt>
          <dd>
            <code>{plan.commit.slice(0, 12)}</code>
          </dd>
        </div>
        <div>
          <dt>Folder</dt>
          <dd>
            <code>models/{plan.target}</code>
          </dd>
        </div>
        {plan.bytes_present > 0 && (
          <div>
            <dt>There already</dt>
            <dd>{bytes(plan.bytes_present)}</dd>
          </div>
        )}
        {plan.bytes_kept > 0 && (
          <div>
            <dt>Left by an earlier try</dt>
            <dd>{bytes(plan.bytes_kept)}</dd>
          </div>
        )}
        {plan.replaces && (
          <div>
            <dt>Replaces</dt>
            <dd>
              <code>{plan.replaces.slice(0, 12)}</code>
            </dd>
          </div>
        )}
      </dl>
      <DiskGauge plan={plan} />
      <TextInput
        aria-label="Filter the files"
        placeholder="Filter the files"
        value={filter}
        onChange={(e) => setFilter(e.currentTarget.value)}
      />
      <div className={classes.tree}>
        {folders.map((folder) => (
          <details key={folder.name} open={folders.length < 6 || filter !== ""}>
            <summary>
              <code>{folder.name === "" ? "/" : `${folder.name}/`}</code>
              <span>
                {count(folder.selected)} of {count(folder.files.length)}, {bytes(folder.bytes)}
              </span>
            </summary>
            <ul>
              {folder.files.slice(0, shownFiles).map((file) => (
                <FileLine key={file.path} file={file} />
              ))}
              {folder.files.length > shownFiles && <li>… {count(folder.files.length - shownFiles)} more</li>}
            </ul>
          </details>
        ))}
      </div>
    </div>
  );
}
