// The settings of the node executor as their form holds them. Pure.

import type { NodeExecutor, NodeExecutorChange } from "../../api/aliases";
import { ApiError } from "../../api/client";

/** What the form edits; the kubeconfig is written in a place of its own. */
export type ExecutorField = Exclude<keyof NodeExecutor, "changed" | "k8s_kubeconfig">;
export type ExecutorValue = string | number | boolean;

interface Field {
  name: ExecutorField;
  label: string;
  hint: string;
  kind: "text" | "number" | "switch" | "provider" | "context";
  suffix?: string;
}

interface Group {
  title: string;
  fields: Field[];
}

export const providers = [
  { value: "inline", label: "In the worker" },
  { value: "process", label: "A process of the worker" },
  { value: "kubernetes", label: "A Kubernetes Job each" },
];

const text = (name: ExecutorField, label: string, hint = ""): Field => ({ name, label, hint, kind: "text" });
const flag = (name: ExecutorField, label: string, hint = ""): Field => ({
  name,
  label,
  hint,
  kind: "switch",
});
const number = (name: ExecutorField, label: string, hint = "", suffix = " s"): Field => ({
  name,
  label,
  hint,
  kind: "number",
  suffix,
});

export const whereGroup: Group = {
  title: "Where nodes run",
  fields: [
    {
      name: "provider",
      label: "Provider",
      hint: "Scripts always have a process of their own.",
      kind: "provider",
    },
  ],
};

export const clusterGroup: Group = {
  title: "Cluster",
  fields: [
    flag(
      "k8s_in_cluster",
      "In the cluster",
      "Use the service account of the Studio's own pod, and no kubeconfig.",
    ),
    { name: "k8s_context", label: "Context", hint: "Of the stored kubeconfig.", kind: "context" },
    text("k8s_namespace", "Namespace", "Where the Jobs are made."),
    text("k8s_api_url", "API URL", "Where pods reach this Studio's API, with its prefix."),
    text(
      "workspace_identity_key",
      "Workspace identity key",
      "Tells installations in one namespace apart. Two with the same key delete each other's Jobs.",
    ),
  ],
};

export const executorGroups: Group[] = [
  {
    title: "Images",
    fields: [
      text("k8s_frontier_image", "Frontier image", "Hosted models, and nodes that need none."),
      text("k8s_frontier_image_tag", "Frontier tag", "Empty where the image has a digest."),
      text("k8s_vllm_image", "vLLM image", "Local models."),
      text("k8s_vllm_image_tag", "vLLM tag", "Empty where the image has a digest."),
      text("k8s_image_pull_secrets", "Pull secrets", "Names of Secrets, with commas between."),
    ],
  },
  {
    title: "Resources of nodes that do not say",
    fields: [
      text("k8s_cpu_request", "CPU request", "Such as 100m or 1."),
      text("k8s_cpu_limit", "CPU limit"),
      text("k8s_memory_request", "Memory request", "Such as 128Mi or 2Gi."),
      text("k8s_memory_limit", "Memory limit", "A node that needs more is ended (OOMKilled)."),
      number("k8s_gpu_limit", "GPUs", "nvidia.com/gpu of each pod.", ""),
    ],
  },
  {
    title: "Time",
    fields: [
      number("dispatch_timeout_seconds", "Until the start", "From the dispatch until the pod has started."),
      number(
        "execution_timeout_seconds",
        "Execution",
        "From the start, for nodes without a limit of their own.",
      ),
      number("cancel_grace_timeout_seconds", "Grace after a cancel", "What a pod has to end by itself."),
      flag("cancel_force_kill_enabled", "Remove by force", "A pod whose machine is silent after the grace."),
      number(
        "log_collection_timeout_seconds",
        "Last lines of a log",
        "How long they are waited for after the end.",
      ),
      number("k8s_job_ttl_seconds", "Ended Jobs stay", "For people to look at."),
    ],
  },
  {
    title: "Pods",
    fields: [
      text("k8s_service_account", "Service account", "Of the pods. No token of it is mounted."),
      text("k8s_argocd_app_name", "Argo CD application", "Jobs carry its tracking label; empty for none."),
    ],
  },
];

export interface ExecutorForm {
  values: Record<string, ExecutorValue>;
  /** Given back to the environment when saved. */
  given: ReadonlySet<ExecutorField>;
  /** A new kubeconfig; empty: the stored one stays. */
  kubeconfig: string;
}

const allFields = [whereGroup, clusterGroup, ...executorGroups].flatMap((g) => g.fields);

const shown = (v: NodeExecutor[ExecutorField]): ExecutorValue => (Array.isArray(v) ? v.join(", ") : v);

export const formOf = (saved: NodeExecutor): ExecutorForm => ({
  values: Object.fromEntries(allFields.map(({ name }) => [name, shown(saved[name])])),
  given: new Set(),
  kubeconfig: "",
});

/** Whether a value is that of the environment. */
export const follows = (saved: NodeExecutor, name: ExecutorField): boolean => !saved.changed.includes(name);

/** The document knows no null for this list, so it cannot be given back to the environment. */
export const canGiveBack = (saved: NodeExecutor, name: ExecutorField): boolean =>
  !follows(saved, name) && name !== "k8s_image_pull_secrets";

const listOf = (value: ExecutorValue): string[] =>
  String(value)
    .split(/[\s,]+/)
    .filter(Boolean);

/** What is sent: what differs from what was loaded, and null for what is given back. */
export function changeOf(form: ExecutorForm, saved: NodeExecutor): NodeExecutorChange {
  const change: Record<string, unknown> = {};
  for (const { name } of allFields) {
    const value = form.values[name] ?? "";
    if (form.given.has(name)) change[name] = null;
    else if (name === "k8s_image_pull_secrets") {
      const list = listOf(value);
      if (list.join() !== saved[name].join()) change[name] = list;
    } else if (value !== saved[name]) change[name] = typeof value === "string" ? value.trim() : value;
  }
  if (form.kubeconfig.trim() !== "") change.k8s_kubeconfig = form.kubeconfig;
  return change;
}

/** What is wrong before anybody is asked: a number that is none. Ranges are the server's. */
export const faultyNumber = (form: ExecutorForm): ExecutorField | null =>
  allFields.find(({ name, kind }) => {
    const value = form.values[name];
    return (
      kind === "number" && !form.given.has(name) && !(typeof value === "number" && Number.isInteger(value))
    );
  })?.name ?? null;

/** What the server found wrong with a field, or with members of it. */
export function faultAt(error: unknown, name: ExecutorField | "k8s_kubeconfig"): string | null {
  if (!(error instanceof ApiError)) return null;
  const at = `body.${name}`;
  const mine = error.errors.filter((e) => e.location === at || e.location.startsWith(`${at}[`));
  return mine.length > 0 ? mine.map((e) => e.message).join("; ") : null;
}

/** True when every fault is at a field of the form. */
export const allAtFields = (error: unknown): boolean =>
  error instanceof ApiError &&
  error.errors.length > 0 &&
  error.errors.every((e) =>
    ["k8s_kubeconfig", ...allFields.map((f) => f.name)].some(
      (name) => e.location === `body.${name}` || e.location.startsWith(`body.${name}[`),
    ),
  );

const checkNames: Record<string, string> = {
  connection: "The cluster answers",
  permissions: "Permissions",
  job_frontier: "It would take a Job with the frontier image",
  job_vllm: "It would take a Job with the vLLM image",
};

export const checkName = (name: string): string => checkNames[name] ?? name;
