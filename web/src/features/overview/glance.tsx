import { IconAlertTriangle } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import type { FlowchartRun, Worker } from "../../api/aliases";
import { duration } from "../../ui/format";
import { Section } from "../../ui/page";
import { lookOf } from "../../ui/status";
import { useNow } from "../../ui/time";
import { Tooltip } from "../../ui/tooltip";
import { isFinalRun } from "../runs/final";
import classes from "./overview.module.css";

const hour = 3_600_000;
const workerSilentMs = 60_000;

function Tile({
  label,
  value,
  hint,
  tone,
}: {
  label: string;
  value: string;
  hint: string;
  tone?: string | undefined;
}) {
  return (
    <div className={classes.tile}>
      <span>{label}</span>
      <b style={tone ? { color: tone } : undefined}>{value}</b>
      <small>{hint}</small>
    </div>
  );
}

function median(values: number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

export function Tiles({ runs, workers }: { runs: FlowchartRun[]; workers: Worker[] | undefined }) {
  const now = useNow();
  const inFlight = runs.filter((r) => !isFinalRun(r.status));
  const failed = runs.filter(
    (r) => r.status === "failed" && now - Date.parse(r.finished_at ?? r.created_at) < hour,
  );
  const took = median(
    runs
      .filter((r) => r.status === "succeeded" && r.started_at && r.finished_at)
      .map((r) => Date.parse(r.finished_at ?? "") - Date.parse(r.started_at ?? "")),
  );
  const slots = workers?.reduce((sum, w) => sum + w.slots, 0) ?? 0;
  const busy = workers?.reduce((sum, w) => sum + w.busy, 0) ?? 0;
  return (
    <div className={classes.tiles}>
      <Tile
        label="In flight"
        value={String(inFlight.length)}
        hint={`${inFlight.filter((r) => r.status === "queued").length} waiting to start`}
        tone={inFlight.length > 0 ? "var(--st-running)" : undefined}
      />
      <Tile
        label="Failed in the last hour"
        value={String(failed.length)}
        hint={runs.length === 1 ? "of one run" : `of the newest ${runs.length} runs`}
        tone={failed.length > 0 ? "var(--st-failed)" : undefined}
      />
      <Tile
        label="Typical run"
        value={took === undefined ? "–" : duration(took)}
        hint="median of those that succeeded"
      />
      <Tile
        label="Worker slots"
        value={workers ? `${busy} / ${slots}` : "–"}
        hint={workers ? `busy, on ${workers.length} worker${workers.length === 1 ? "" : "s"}` : "reading"}
      />
    </div>
  );
}

export function NeedsYou({ runs, workers }: { runs: FlowchartRun[]; workers: Worker[] | undefined }) {
  const now = useNow();
  const items: { key: string; text: string; run?: number }[] = [];
  if (workers && workers.length === 0) {
    items.push({
      key: "workers",
      text: "No worker is connected, so nothing can run. Start one with llmctl worker.",
    });
  }
  for (const worker of workers ?? []) {
    const silent = now - Date.parse(worker.beat_at);
    if (silent > workerSilentMs) {
      items.push({
        key: worker.id,
        text: `Worker ${worker.hostname} has been silent for ${duration(silent)}.`,
      });
    }
  }
  for (const run of runs.slice(0, 12)) {
    if (run.status !== "failed" || now - Date.parse(run.finished_at ?? run.created_at) > hour) continue;
    const text = `${run.flowchart_name ?? "A flowchart"} failed: ${run.error?.message ?? "open the run to see why."}`;
    items.push({ key: `run-${run.id}`, text, run: run.id });
  }
  if (items.length === 0) return null;
  return (
    <Section title="Needs you">
      <ul className={classes.needs}>
        {items.slice(0, 5).map((item) => (
          <li key={item.key}>
            <IconAlertTriangle size={16} color="var(--st-degraded)" aria-hidden />
            <span>{item.text}</span>
            {item.run !== undefined && (
              <Link to="/runs/$runId" params={{ runId: String(item.run) }}>
                Run #{item.run}
              </Link>
            )}
          </li>
        ))}
      </ul>
    </Section>
  );
}

/** The newest runs as a strip, oldest at the left, coloured by how they ended. */
export function RunStrip({ runs }: { runs: FlowchartRun[] }) {
  return (
    <Section title={`Newest ${runs.length} run${runs.length === 1 ? "" : "s"}`}>
      <div className={classes.strip}>
        {[...runs].reverse().map((run) => (
          <Tooltip
            key={run.id}
            label={`#${run.id} ${run.flowchart_name ?? ""}: ${lookOf(run.status).label}`}
            openDelay={100}
          >
            <Link
              to="/runs/$runId"
              params={{ runId: String(run.id) }}
              aria-label={`Run ${run.id}, ${lookOf(run.status).label}`}
              style={{ background: lookOf(run.status).color }}
            />
          </Tooltip>
        ))}
      </div>
    </Section>
  );
}
