import { Button, Tooltip } from "@mantine/core";
import { IconCpu, IconServer } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Worker, WorkerList, WorkerSlot } from "../../../api/aliases";
import { Empty } from "../../../ui/feedback";
import { bytes, count, duration } from "../../../ui/format";
import { notifyError } from "../../../ui/notices";
import { Section } from "../../../ui/page";
import { Ago, useNow } from "../../../ui/time";
import { queueKeys, steerWorker } from "../api";
import { colorOf, isLive, labelOf, workerLooks } from "../model";
import classes from "../queues.module.css";

/** Beyond so many slots their squares would say no more than a number. */
const shownSlots = 64;

function Slot({ slot, now }: { slot: WorkerSlot; now: number }) {
  const since = duration(now - Date.parse(slot.since));
  const what = `${slot.title || slot.node_kind}${slot.flowchart_name ? ` of ${slot.flowchart_name}` : ""}`;
  const how = slot.kind === "download" ? slot.stage : slot.executor;
  const text = `${what}: ${labelOf(slot.queue)}, attempt ${slot.attempt}, ${how}, for ${since}${slot.status === "cancelling" ? ", being cancelled" : ""}`;
  const look = {
    className: classes.slot,
    style: { background: colorOf(slot.queue) },
    "data-stopping": slot.status === "cancelling" || undefined,
    "aria-label": text,
  };
  return (
    <Tooltip label={text} multiline maw={360} openDelay={100}>
      {slot.kind === "download" ? (
        <Link to="/downloads/$downloadId" params={{ downloadId: String(slot.id) }} {...look} />
      ) : slot.flowchart_run_id === null ? (
        <Link to="/nodes/$nodeId" params={{ nodeId: String(slot.id) }} {...look} />
      ) : (
        <Link
          to="/runs/$runId"
          params={{ runId: String(slot.flowchart_run_id) }}
          search={{ node: slot.id }}
          {...look}
        />
      )}
    </Tooltip>
  );
}

function Slots({ worker }: { worker: Worker }) {
  const now = useNow(worker.running.length > 0);
  const free = Math.max(0, Math.min(worker.slots, shownSlots) - worker.running.length);
  return (
    <div className={classes.slots}>
      {worker.running.slice(0, shownSlots).map((slot) => (
        <Slot key={`${slot.kind} ${slot.id}`} slot={slot} now={now} />
      ))}
      {Array.from({ length: free }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: free slots are all alike
        <span key={i} className={classes.free} aria-hidden />
      ))}
      <small>
        {count(worker.busy)} of {count(worker.slots)} slots taken
      </small>
    </div>
  );
}

function DrainButton({ worker }: { worker: Worker }) {
  const cache = useQueryClient();
  const verb = worker.draining_since === null ? "drain" : "resume";
  const act = useMutation({
    mutationFn: () => steerWorker(worker.id, verb),
    onError: (error) => notifyError(`The worker was not ${verb === "drain" ? "drained" : "resumed"}`, error),
    onSettled: () => cache.invalidateQueries({ queryKey: queueKeys.all }),
  });
  return (
    <Tooltip
      label={
        verb === "drain"
          ? "Finish what runs, take nothing new until it is resumed or stopped"
          : "Take work again"
      }
    >
      <Button size="compact-xs" variant="default" loading={act.isPending} onClick={() => act.mutate()}>
        {verb === "drain" ? "Drain" : "Resume"}
      </Button>
    </Tooltip>
  );
}

function Card({ worker, manages }: { worker: Worker; manages: boolean }) {
  const look = workerLooks[worker.state];
  const live = isLive(worker);
  return (
    <li className={classes.worker} data-ended={!live || undefined}>
      <div className={classes.workerHead}>
        <IconServer size={16} aria-hidden />
        <b>{worker.hostname}</b>
        <span className={classes.pid}>process {worker.pid}</span>
        <Tooltip label={look.hint} multiline maw={340}>
          <span className={classes.chip} style={{ color: look.color }}>
            {look.label}
          </span>
        </Tooltip>
        {live && manages && <DrainButton worker={worker} />}
      </div>
      {live && <Slots worker={worker} />}
      <ul className={classes.takes} aria-label="Takes from">
        {worker.queues.map((q) => (
          <li key={q}>
            <i style={{ background: colorOf(q) }} aria-hidden />
            {labelOf(q)}
          </li>
        ))}
      </ul>
      <dl className={classes.facts}>
        {live ? (
          <>
            <dt>Beat</dt>
            <dd>
              {worker.beat_age_seconds < 3 ? "now" : `${duration(worker.beat_age_seconds * 1_000)} ago`}
            </dd>
            <dt>Memory</dt>
            <dd>{worker.rss_bytes === null ? "–" : bytes(worker.rss_bytes)}</dd>
            <dt>CPU</dt>
            <dd>{worker.cpu_cores === null ? "–" : `${Math.round(worker.cpu_cores * 100)}% of a core`}</dd>
            <dt>Goroutines</dt>
            <dd>{worker.goroutines === null ? "–" : count(worker.goroutines)}</dd>
          </>
        ) : (
          <>
            <dt>Ended</dt>
            <dd>
              <Ago at={worker.ended_at} />
            </dd>
          </>
        )}
        <dt>Version</dt>
        <dd>{worker.version}</dd>
        <dt>Started</dt>
        <dd>
          <Ago at={worker.started_at} />
        </dd>
      </dl>
      {worker.draining_since !== null && live && (
        <p className={classes.quiet}>
          Draining since <Ago at={worker.draining_since} />
          {worker.draining_by && `, by ${worker.draining_by}`}
        </p>
      )}
    </li>
  );
}

export function WorkersSection({ workers, manages }: { workers: WorkerList; manages: boolean }) {
  const live = workers.items.filter(isLive);
  const ended = workers.items.filter((w) => !isLive(w));
  return (
    <Section title={`Workers (${live.length})`}>
      {workers.items.length === 0 ? (
        <Empty icon={IconCpu} title="No worker has ever reported">
          Workers take jobs from queues and run them. Start one with <code>llmctl worker</code>;{" "}
          <code>llmctl up</code> has one inside.
        </Empty>
      ) : (
        <ul className={classes.workers}>
          {[...live, ...ended].map((worker) => (
            <Card key={worker.id} worker={worker} manages={manages} />
          ))}
        </ul>
      )}
    </Section>
  );
}
