// Where the bars of a run's waterfall lie. Pure; times are epoch milliseconds.

import type { GraphEdge, TimelineAttempt } from "../../api/aliases";

export type SegmentKind = "queued" | "dispatch" | "running" | "streaming";

export interface Segment {
  kind: SegmentKind;
  from: number;
  to: number;
}

export interface Bar {
  key: string;
  attempt: TimelineAttempt;
  segments: Segment[];
  from: number;
  to: number;
  open: boolean;
  critical: boolean;
}

export interface Waterfall {
  bars: Bar[];
  from: number;
  to: number;
  ticks: { at: number; label: string }[];
}

const time = (text: string | null): number | null => (text === null ? null : Date.parse(text));
export const attemptKey = (a: TimelineAttempt): string => `${a.node_run_id}/${a.attempt}`;

function segmentsOf(a: TimelineAttempt, now: number): Segment[] {
  const queued = time(a.queued_at);
  const claimed = time(a.claimed_at);
  const started = time(a.started_at);
  const token = time(a.first_token_at);
  const end = time(a.finished_at) ?? now;
  const marks: [SegmentKind, number | null][] = [
    ["queued", queued],
    ["dispatch", claimed],
    ["running", started],
    ["streaming", token],
  ];
  const known = marks.filter((m): m is [SegmentKind, number] => m[1] !== null);
  return known
    .map(([kind, from], i) => ({ kind, from, to: Math.max(from, known[i + 1]?.[1] ?? end) }))
    .filter((s, i, all) => s.to > s.from || (all.length === 1 && i === 0));
}

const steps = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000,
  600_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000,
];
const wantedTicks = 4;

export function tickLabel(ms: number): string {
  if (ms === 0) return "0";
  if (ms < 1_000) return `${ms} ms`;
  if (ms < 60_000) return `${Math.round(ms / 100) / 10} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 6_000) / 10} min`;
  return `${Math.round(ms / 360_000) / 10} h`;
}

function ticksOf(span: number): { at: number; label: string }[] {
  const size = steps.find((s) => span / s <= wantedTicks) ?? Math.ceil(span / wantedTicks);
  const ticks = [];
  for (let at = 0; at <= span; at += size) ticks.push({ at, label: tickLabel(at) });
  return ticks;
}

export function layoutWaterfall(
  attempts: readonly TimelineAttempt[],
  edges: readonly GraphEdge[],
  runFrom: number,
  now: number,
): Waterfall {
  const critical = criticalPath(attempts, edges, now);
  const bars = attempts
    .map((attempt): Bar => {
      const segments = segmentsOf(attempt, now);
      const from = segments[0]?.from ?? runFrom;
      const to = segments.at(-1)?.to ?? from;
      const key = attemptKey(attempt);
      return {
        key,
        attempt,
        segments,
        from,
        to,
        open: attempt.finished_at === null,
        critical: critical.has(key),
      };
    })
    .sort((a, b) => a.attempt.attempt - b.attempt.attempt);
  const first = new Map<number, number>();
  for (const bar of bars)
    first.set(bar.attempt.node_run_id, Math.min(bar.from, first.get(bar.attempt.node_run_id) ?? bar.from));
  const begun = (bar: Bar) => first.get(bar.attempt.node_run_id) ?? bar.from;
  // Tries of one node run lie below each other.
  bars.sort((a, b) => begun(a) - begun(b) || a.attempt.node_run_id - b.attempt.node_run_id);
  const from = Math.min(runFrom, ...bars.map((b) => b.from));
  const to = Math.max(from + 1, ...bars.map((b) => b.to));
  return { bars, from, to, ticks: ticksOf(to - from) };
}

/** Gives a node's nearest predecessors that have attempts. */
function workingParents(attempts: readonly TimelineAttempt[], edges: readonly GraphEdge[]) {
  const working = new Set(attempts.map((a) => a.flowchart_node_id));
  const sources = new Map<string, string[]>();
  for (const edge of edges) {
    if (edge.mode !== "solid") continue;
    sources.set(edge.target, [...(sources.get(edge.target) ?? []), edge.source]);
  }
  return (node: string): Set<string> => {
    const found = new Set<string>();
    const seen = new Set<string>();
    const open = [...(sources.get(node) ?? [])];
    for (let id = open.pop(); id !== undefined; id = open.pop()) {
      if (seen.has(id)) continue;
      seen.add(id);
      if (working.has(id)) found.add(id);
      else open.push(...(sources.get(id) ?? []));
    }
    return found;
  };
}

/**
 * The attempts that decided how long the run took: from the one that ended last
 * back over earlier tries of the same node, then over the parent that ended last
 * before it was queued. Decisions have no attempts: what is before them counts.
 */
export function criticalPath(
  attempts: readonly TimelineAttempt[],
  edges: readonly GraphEdge[],
  now: number,
): Set<string> {
  const end = (a: TimelineAttempt) => time(a.finished_at) ?? now;
  const begin = (a: TimelineAttempt) => time(a.queued_at) ?? time(a.started_at) ?? 0;
  const latest = (list: TimelineAttempt[]) =>
    list.reduce<TimelineAttempt | undefined>(
      (best, a) => (!best || end(a) > end(best) ? a : best),
      undefined,
    );
  const parents = workingParents(attempts, edges);
  const path = new Set<string>();
  let at = latest([...attempts]);
  while (at && !path.has(attemptKey(at))) {
    const current: TimelineAttempt = at;
    path.add(attemptKey(current));
    const before = attempts.filter((a) => end(a) <= begin(current) + 50 && !path.has(attemptKey(a)));
    const leading = parents(current.flowchart_node_id);
    at =
      latest(before.filter((a) => a.node_run_id === current.node_run_id)) ??
      latest(before.filter((a) => leading.has(a.flowchart_node_id)));
  }
  return path;
}
