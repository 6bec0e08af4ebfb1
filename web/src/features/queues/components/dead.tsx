import { Button, Tooltip } from "@mantine/core";
import { IconCircleCheck, IconRepeat } from "@tabler/icons-react";
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { DeadItem, Queue, RetriedList } from "../../../api/aliases";
import { Modal } from "../../../ui/dialogs";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { count } from "../../../ui/format";
import { Checkbox, Select, Switch, TextInput } from "../../../ui/inputs";
import { Section } from "../../../ui/page";
import { ShowMore } from "../../../ui/show-more";
import table from "../../../ui/table.module.css";
import { Ago } from "../../../ui/time";
import { deadQuery, queueKeys, retryDead } from "../api";
import { labelOf, reasonOf } from "../model";
import classes from "../queues.module.css";

export interface DeadFilter {
  queue: string;
  code: string;
  pending: boolean;
}

interface Props {
  queues: Queue[];
  filter: DeadFilter;
  onFilter: (next: DeadFilter) => void;
  /** May retry. */
  writes: boolean;
}

function RunLink({ id, node, children }: { id: number; node?: number; children: string }) {
  return (
    <Link to="/runs/$runId" params={{ runId: String(id) }} search={node === undefined ? {} : { node }}>
      {children}
    </Link>
  );
}

function NodeLink({ id, children }: { id: number; children: string }) {
  return (
    <Link to="/nodes/$nodeId" params={{ nodeId: String(id) }}>
      {children}
    </Link>
  );
}

interface RowProps {
  item: DeadItem;
  chosen: boolean;
  onChoose: ((chosen: boolean) => void) | undefined;
}

const nameOf = (item: DeadItem): string => item.target?.title || item.target?.node_kind || item.id;

function Row({ item, chosen, onChoose }: RowProps) {
  const run = item.target?.flowchart_run_id ?? null;
  return (
    <tr>
      {onChoose && (
        <td className={classes.check}>
          <Checkbox
            size="xs"
            aria-label={`Choose ${item.id}`}
            checked={chosen}
            onChange={(e) => onChoose(e.currentTarget.checked)}
          />
        </td>
      )}
      <td>
        {item.target?.kind === "download" ? (
          <Link to="/downloads/$downloadId" params={{ downloadId: String(item.target.id) }}>
            {nameOf(item)}
          </Link>
        ) : item.target === null ? (
          nameOf(item)
        ) : run === null ? (
          <NodeLink id={item.target.id}>{nameOf(item)}</NodeLink>
        ) : (
          <RunLink id={run} {...(item.target && { node: item.target.id })}>
            {nameOf(item)}
          </RunLink>
        )}
        <div className={table.sub}>
          {item.target?.flowchart_name || item.id}
          {run !== null && `, run #${run}`}
        </div>
      </td>
      <td className={table.clip}>
        <b className={classes.code}>{reasonOf(item.code)}</b>
        <Tooltip label={item.message} multiline maw={520} openDelay={200}>
          <div className={table.sub}>{item.message}</div>
        </Tooltip>
      </td>
      <td className={table.number}>
        {item.attempts}
        {item.lost > 0 && <div className={table.sub}>{item.lost} lost</div>}
      </td>
      <td className={table.muted}>
        <Ago at={item.ended_at} />
      </td>
      <td className={table.muted}>
        {item.retried_by !== null ? (
          <RunLink id={item.retried_by}>{`retried as #${item.retried_by}`}</RunLink>
        ) : item.retried_by_node_run !== null ? (
          <NodeLink id={item.retried_by_node_run}>{`retried as node #${item.retried_by_node_run}`}</NodeLink>
        ) : (
          "not retried"
        )}
      </td>
    </tr>
  );
}

interface RetryProps {
  queue: string;
  items: DeadItem[];
  onClose: () => void;
}

const plural = (n: number, one: string): string => `${count(n)} ${one}${n === 1 ? "" : "s"}`;

/** Asks with counts, and then tells what became of each. */
function RetryDialog({ queue, items, onClose }: RetryProps) {
  const cache = useQueryClient();
  const runs = new Set(items.map((i) => i.target?.flowchart_run_id ?? i.id)).size;
  const act = useMutation({
    mutationFn: () =>
      retryDead(
        queue,
        items.map((i) => i.id),
      ),
    onSettled: () => cache.invalidateQueries({ queryKey: queueKeys.all }),
  });
  return (
    <Modal
      opened
      onClose={onClose}
      title={act.data ? "What became of it" : `Retry ${plural(items.length, "item")}`}
    >
      {act.error && <ErrorNotice error={act.error} />}
      {act.data ? (
        <Outcome answer={act.data} names={new Map(items.map((i) => [i.id, nameOf(i)]))} />
      ) : (
        <p className={classes.ask}>
          {plural(items.length, "failed item")} of {plural(runs, "run")} in {labelOf(queue)}. Each run is
          tried again from the failed node, with the same version and input, as a run of its own; the failed
          one stays as it is. A quick node is run once more by itself. What was retried already is left alone.
        </p>
      )}
      <div className={classes.foot}>
        <Button variant="default" onClick={onClose} data-autofocus={act.data ? true : undefined}>
          {act.data ? "Close" : "Cancel"}
        </Button>
        {!act.data && (
          <Button loading={act.isPending} onClick={() => act.mutate()} data-autofocus>
            Retry {plural(runs, "run")}
          </Button>
        )}
      </div>
    </Modal>
  );
}

