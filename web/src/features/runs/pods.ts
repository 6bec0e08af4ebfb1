// What became of an attempt in a pod, in sentences, and how to look at it. Pure.

import type { Attempt, Envelope, NodeTask, PodLogPiece } from "../../api/aliases";

export interface Job {
  namespace: string;
  name: string;
}

/** The Job that a dispatch names: kubernetes:<namespace>/<job>. */
export function jobOf(dispatchId: string | null): Job | null {
  const found = /^kubernetes:([^/]+)\/([^/]+)$/.exec(dispatchId ?? "");
  return found?.[1] && found[2] ? { namespace: found[1], name: found[2] } : null;
}

/** How somebody with access to the cluster looks at the Job and its pod. */
export const kubectlOf = ({ namespace, name }: Job): string =>
  `kubectl -n ${namespace} describe job/${name} && kubectl -n ${namespace} get pods -l job-name=${name} -o wide`;

export interface DispatchState {
  label: string;
  text: string;
  tone: "waiting" | "running" | "succeeded" | "failed" | "degraded" | "grey";
}

const noted = (text: string, note: string | null): string =>
  note ? `${text} ${/[.!?…]$/.test(note) ? note : `${note}.`}` : text;

/** Where the attempt stands on its way through a pod; null where it runs elsewhere. */
export function dispatchOf(a: Attempt): DispatchState | null {
  const { pod } = a;
  if (!pod) return null;
  if (a.finished_at !== null) return ended(pod);
  if (pod.dispatch_uncertain)
    return {
      label: "Fate unknown",
      text: noted(
        "The cluster cannot be asked what became of its pod. The attempt stays open until it can; nothing is begun twice.",
        pod.note,
      ),
      tone: "degraded",
    };
  switch (pod.dispatch_status) {
    case "dispatch_pending":
      return {
        label: "Asked for",
        text: noted("Its Job is being made; the cluster has not confirmed it yet.", pod.note),
        tone: "waiting",
      };
    case "dispatch_submitted":
      return {
        label: "Waiting for its pod",
        text: noted("The cluster has its Job. No pod has reported yet.", pod.note),
        tone: "waiting",
      };
    case "dispatch_confirmed":
      return {
        label: "Running in its pod",
        text: noted(pod.uid ? `It runs in the pod ${pod.uid}.` : "It runs in its pod.", pod.note),
        tone: "running",
      };
    case "dispatch_failed":
      return ended(pod);
  }
}

function ended(pod: NonNullable<Attempt["pod"]>): DispatchState {
  if (pod.dispatch_status === "dispatch_failed")
    return {
      label: "Never started",
      text: noted("No pod has worked on it, and none will.", pod.note),
      tone: "failed",
    };
  if (pod.uid)
    return { label: "Ended", text: noted(`It ran in the pod ${pod.uid}.`, pod.note), tone: "grey" };
  return { label: "Ended", text: noted("No pod has reported for it.", pod.note), tone: "grey" };
}

/** The open attempt in a pod of a node run, if there is one. */
export const openInPod = (task: NodeTask): Attempt | null =>
  task.attempts.find((a) => a.pod !== null && a.finished_at === null) ?? null;

export interface Advice {
  text: string;
  /** Where it is changed. */
  where: "node" | "settings" | "both" | null;
}

const advice: Record<string, Advice> = {
  out_of_memory: {
    text: "Raise Memory in the node's Executor group, or Memory limit of all nodes in the settings. It is not tried again by itself: it would need as much again.",
    where: "both",
  },
  image_pull: {
    text: "Check the image's name and tag, and the pull secrets.",
    where: "settings",
  },
  unschedulable: {
    text: "Ask for less CPU, memory or GPUs, or give the cluster more machines.",
    where: "both",
  },
  pod_start: { text: "The words of the pod's machine say what is missing.", where: null },
  dispatch_timeout: {
    text: "If a pod was there, its log says whether it reaches the API URL of the settings. If none was, the Job's events say why.",
    where: "settings",
  },
  quota_exceeded: {
    text: "Ask for less, raise the namespace's quota, or give the node more attempts: each tries again.",
    where: "node",
  },
  kubernetes_forbidden: {
    text: "Test the settings: the test lists each missing permission.",
    where: "settings",
  },
  kubernetes_refused: {
    text: "The cluster's own words say which rule refuses the Job.",
    where: "settings",
  },
  evicted: { text: "Give the node more attempts: an eviction may be tried again.", where: "node" },
  preempted: { text: "Give the node more attempts: it may be tried again.", where: "node" },
  node_lost: { text: "Give the node more attempts: it may be tried again.", where: "node" },
  deadline: { text: "No worker watched it in time. Check under Queues that workers run.", where: null },
  job_gone: {
    text: "Somebody deleted the Job. Check that no other installation in this namespace has the same workspace identity key.",
    where: "settings",
  },
};

/** What to do about an attempt that ended without a result of its pod. */
export const adviceOf = (code: string): Advice | null => advice[code] ?? null;

/** When other workers took the attempt over, by the run's events. */
export const adoptionsOf = (events: readonly Envelope[], nodeRunId: number, attempt: number): string[] =>
  events
    .filter(
      (e) =>
        e.entity_kind === "task" &&
        e.entity_id === String(nodeRunId) &&
        e.payload.transition === "adopted" &&
        e.payload.attempt === attempt,
    )
    .map((e) => e.emitted_at);

export interface PodLog {
  text: string;
  lines: number;
  /** Why the rest is not there. */
  cut: string | null;
}

const stamped = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,3})?\d*Z? ?/;
const goesOn = /^\S+ The log goes on; (\d+) KiB of it are kept\.$/;

// The time of day is enough in front of a line; the day is that of the attempt.
const shortened = (line: string): string =>
  line.replace(stamped, (_, at: string, ms = "") => `${at.slice(11)}${`${ms || "."}000`.slice(0, 4)}  `);

/** The log as text, with the mark that the dispatcher leaves where it stops keeping it. */
export function podLogOf(pieces: readonly PodLogPiece[]): PodLog {
  const all = pieces
    .map((p) => p.text)
    .join("")
    .split("\n");
  if (all.at(-1) === "") all.pop();
  const mark = goesOn.exec(all.at(-1) ?? "");
  if (mark) all.pop();
  return {
    text: all.map(shortened).join("\n"),
    lines: all.length,
    cut: mark ? `The pod wrote more. The first ${mark[1]} KiB are kept.` : null,
  };
}
