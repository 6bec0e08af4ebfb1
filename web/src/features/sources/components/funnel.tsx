import { useRef } from "react";
import type { IndexRun } from "../../../api/aliases";
import { Sparkline } from "../../../ui/charts";
import { count } from "../../../ui/format";
import { Elapsed } from "../../../ui/time";
import {
  funnelOf,
  isFinal,
  isMoving,
  leftWords,
  perSecond,
  rateOf,
  ratesOf,
  type Sample,
  type Step,
  sampled,
} from "../model";
import classes from "../sources.module.css";

// Small parts of many are still seen.
const least = 0.12;
const heightOf = (width: number): number => Math.max(least, Math.sqrt(width)) * 100;

/** One step's shape: from its own height to that of the next one, filled as far as it is. */
function Shape({ step, next, moving }: { step: Step; next: Step | undefined; moving: boolean }) {
  const from = heightOf(step.width);
  const to = heightOf(next?.width ?? step.width);
  const share = Math.min(1, Math.max(0, step.share));
  const at = (x: number) => from + (to - from) * x;
  const edge = (x: number, h: number) => `${x * 100},${50 - h / 2} ${x * 100},${50 + h / 2}`;
  const shape = (x: number) => {
    const h = at(x);
    return `0,${50 - from / 2} ${x * 100},${50 - h / 2} ${x * 100},${50 + h / 2} 0,${50 + from / 2}`;
  };
  return (
    <svg viewBox="0 0 100 100" preserveAspectRatio="none" className={classes.shape} aria-hidden>
      <polygon points={shape(1)} className={classes.shapeBack} />
      {share > 0 && <polygon points={shape(share)} className={classes.shapeFill} data-step={step.key} />}
      {moving && share > 0 && share < 1 && (
        <polyline points={edge(share, at(share))} className={classes.shapeEdge} />
      )}
    </svg>
  );
}

function rateWords(step: Step, samples: Sample[]): string {
  if (step.key === "embedded") return perSecond(rateOf(samples, "chunks"));
  if (step.key === "stored") return perSecond(rateOf(samples, "files"));
  return "";
}

function useSamples(run: IndexRun): Sample[] {
  const known = useRef<{ id: number; samples: Sample[] }>({ id: run.id, samples: [] });
  if (known.current.id !== run.id) known.current = { id: run.id, samples: [] };
  if (run.status === "indexing") known.current.samples = sampled(known.current.samples, run, Date.now());
  return known.current.samples;
}

function Throughput({ run, samples }: { run: IndexRun; samples: Sample[] }) {
  const files = rateOf(samples, "files");
  const chunks = rateOf(samples, "chunks");
  const left = leftWords(run, files);
  return (
    <dl className={classes.pace}>
      <div>
        <dt>{isFinal(run) ? "Took" : "So far"}</dt>
        <dd>
          <Elapsed from={run.started_at ?? run.created_at} to={run.finished_at} />
        </dd>
      </div>
      {run.status === "indexing" && (
        <>
          <div>
            <dt>Left</dt>
            <dd>{left || "–"}</dd>
          </div>
          <div>
            <dt>Files</dt>
            <dd>{perSecond(files) || "–"}</dd>
          </div>
          {run.embedder && (
            <div>
              <dt>Chunks</dt>
              <dd>{perSecond(chunks) || "–"}</dd>
            </div>
          )}
          <div className={classes.paceLine}>
            <Sparkline
              height={30}
              label={`Files a second, now ${perSecond(files) || "none"}`}
              lines={[{ values: ratesOf(samples, "files"), color: "var(--st-running)" }]}
            />
          </div>
        </>
      )}
    </dl>
  );
}

/** The way of the files: found, changed, chunked, embedded, stored. */
export function Funnel({ run }: { run: IndexRun }) {
  const samples = useSamples(run);
  const steps = funnelOf(run);
  const moving = isMoving(run);
  return (
    <div className={classes.funnelBox}>
      <ol className={classes.funnel} aria-label="From found to stored" data-final={isFinal(run) || undefined}>
        {steps.map((step, i) => (
          <li key={step.key} data-off={step.value === null || undefined}>
            <span className={classes.stepLabel}>{step.label}</span>
            <Shape step={step} next={steps[i + 1]} moving={moving} />
            <span className={classes.stepValue}>
              <b>{step.value === null ? "–" : count(step.value)}</b>{" "}
              {step.value !== null && (step.value === 1 ? step.unit : `${step.unit}s`)}
              {moving && rateWords(step, samples) && <i>{rateWords(step, samples)}</i>}
            </span>
            <span className={classes.stepNote}>{step.note}</span>
          </li>
        ))}
      </ol>
      <Throughput run={run} samples={samples} />
    </div>
  );
}
