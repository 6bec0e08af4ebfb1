// Envelopes become patches of the query cache; what cannot be patched exactly
// is loaded again, several requests for the same thing folded into one.

import type { InfiniteData, QueryClient, QueryKey } from "@tanstack/react-query";
import type {
  Download,
  DownloadDetail,
  Envelope,
  FlowchartRun,
  LogItem,
  Page,
  RunDetail,
} from "../api/aliases";
import { downloadKeys } from "../features/downloads/api";
import { downloadOf, reduceDownload } from "../features/downloads/model";
import { flowchartKeys } from "../features/flowcharts/api";
import { mcpKeys } from "../features/mcp/api";
import { modelKeys } from "../features/models/api";
import { nodeKeys } from "../features/nodes/keys";
import { fetchLogs, runKeys } from "../features/runs/api";
import { logItemOf, mergeLogs, mergeRun, reduceRun, runOf } from "../features/runs/model";
import { scheduleKeys } from "../features/schedules/keys";
import { sourceKeys } from "../features/sources/keys";
import { threadKeys } from "../features/threads/api";
import { toolKeys } from "../features/tools/api";
import { bySequence } from "./stream";
import { ThreadPatcher } from "./thread-patches";

const foldMs = 300;
const logFlushMs = 60;
const maxCachedEvents = 2_000;
const maxRecent = 500;
const maxRecentRuns = 20;

const idIn = (stream: string): number => Number(stream.slice(stream.indexOf(":") + 1));

export class CachePatcher {
  private readonly stale = new Map<string, QueryKey>();
  private readonly logs = new Map<number, LogItem[]>();
  private foldTimer: ReturnType<typeof setTimeout> | undefined;
  private logTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly recent = new Map<number, Envelope[]>();
  private readonly unwatch: () => void;
  private readonly threads: ThreadPatcher;

  constructor(private readonly cache: QueryClient) {
    this.threads = new ThreadPatcher(cache, (...keys) => this.refresh(...keys));
    this.unwatch = cache.getQueryCache().subscribe((event) => {
      if (event.type !== "updated" || event.action.type !== "success" || event.action.manual) return;
      const [domain, what, id] = event.query.queryKey;
      if (domain === "runs" && what === "detail") queueMicrotask(() => this.catchUp(Number(id)));
      if (domain === "threads" && what === "conversation")
        queueMicrotask(() => this.threads.catchUp(Number(id)));
    });
  }

  stop(): void {
    this.unwatch();
    clearTimeout(this.foldTimer);
    clearTimeout(this.logTimer);
  }

  apply(e: Envelope): void {
    if (this.threads.apply(e)) return;
    if (e.sequence_stream.startsWith("node_log:")) this.queueLog(e);
    else if (e.sequence_stream.startsWith("flowchart_run:")) this.applyRunEvent(e);
    else if (e.sequence_stream.startsWith("task:")) this.applyQuickEvent(e);
    else if (e.sequence_stream.startsWith("download_job:")) this.applyDownloadEvent(e);
    else if (e.sequence_stream.startsWith("rag_source:")) this.applySourceEvent(e);
    else if (e.event_type === "flowchart:graph:updated") this.flowchartChanged(e);
    else if (e.event_type.startsWith("config:provider:")) this.refresh(modelKeys.providers, modelKeys.models);
    else if (e.event_type.startsWith("config:model:")) this.refresh(modelKeys.models);
    else if (e.event_type.startsWith("config:mcp_server:")) this.refresh(mcpKeys.servers);
    else if (e.event_type.startsWith("config:schedule:")) this.refresh(scheduleKeys.all);
  }

  /** A number is missing in a stream, or the server cannot replay a room. */
  resync(room: string): void {
    const id = idIn(room);
    if (room.startsWith("flowchart_run:")) {
      this.refresh(runKeys.detail(id), runKeys.timeline(id), runKeys.events(id), ["nodes"]);
    } else if (room.startsWith("flowchart:")) {
      this.refresh(flowchartKeys.detail(id), runKeys.lists);
    } else if (room.startsWith("task:")) {
      this.refresh(runKeys.node(id), runKeys.nodeEvents(id), runKeys.logs(id), runKeys.artifacts(id));
    } else if (room.startsWith("download_job:")) {
      this.refresh(downloadKeys.detail(id), downloadKeys.lists);
    } else if (room.startsWith("rag_source:")) {
      this.refresh(sourceKeys.all);
    } else if (room.startsWith("thread:")) {
      this.threads.resync(id);
    } else if (room === "studio") {
      this.refresh(
        threadKeys.lists,
        toolKeys.approvals,
        mcpKeys.servers,
        downloadKeys.lists,
        runKeys.lists,
        nodeKeys.lists,
        flowchartKeys.lists,
        modelKeys.providers,
        modelKeys.models,
        scheduleKeys.all,
        sourceKeys.all,
      );
    }
  }

  private applyRunEvent(e: Envelope): void {
    const runId = idIn(e.sequence_stream);
    this.remember(runId, e);
    if (this.reduce(runId, e)) this.refresh(runKeys.timeline(runId));
    this.cache.setQueryData<Envelope[]>(runKeys.events(runId), (known) =>
      !known || (known.at(-1)?.sequence ?? 0) >= e.sequence ? known : [...known, e].slice(-maxCachedEvents),
    );
    const run = runOf(e);
    if (run) this.patchLists(run);
    else if (e.entity_kind === "task") {
      this.refresh(runKeys.node(Number(e.entity_id)));
      if (e.payload.status === "waiting" || e.event_type === "node:task:completed")
        this.refresh(toolKeys.approvals);
    } else if (e.event_type === "flowchart:node_artifact:persisted")
      this.refresh(runKeys.artifacts(Number(e.payload.task_id)));
  }

