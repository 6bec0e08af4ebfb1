import { Button } from "@mantine/core";
import { IconTrash } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useRoom } from "../../../realtime/provider";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { bytes, count } from "../../../ui/format";
import { PageFrame } from "../../../ui/page";
import { Ago } from "../../../ui/time";
import { type LoadedSource, sourceQuery } from "../api";
import { headline, kindLabels, placeOf } from "../model";
import classes from "../sources.module.css";
import { type SourceActions, useSourceActions } from "../use-source-actions";
import { IndexMenu } from "./index-menu";
import { KindIcon, SourceState } from "./marks";
import { RunActions } from "./run-actions";
import { NextRun } from "./source-table";
import { active } from "./source-tabs";

function Figures({ source }: { source: LoadedSource }) {
  const { index } = source;
  return (
    <dl className={classes.figures}>
      <div>
        <dt>Files</dt>
        <dd>{index ? count(index.files) : "–"}</dd>
      </div>
      <div>
        <dt>Chunks</dt>
        <dd>{index ? count(index.chunks) : "–"}</dd>
      </div>
      <div>
        <dt>Size</dt>
        <dd>{index ? bytes(index.bytes) : "–"}</dd>
      </div>
      <div>
        <dt>Indexed</dt>
        <dd>
          <Ago at={index?.indexed_at} />
        </dd>
      </div>
      {index?.remote_revision && (
        <div>
          <dt>Revision</dt>
          <dd>
            <code title={index.remote_revision}>{index.remote_revision.slice(0, 10)}</code>
          </dd>
        </div>
      )}
      <div>
        <dt>Next</dt>
        <dd>
          <NextRun source={source} />
        </dd>
      </div>
    </dl>
  );
}

function Head({ source }: { source: LoadedSource }) {
  return (
    <div className={classes.head}>
      <div className={classes.headText}>
        <div className={classes.headLine}>
          <KindIcon kind={source.kind} />
          <SourceState source={source} />
          <span className={classes.headline} aria-live="polite">
            {headline(source)}
          </span>
        </div>
        <div className={classes.place} title={`${kindLabels[source.kind]}: ${placeOf(source)}`}>
          {placeOf(source)}
        </div>
      </div>
      <Figures source={source} />
    </div>
  );
}

function Tabs({ id }: { id: number }) {
  const params = { sourceId: String(id) };
  const exact = { exact: true, includeSearch: false };
  return (
    <nav className={classes.tabs} aria-label="Of this source">
      <Link to="/sources/$sourceId" params={params} activeOptions={exact} activeProps={active}>
        Indexing
      </Link>
      <Link to="/sources/$sourceId/files" params={params} activeOptions={exact} activeProps={active}>
        Files
      </Link>
      <Link to="/sources/$sourceId/history" params={params} activeOptions={exact} activeProps={active}>
        History
      </Link>
      <Link to="/sources/$sourceId/settings" params={params} activeOptions={exact} activeProps={active}>
        Settings
      </Link>
    </nav>
  );
}

function Deleted({
  source,
  writes,
  actions,
}: {
  source: LoadedSource;
  writes: boolean;
  actions: SourceActions;
}) {
  return (
    <div role="status" className={classes.banner} data-bad>
      <IconTrash size={17} aria-hidden />
      <div>
        This source is deleted. Searches find nothing of it.
        {source.undo_until &&
          ` Until ${new Date(source.undo_until).toLocaleTimeString()} it can be restored.`}
      </div>
      {writes && source.undo_until && (
        <Button
          variant="default"
          loading={actions.restore.isPending}
          onClick={() => actions.restore.mutate(source.id)}
        >
          Restore
        </Button>
      )}
    </div>
  );
}

interface Props {
  id: number;
  writes: boolean;
  children: (source: LoadedSource, actions: SourceActions) => ReactNode;
}

/** What the pages of one source have in common: who it is, what happens, what can be done. */
export function SourceFrame({ id, writes, children }: Props) {
  const navigate = useNavigate();
  const loaded = useQuery(sourceQuery(id));
  const actions = useSourceActions(() => void navigate({ to: "/sources" }));
  const source = loaded.data;
  useRoom(source ? `rag_source:${id}` : null);
  const name = source?.name ?? `Source ${id}`;
  return (
    <PageFrame
      title={name}
      crumbs={[{ label: "Sources", to: "/sources" }, { label: name }]}
      actions={
        source &&
        writes &&
        !source.deleted && (
          <>
            {source.active_run && <RunActions run={source.active_run} actions={actions} />}
            {!source.active_run && (
              <>
                <Button
                  variant="default"
                  leftSection={<IconTrash size={15} />}
                  loading={actions.remove.isPending}
                  onClick={() => actions.remove.mutate(source)}
                >
                  Delete
                </Button>
                <IndexMenu source={source} actions={actions} />
              </>
            )}
          </>
        )
      }
    >
      {loaded.isError && !source && (
        <ErrorNotice error={loaded.error} onRetry={() => void loaded.refetch()} />
      )}
      {loaded.isPending && <Lines n={8} />}
      {source && (
        <>
          {source.deleted && <Deleted source={source} writes={writes} actions={actions} />}
          <Head source={source} />
          <Tabs id={id} />
          {children(source, actions)}
        </>
      )}
    </PageFrame>
  );
}
