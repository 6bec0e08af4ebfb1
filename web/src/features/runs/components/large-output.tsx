import { Button } from "@mantine/core";
import { IconDownload, IconFile } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Artifact } from "../../../api/aliases";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { bytes } from "../../../ui/format";
import { JsonView } from "../../../ui/json-view";
import { artifactAddress, outputAddress, outputQuery } from "../api";
import classes from "./large-output.module.css";

// More than this makes a browser slow; it is for a program to read.
const mostShown = 4 << 20;

function Download({ href, label, name }: { href: string; label: string; name?: string }) {
  return (
    <Button
      component="a"
      href={href}
      download={name ?? true}
      variant="default"
      leftSection={<IconDownload size={14} />}
      aria-label={label}
    >
      Download
    </Button>
  );
}

/** An output that is kept apart for its size: how large it is, and the ways to it. */
export function LargeOutput({ id, size }: { id: number; size: number }) {
  const [open, setOpen] = useState(false);
  const shown = size <= mostShown;
  const output = useQuery({ ...outputQuery(id), enabled: open && shown });
  return (
    <div className={classes.large}>
      <div className={classes.line}>
        <IconFile size={18} stroke={1.7} aria-hidden />
        <span>
          The output is large
          <small>{bytes(size)}</small>
        </span>
        {shown && (
          <Button variant="default" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? "Hide" : "Show"}
          </Button>
        )}
        <Download href={outputAddress(id)} name={`output-${id}.json`} label="Download the output" />
      </div>
      {open && output.isError && <ErrorNotice error={output.error} onRetry={() => void output.refetch()} />}
      {open && output.isPending && <Lines n={3} height={20} />}
      {open && output.data !== undefined && <JsonView value={output.data} empty="It is empty." />}
    </div>
  );
}

/** The files that a node run left behind. */
export function Artifacts({ items }: { items: Artifact[] }) {
  if (items.length === 0) return null;
  const tries = new Set(items.map((a) => a.attempt)).size > 1;
  return (
    <section className={classes.artifacts} aria-label="Files">
      <h3>Files</h3>
      <ul>
        {items.map((a) => (
          <li key={a.id} className={classes.line}>
            <IconFile size={18} stroke={1.7} aria-hidden />
            <span title={a.name}>
              {a.name}
              <small>
                {bytes(a.size)} · {a.media_type}
                {tries && ` · try ${a.attempt}`}
              </small>
            </span>
            <Download href={artifactAddress(a.id)} label={`Download ${a.name}`} />
          </li>
        ))}
      </ul>
    </section>
  );
}