const outcomes = { retried: "Retried", already_retried: "Retried before", refused: "Refused" };

function Outcome({ answer, names }: { answer: RetriedList; names: Map<string, string> }) {
  return (
    <>
      <p className={classes.ask}>
        {count(answer.retried)} retried, {count(answer.already_retried)} retried before,{" "}
        {count(answer.refused)} refused.
      </p>
      <ul className={classes.outcome}>
        {answer.items.map((item) => (
          <li key={item.id} data-outcome={item.outcome}>
            <span>{names.get(item.id) ?? item.id}</span>
            <span>
              {outcomes[item.outcome]}
              {item.flowchart_run_id !== null && (
                <>
                  {" "}
                  as <RunLink id={item.flowchart_run_id}>{`#${item.flowchart_run_id}`}</RunLink>
                </>
              )}
              {item.node_run_id !== null && (
                <>
                  {" "}
                  as <NodeLink id={item.node_run_id}>{`node #${item.node_run_id}`}</NodeLink>
                </>
              )}
              {item.message && `: ${item.message}`}
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}

export function DeadSection({ queues, filter, onFilter, writes }: Props) {
  const { queue, code, pending } = filter;
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [asking, setAsking] = useState<DeadItem[] | null>(null);
  const dead = useInfiniteQuery(deadQuery(queue, code, pending));
  const items = dead.data?.pages.flatMap((p) => p.items) ?? [];
  // What has gone from the list meanwhile is not chosen any more.
  const picked = items.filter((i) => chosen.has(i.id));
  const choose = (id: string, on: boolean): void => {
    const next = new Set(chosen);
    if (on) next.add(id);
    else next.delete(id);
    setChosen(next);
  };
  return (
    <Section
      title="Dead"
      actions={
        writes && (
          <Button
            size="xs"
            variant="default"
            leftSection={<IconRepeat size={14} />}
            disabled={picked.length === 0}
            onClick={() => setAsking(picked)}
          >
            {picked.length === 0 ? "Retry chosen" : `Retry ${plural(picked.length, "item")}`}
          </Button>
        )
      }
    >
      <div className={table.filters} id="dead">
        <Select
          w={220}
          aria-label="Queue of the dead"
          value={queue}
          allowDeselect={false}
          data={queues.map((q) => ({ value: q.name, label: labelOf(q.name) }))}
          onChange={(value) => value && onFilter({ ...filter, queue: value })}
        />
        <TextInput
          w={200}
          aria-label="Failure code"
          placeholder="Every failure code"
          value={code}
          maxLength={100}
          onChange={(e) => onFilter({ ...filter, code: e.currentTarget.value })}
        />
        <Switch
          label="Only what was not retried"
          checked={pending}
          onChange={(e) => onFilter({ ...filter, pending: e.currentTarget.checked })}
        />
      </div>
      {dead.isError && <ErrorNotice error={dead.error} onRetry={() => void dead.refetch()} />}
      {dead.isPending && <Lines n={3} height={44} />}
      {dead.data && items.length === 0 && (
        <Empty icon={IconCircleCheck} title="Nothing is dead here">
          Node runs that failed for good, or whose workers died three times, come here with their reason, and
          so do jobs that no worker could work.
        </Empty>
      )}
      {items.length > 0 && (
        <div className={classes.wide}>
          <table className={table.table}>
            <thead>
              <tr>
                {writes && (
                  <th className={classes.check}>
                    <Checkbox
                      size="xs"
                      aria-label="Choose all that are shown"
                      checked={picked.length === items.length}
                      indeterminate={picked.length > 0 && picked.length < items.length}
                      onChange={(e) =>
                        setChosen(new Set(e.currentTarget.checked ? items.map((i) => i.id) : []))
                      }
                    />
                  </th>
                )}
                <th>What</th>
                <th>Why</th>
                <th className={table.number}>Attempts</th>
                <th>When</th>
                <th>Since then</th>
              </tr>
            </thead>
            <tbody>
              {items.map((item) => (
                <Row
                  key={item.id}
                  item={item}
                  chosen={chosen.has(item.id)}
                  onChoose={writes ? (on) => choose(item.id, on) : undefined}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      <ShowMore list={dead} />
      {asking && (
        <RetryDialog
          queue={queue}
          items={asking}
          onClose={() => {
            setAsking(null);
            setChosen(new Set());
          }}
        />
      )}
    </Section>
  );
}
