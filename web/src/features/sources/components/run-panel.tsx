import { IconAlertCircle, IconRefresh } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, useRef } from "react";
import type { IndexRun, Source } from "../../../api/aliases";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { count } from "../../../ui/format";
import { Section } from "../../../ui/page";
import { Ago } from "../../../ui/time";
import { indexRunQuery, type JournalFilter, journalQuery } from "../api";
import { filesOf, maxJournal } from "../journal";
import { headlineOfRun, isMoving, isPlanned, leftOutWords, modeLabels, todoOf, unreadWords } from "../model";
import classes from "../sources.module.css";
import type { SourceActions } from "../use-source-actions";
import { ErrorGroups } from "./error-groups";
import { FileGrid } from "./file-grid";
import { Funnel } from "./funnel";
import { JournalTable } from "./journal-table";
import { RunState } from "./marks";

function Facts({ run, own }: { run: IndexRun; own: boolean }) {
  const out = leftOutWords(run.counts);
  return (
    <div className={classes.runFacts}>
      {!own && <RunState run={run} />}
      <span>
        {modeLabels[run.mode]} run #{run.id}, begun <Ago at={run.started_at ?? run.created_at} />
      </span>
      {run.remote_revision && (
        <span>
          at <code>{run.remote_revision.slice(0, 10)}</code>
        </span>
      )}
      {run.only_failed_of !== null && <span>only what failed in #{run.only_failed_of}</span>}
      {out.length > 0 && <span>left out: {out.join(", ")}</span>}
      <Link to="/nodes/$nodeId" params={{ nodeId: String(run.node_id) }} className={classes.tail}>
        Stages and log of node {run.node_id}
      </Link>
    </div>
  );
}

/** What is there and cannot be read, of which no file is in the plan. */
function Unread({ run }: { run: IndexRun }) {
  const unread = run.unread ?? [];
  if (unread.length === 0) return null;
  const more = run.counts.unreadable - unread.length;
  return (
    <details className={classes.unread}>
      <summary>{unreadWords(run.counts.unreadable)}</summary>
      <ul aria-label="Could not be read">
        {unread.map((line) => (
          <li key={line}>{line}</li>
        ))}
        {more > 0 && <li>and {count(more)} more</li>}
      </ul>
      <p>Give the Studio the right to read them, or exclude them under Settings. The next run looks again.</p>
    </details>
  );
}

function Trouble({ run }: { run: IndexRun }) {
  if (run.status !== "failed" || !run.error) return null;
  return (
    <div role="alert" className={classes.trouble}>
      <IconAlertCircle size={18} aria-hidden />
      <div>
        <b>The run failed</b>
        <p>{run.error.message}</p>
        <small>
          <code>{run.error.code}</code>
        </small>
      </div>
    </div>
  );
}

function Grid({ run, onOpen }: { run: IndexRun; onOpen: (path: string) => void }) {
  const cache = useQueryClient();
  const journal = useQuery(journalQuery(cache, run.id, isMoving(run)));
  const files = useMemo(() => filesOf(journal.data), [journal.data]);
  if (journal.isError && files.length === 0)
    return <ErrorNotice error={journal.error} onRetry={() => void journal.refetch()} />;
  if (journal.isPending) return <Lines n={2} height={60} />;
  return (
    <>
      <FileGrid files={files} onOpen={(f) => onOpen(f.path)} />
      {files.length >= maxJournal && (
        <p className={classes.quiet}>
          The first {count(maxJournal)} of {count(todoOf(run.counts))} are drawn.
        </p>
      )}
    </>
  );
}

interface Props {
  source: Source;
  run: IndexRun;
  filter: JournalFilter;
  actions: SourceActions | null;
  onFilter: (filter: JournalFilter) => void;
}

function Journal({ run, filter, onFilter }: Omit<Props, "source" | "actions">) {
  const table = useRef<HTMLDivElement>(null);
  const open = (path: string) => {
    onFilter({ q: path });
    table.current?.scrollIntoView({ block: "start" });
  };
  const planned = run.status === "planned";
  return (
    <>
      {!planned && (
        <Section title="All files at once">
          <Grid key={run.id} run={run} onOpen={open} />
        </Section>
      )}
      <div ref={table} className={classes.anchor}>
        <Section title={planned ? "The plan" : "Files"}>
          <JournalTable run={run} filter={filter} onFilter={onFilter} />
        </Section>
      </div>
    </>
  );
}

/** One index run: how far it is, what it does to which file, and what failed. */
export function RunPanel({ source, run, filter, actions, onFilter }: Props) {
  // What happens now is said in the head of the page.
  const own = source.active_run?.id === run.id;
  return (
    <>
      <Facts run={run} own={own} />
      {!own && <p className={classes.runLine}>{headlineOfRun(run)}</p>}
      <Trouble run={run} />
      <Funnel run={run} />
      <Unread run={run} />
      <ErrorGroups
        source={source}
        run={run}
        actions={actions}
        onShow={() => onFilter({ status: "failed" })}
      />
      {isPlanned(run) && todoOf(run.counts) > 0 && <Journal run={run} filter={filter} onFilter={onFilter} />}
    </>
  );
}

/** The run that was asked for, else the one that runs, else the last one. */
export function ShownRun({ source, wanted, ...rest }: Omit<Props, "run"> & { wanted: number | undefined }) {
  const id = wanted ?? source.active_run?.id ?? source.last_run?.id;
  const known = [source.active_run, source.last_run].find((r) => r?.id === id) ?? undefined;
  const loaded = useQuery({ ...indexRunQuery(id ?? 0), enabled: id !== undefined });
  const run = loaded.data ?? known;
  if (id === undefined)
    return (
      <Empty icon={IconRefresh} title="Not indexed yet">
        Index it now: its files are found, cut into chunks and stored. Here you see how each of them does.
      </Empty>
    );
  if (!run) {
    if (loaded.isError) return <ErrorNotice error={loaded.error} onRetry={() => void loaded.refetch()} />;
    return <Lines n={6} />;
  }
  return <RunPanel source={source} run={run} {...rest} />;
}
