import { Button } from "@mantine/core";
import { IconRepeat } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import type { IndexRun, Source } from "../../../api/aliases";
import { ErrorNotice } from "../../../ui/feedback";
import { count } from "../../../ui/format";
import { Section } from "../../../ui/page";
import { errorGroupsQuery } from "../api";
import { files, isFinal } from "../model";
import classes from "../sources.module.css";
import type { SourceActions } from "../use-source-actions";

interface Props {
  source: Source;
  run: IndexRun;
  actions: SourceActions | null;
  onShow: () => void;
}

/** Why files failed, alike ones together, and a way to try them again. */
export function ErrorGroups({ source, run, actions, onShow }: Props) {
  const groups = useQuery({ ...errorGroupsQuery(run.id), enabled: run.counts.failed > 0 });
  if (run.counts.failed === 0) return null;
  const retry = isFinal(run) && source.active_run === null && actions;
  return (
    <Section
      title={`${files(run.counts.failed)} failed`}
      actions={
        <div className={classes.sectionActions}>
          <Button variant="default" onClick={onShow}>
            Show them
          </Button>
          {retry && (
            <Button
              leftSection={<IconRepeat size={15} />}
              title="Only these files are read again; the rest of the index stays as it is."
              loading={actions.index.isPending}
              onClick={() =>
                actions.index.mutate({ source: source.id, mode: "delta", only_failed_of: run.id })
              }
            >
              Retry these
            </Button>
          )}
        </div>
      }
    >
      {groups.isError && <ErrorNotice error={groups.error} onRetry={() => void groups.refetch()} />}
      <ul className={classes.groups}>
        {groups.data?.map((g) => (
          <li key={`${g.code} ${g.message}`}>
            <span className={classes.groupCount}>{count(g.count)}</span>
            <div>
              <div>{g.message}</div>
              <div className={classes.groupPaths}>
                {g.paths.map((p) => (
                  <code key={p}>{p}</code>
                ))}
                {g.count > g.paths.length && <span>and {count(g.count - g.paths.length)} more</span>}
              </div>
            </div>
            <code className={classes.groupCode}>{g.code}</code>
          </li>
        ))}
      </ul>
    </Section>
  );
}