  // A quick node has no run; what its page shows is small and loaded again.
  private applyQuickEvent(e: Envelope): void {
    const id = idIn(e.sequence_stream);
    this.refresh(runKeys.node(id), runKeys.nodeEvents(id));
    if (e.event_type === "flowchart:node_artifact:persisted") this.refresh(runKeys.artifacts(id));
    if (!e.room_keys.includes("studio")) return;
    this.refresh(nodeKeys.lists);
    if (e.payload.status === "waiting" || e.event_type === "node:task:completed")
      this.refresh(toolKeys.approvals);
  }

  /** False when nobody looks at the run. */
  private reduce(runId: number, e: Envelope): boolean {
    const detail = this.cache.getQueryData<RunDetail>(runKeys.detail(runId));
    if (!detail) return false;
    const next = reduceRun(detail, e);
    if (next === "refetch") this.refresh(runKeys.detail(runId));
    else if (next !== detail) this.cache.setQueryData(runKeys.detail(runId), next);
    return true;
  }

  private remember(runId: number, e: Envelope): void {
    const known = this.recent.get(runId) ?? [];
    this.recent.delete(runId);
    this.recent.set(runId, [...known, e].slice(-maxRecent));
    const oldest = this.recent.keys().next().value;
    if (this.recent.size > maxRecentRuns && oldest !== undefined) this.recent.delete(oldest);
  }

  // A snapshot that was made before events that are already shown: they come after it.
  private catchUp(runId: number): void {
    for (const e of (this.recent.get(runId) ?? []).toSorted(bySequence)) this.reduce(runId, e);
  }

  private patchLists(run: FlowchartRun): void {
    let found = false;
    this.cache.setQueriesData<InfiniteData<Page<FlowchartRun>>>({ queryKey: runKeys.lists }, (list) => {
      if (!list) return list;
      const has = list.pages.some((page) => page.items.some((item) => item.id === run.id));
      if (!has) return list;
      found = true;
      const pages = list.pages.map((page) => ({
        ...page,
        items: page.items.map((item) => (item.id === run.id ? mergeRun(item, run) : item)),
      }));
      return { ...list, pages };
    });
    // A new run, or one that enters or leaves a filtered list.
    if (!found || run.finished_at !== null || run.status === "running") this.refresh(runKeys.lists);
    this.refresh(flowchartKeys.lists);
    if (run.schedule_id !== null)
      this.refresh(
        scheduleKeys.lists,
        scheduleKeys.detail(run.schedule_id),
        scheduleKeys.firings(run.schedule_id),
      );
  }

  private applyDownloadEvent(e: Envelope): void {
    const id = idIn(e.sequence_stream);
    const detail = this.cache.getQueryData<DownloadDetail>(downloadKeys.detail(id));
    if (detail) {
      const next = reduceDownload(detail, e);
      if (next === "refetch") this.refresh(downloadKeys.detail(id));
      else if (next !== detail) this.cache.setQueryData(downloadKeys.detail(id), next);
    }
    const job = downloadOf(e);
    if (job) this.patchDownloads(job);
  }

  private patchDownloads(job: Download): void {
    let found = false;
    this.cache.setQueriesData<InfiniteData<Page<Download>>>({ queryKey: downloadKeys.lists }, (list) => {
      if (!list?.pages.some((page) => page.items.some((item) => item.id === job.id))) return list;
      found = true;
      const pages = list.pages.map((page) => ({
        ...page,
        items: page.items.map((item) => (item.id === job.id ? job : item)),
      }));
      return { ...list, pages };
    });
    if (!found || job.finished_at !== null || job.deleted) this.refresh(downloadKeys.lists);
  }

  // What arrives while it loads is applied after it, in order.
  private applySourceEvent(e: Envelope): void {
    void import("../features/sources/live").then(({ applySourceEvent }) =>
      applySourceEvent(this.cache, e, (...keys) => this.refresh(...keys)),
    );
  }

  private flowchartChanged(e: Envelope): void {
    const id = idIn(e.sequence_stream);
    this.refresh(flowchartKeys.lists, flowchartKeys.detail(id), flowchartKeys.graph(id));
  }

  private queueLog(e: Envelope): void {
    const item = logItemOf(e);
    if (!item) return;
    const id = idIn(e.sequence_stream);
    const waiting = this.logs.get(id);
    if (waiting) waiting.push(item);
    else this.logs.set(id, [item]);
    this.logTimer ??= setTimeout(() => this.flushLogs(), logFlushMs);
  }

  private flushLogs(): void {
    this.logTimer = undefined;
    for (const [id, items] of this.logs) {
      const key = runKeys.logs(id);
      const known = this.cache.getQueryData<LogItem[]>(key);
      if (!known) continue; // nobody looks at it; it is loaded whole when somebody does
      const { merged, gap } = mergeLogs(known, items);
      if (gap) void this.fillLogs(id, known.at(-1)?.sequence ?? 0);
      this.cache.setQueryData(key, merged);
    }
    this.logs.clear();
  }

  private async fillLogs(id: number, after: number): Promise<void> {
    const missing = await fetchLogs(id, after).catch((): LogItem[] => []);
    this.cache.setQueryData<LogItem[]>(
      runKeys.logs(id),
      (known) => known && mergeLogs(known, missing).merged,
    );
  }

  private refresh(...keys: QueryKey[]): void {
    for (const key of keys) this.stale.set(JSON.stringify(key), key);
    this.foldTimer ??= setTimeout(() => {
      this.foldTimer = undefined;
      const all = [...this.stale.values()];
      this.stale.clear();
      for (const queryKey of all) void this.cache.invalidateQueries({ queryKey });
    }, foldMs);
  }
}
