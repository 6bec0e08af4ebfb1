import { Tooltip } from "@mantine/core";
import { useMemo } from "react";
import type { GraphEdge, TimelineAttempt } from "../../../api/aliases";
import { duration } from "../../../ui/format";
import { lookOf, StatusIcon } from "../../../ui/status";
import { useNow } from "../../../ui/time";
import { type Bar, layoutWaterfall, type SegmentKind, type Waterfall } from "../waterfall";
import classes from "./waterfall.module.css";

const segmentText: Record<SegmentKind, string> = {
  queued: "Waiting for a worker",
  dispatch: "Dispatch",
  running: "Running",
  streaming: "Model streaming",
};

// A label further right would stick out; its line is there all the same.
const lastLabel = 0.88;

interface Props {
  attempts: TimelineAttempt[];
  edges: GraphEdge[];
  from: string;
  live: boolean;
  selected: number | null;
  /** How many node runs were taken over from an earlier run: they have no attempts. */
  reused?: number;
  onSelect: (nodeRunId: number) => void;
  onMenu?: (nodeRunId: number, x: number, y: number) => void;
}

function Details({ bar }: { bar: Bar }) {
  return (
    <div className={classes.details}>
      <b>
        {bar.attempt.title || bar.attempt.flowchart_node_id}, attempt {bar.attempt.attempt}:{" "}
        {lookOf(bar.attempt.status).label.toLowerCase()}
      </b>
      {bar.segments.map((s) => (
        <span key={s.kind}>
          {segmentText[s.kind]} <i>{duration(s.to - s.from)}</i>
        </span>
      ))}
      {bar.attempt.worker && (
        <span>
          Worker <i>{bar.attempt.worker}</i>
        </span>
      )}
      {bar.critical && <span>On the critical path</span>}
    </div>
  );
}

function Row({
  bar,
  fall,
  selected,
  onSelect,
  onMenu,
}: {
  bar: Bar;
  fall: Waterfall;
  selected: boolean;
  onSelect: () => void;
  onMenu?: ((x: number, y: number) => void) | undefined;
}) {
  const span = fall.to - fall.from;
  const at = (time: number) => `${((time - fall.from) / span) * 100}%`;
  const width = (from: number, to: number) => `${(Math.max(0, to - from) / span) * 100}%`;
  const color = lookOf(bar.attempt.status).color;
  return (
    <Tooltip label={<Details bar={bar} />} position="top-start" maw={360}>
      <button
        type="button"
        className={classes.row}
        data-selected={selected || undefined}
        onClick={onSelect}
        onContextMenu={(event) => {
          if (!onMenu) return;
          event.preventDefault();
          const box = event.currentTarget.getBoundingClientRect();
          const key = event.clientX === 0 && event.clientY === 0;
          onMenu(key ? box.left + 24 : event.clientX, key ? box.bottom : event.clientY);
        }}
      >
        <span className={classes.name}>
          <StatusIcon status={bar.attempt.status} size={14} />
          <span>{bar.attempt.title || bar.attempt.flowchart_node_id}</span>
          {(bar.attempt.attempt > 1 || bar.attempt.execution_index > 1) && (
            <i>
              {bar.attempt.execution_index > 1 && `#${bar.attempt.execution_index} `}
              {bar.attempt.attempt > 1 && `try ${bar.attempt.attempt}`}
            </i>
          )}
        </span>
        <span className={classes.track}>
          {fall.ticks.map((tick) => (
            <span key={tick.at} className={classes.line} style={{ left: at(fall.from + tick.at) }} />
          ))}
          <span
            className={classes.bar}
            data-critical={bar.critical || undefined}
            data-open={bar.open || undefined}
            style={{ left: at(bar.from), width: width(bar.from, bar.to) }}
          />
          {bar.segments.map((s) => (
            <span
              key={s.kind}
              className={classes.segment}
              data-kind={s.kind}
              style={{
                left: at(s.from),
                width: width(s.from, s.to),
                ...(s.kind !== "queued" && { background: color }),
              }}
            />
          ))}
        </span>
        <span className={classes.took}>{duration(bar.to - bar.from)}</span>
      </button>
    </Tooltip>
  );
}

export function WaterfallView({
  attempts,
  edges,
  from,
  live,
  selected,
  reused = 0,
  onSelect,
  onMenu,
}: Props) {
  const now = useNow(live);
  const fall = useMemo(
    () => layoutWaterfall(attempts, edges, Date.parse(from), now),
    [attempts, edges, from, now],
  );
  const span = fall.to - fall.from;
  return (
    <div className={classes.waterfall}>
      <div className={classes.head}>
        <span>Attempts</span>
        <span className={classes.ticks}>
          {fall.ticks
            .filter((tick) => tick.at <= span * lastLabel)
            .map((tick) => (
              <i key={tick.at} style={{ left: `${(tick.at / span) * 100}%` }}>
                {tick.label}
              </i>
            ))}
        </span>
        <span />
      </div>
      {reused > 0 && (
        <p className={classes.reused}>
          <StatusIcon status="reused" size={14} /> {reused} {reused === 1 ? "result is" : "results are"}{" "}
          reused from an earlier run and took no attempt.
        </p>
      )}
      {fall.bars.length === 0 && (
        <p className={classes.empty}>Nothing has been tried yet. Attempts appear as workers take them.</p>
      )}
      {fall.bars.map((bar) => (
        <Row
          key={bar.key}
          bar={bar}
          fall={fall}
          selected={bar.attempt.node_run_id === selected}
          onSelect={() => onSelect(bar.attempt.node_run_id)}
          onMenu={onMenu && ((x, y) => onMenu(bar.attempt.node_run_id, x, y))}
        />
      ))}
      {fall.bars.length > 0 && (
        <div className={classes.legend}>
          <span data-kind="queued">waiting</span>
          <span data-kind="dispatch">dispatch</span>
          <span data-kind="running">running</span>
          <span data-kind="streaming">model streaming</span>
          <span data-kind="critical">critical path</span>
        </div>
      )}
    </div>
  );
}
