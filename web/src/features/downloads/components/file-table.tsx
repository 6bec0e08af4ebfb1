import { Button, Tooltip } from "@mantine/core";
import { IconCircleCheck, IconCircleDashed, IconCircleX, IconLoader2 } from "@tabler/icons-react";
import { useState } from "react";
import type { DownloadFile } from "../../../api/aliases";
import { bytes, count } from "../../../ui/format";
import { TextInput } from "../../../ui/inputs";
import table from "../../../ui/table.module.css";
import classes from "../downloads.module.css";
import { eta, sorted, speed } from "../model";
import { SegmentedBar } from "./bar";

const page = 200;
const kinds = { sha256: "SHA-256", git_sha1: "Git SHA-1" } as const;

function Mark({ file }: { file: DownloadFile }) {
  const hash = file.hash_kind ? `${kinds[file.hash_kind]} ${file.hash}` : "";
  switch (file.status) {
    case "succeeded":
      return (
        <Tooltip label={`Verified: ${hash}`} multiline maw={420}>
          <IconCircleCheck
            size={16}
            color="var(--st-succeeded)"
            role="img"
            aria-label={`Verified: ${hash}`}
          />
        </Tooltip>
      );
    case "failed":
      return <IconCircleX size={16} color="var(--st-failed)" role="img" aria-label="Failed" />;
    case "pending":
      return <IconCircleDashed size={16} color="var(--st-queued)" role="img" aria-label="Not begun" />;
    default:
      return (
        <IconLoader2
          size={16}
          color="var(--st-running)"
          role="img"
          aria-label={file.status === "verifying" ? "Verifying" : "Downloading"}
        />
      );
  }
}

function Row({ file }: { file: DownloadFile }) {
  const size = file.size ?? 0;
  const tone = file.status === "succeeded" ? "succeeded" : file.status === "failed" ? "failed" : "running";
  return (
    <tr>
      <td className={classes.mark}>
        <Mark file={file} />
      </td>
      <td className={table.clip}>
        <span title={file.path}>{file.path}</span>
        {file.error && <div className={classes.fileError}>{file.error}</div>}
      </td>
      <td className={classes.progressCell}>
        <SegmentedBar
          size={size}
          done={file.bytes_done}
          ranges={file.ranges}
          label={`Progress of ${file.path}`}
          tone={tone}
        />
      </td>
      <td className={table.number}>
        {file.status === "succeeded" ? bytes(size) : `${bytes(file.bytes_done)} of ${bytes(size)}`}
      </td>
      <td className={table.number}>
        {file.status === "verifying" ? "verifying" : speed(file.bytes_per_second)}
      </td>
      <td className={table.number}>{file.status === "downloading" ? eta(file.eta_seconds) : "–"}</td>
    </tr>
  );
}

/** The files of a job: what moves first. */
export function FileTable({ files }: { files: DownloadFile[] }) {
  const [filter, setFilter] = useState("");
  const [shown, setShown] = useState(page);
  const wanted = filter.trim().toLowerCase();
  const all = sorted(files).filter((f) => !wanted || f.path?.toLowerCase().includes(wanted));
  return (
    <>
      {files.length > 10 && (
        <div className={table.filters}>
          <TextInput
            w={280}
            aria-label="Filter the files"
            placeholder="Filter the files"
            value={filter}
            onChange={(e) => setFilter(e.currentTarget.value)}
          />
          <span className={classes.note}>
            {count(all.length)} of {count(files.length)}
          </span>
        </div>
      )}
      <table className={table.table}>
        <thead>
          <tr>
            <th aria-label="State" />
            <th>File</th>
            <th>Parts</th>
            <th className={table.number}>Size</th>
            <th className={table.number}>Speed</th>
            <th className={table.number}>Left</th>
          </tr>
        </thead>
        <tbody>
          {all.slice(0, shown).map((file) => (
            <Row key={file.id} file={file} />
          ))}
        </tbody>
      </table>
      {all.length > shown && (
        <div className={table.more}>
          <Button variant="default" onClick={() => setShown(shown + page)}>
            Show more
          </Button>
        </div>
      )}
    </>
  );
}
