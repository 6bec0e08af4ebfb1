import "@mantine/core/styles/Popover.css";
import { Popover } from "@mantine/core";
import { IconBrandGit, IconDatabaseSearch, IconFileText } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useRef, useState } from "react";
import type { Citation } from "../../../api/aliases";
import { sourceQuery } from "../../sources/api";
import { webFile } from "../../sources/hosts";
import { linesOf } from "../../sources/wanted";
import classes from "./citations.module.css";

const openAfter = 150;
const closeAfter = 180;

function WebLink({ citation }: { citation: Citation }) {
  const source = useQuery({ ...sourceQuery(citation.source_id), retry: false, staleTime: 60_000 });
  const file =
    source.data && webFile(source.data, citation.path, { lines: linesOf(citation.position ?? undefined) });
  if (!file) return null;
  return (
    <a href={file.url} target="_blank" rel="noreferrer noopener">
      <IconBrandGit size={14} aria-hidden /> {file.host}, as it is indexed now
    </a>
  );
}

function Passage({ citation: c }: { citation: Citation }) {
  return (
    <>
      <div className={classes.place}>
        <IconFileText size={15} aria-hidden />
        <code>{c.path}</code>
        {c.position && <span>{c.position}</span>}
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and keys must reach its end */}
      <div className={classes.words} tabIndex={0}>
        {c.text}
      </div>
      <div className={classes.links}>
        <Link
          to="/sources/$sourceId/files"
          params={{ sourceId: String(c.source_id) }}
          search={{ path: c.path, ...(c.chunk && { key: c.chunk }), ...(c.position && { at: c.position }) }}
        >
          <IconDatabaseSearch size={14} aria-hidden /> Open in the index
        </Link>
        <WebLink citation={c} />
      </div>
    </>
  );
}

interface Props {
  citation: Citation;
  className: string | undefined;
  label: string;
  unused?: boolean;
  children: ReactNode;
}

/** A reference to a passage: pointing at it shows the passage, pressing it holds it open with the focus inside. */
export function CitedPassage({ citation, className, label, unused, children }: Props) {
  const [state, setState] = useState<"closed" | "peeked" | "held">("closed");
  const timer = useRef<number | undefined>(undefined);
  const later = (next: "closed" | "peeked", ms: number) => {
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setState((s) => (s === "held" ? s : next)), ms);
  };
  const hover = {
    onMouseEnter: () => later("peeked", openAfter),
    onMouseLeave: () => later("closed", closeAfter),
  };
  return (
    <Popover
      opened={state !== "closed"}
      onChange={(open) => !open && setState("closed")}
      width={420}
      shadow="md"
      position="top-start"
      trapFocus={state === "held"}
      returnFocus
      withinPortal
    >
      <Popover.Target>
        <button
          type="button"
          className={className}
          aria-label={label}
          data-unused={unused || undefined}
          onClick={() => setState(state === "held" ? "closed" : "held")}
          {...hover}
        >
          {children}
        </button>
      </Popover.Target>
      <Popover.Dropdown className={classes.passage} aria-label={label} {...hover}>
        <Passage citation={citation} />
      </Popover.Dropdown>
    </Popover>
  );
}
