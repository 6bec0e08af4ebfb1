// Short names for the generated types. What is more than an alias says what the
// page knows beyond the document.

import type { components } from "./generated/schema";

type Schemas = components["schemas"];

/** Any JSON value; whoever reads it checks what it is. */
export type Json = unknown;
export type JsonObject = { [key: string]: unknown };

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

export type User = Schemas["UserView"];
export type Me = Schemas["MeOutputBody"];
export type ApiKey = Schemas["ApiKeyView"];
export type Worker = Schemas["WorkerView"];
export type Retention = Schemas["RetentionView"];
export type NodeExecutor = Schemas["NodeExecutorView"];
/** null gives a value back to the environment. */
export type NodeExecutorChange = Schemas["UpdateNodeExecutorInputBody"];
export type ClusterTest = Schemas["Probe"];
export type RetrievalSettings = Schemas["RetrievalView"];
export type RetrievalChange = Schemas["UpdateRetrievalInputBody"];
export type EmbeddingTest = Schemas["EmbeddingTest"];
export type Integration = Schemas["IntegrationView"];
export type McpServerInfo = Schemas["StudioMCPOutputBody"];
export type FlowchartTool = Schemas["ToolView"];

export type Flowchart = Schemas["FlowchartView"];
export type GraphNode = Schemas["GraphNode"];
export type GraphEdge = Schemas["GraphEdge"];
export type NodeKind = GraphNode["kind"];
export type EdgeMode = GraphEdge["mode"];
export type Graph = { nodes: GraphNode[]; edges: GraphEdge[] };
export type GraphVersion = Schemas["GraphView"];
export type Validation = Schemas["ValidationView"];
export type Finding = Schemas["Finding"];

export type FlowchartRun = Schemas["View"];
export type RunStatus = FlowchartRun["status"];
export type RunDetail = Schemas["RunDetailOutputBody"];
export type NodeRun = Schemas["NodeRunView"];
export type NodeStatus = NodeRun["status"];
export type Receipt = Schemas["Receipt"];
export type Cancellation = Schemas["Cancellation"];
export type RunError = Schemas["Failure"];
export type Usage = Schemas["Usage"];
export type TimelineAttempt = Schemas["TimelineEntry"];
export type Stage = Schemas["StageView"];
export type Pod = Schemas["PodView"];
/** The document cannot say that an object of its own may be null: pod is, elsewhere than in a pod. */
export type Attempt = Omit<Schemas["AttemptView"], "pod"> & { pod: Pod | null };
export type NodeTask = Omit<Schemas["TaskView"], "attempts"> & { attempts: Attempt[] };
export type ListedNode = Schemas["ListedNodeView"];
export type QuickNode = Schemas["QuickNodeBody"];
export type NodeDetail = Omit<Schemas["NodeOutputBody"], "task"> & { task: NodeTask };
export type PodLogPiece = Schemas["PodLogPiece"];
export type Artifact = Schemas["ArtifactView"];
export type LogItem = Schemas["LogItem"];
export type Envelope = Schemas["Envelope"];

export type Provider = Schemas["ProviderView"];
export type ProviderKind = Provider["kind"];
export type ProviderTest = Schemas["ProviderTest"];
export type OfferedModel = Schemas["ProviderModel"];
export type Model = Schemas["ModelView"];

export type Download = Schemas["JobView"];
export type DownloadStatus = Download["status"];
export type DownloadDetail = Schemas["DownloadDetailOutputBody"];
export type DownloadFile = Schemas["JobFile"];
export type DownloadPlan = Schemas["TransferPlan"];
export type PlannedFile = Schemas["PlannedFile"];
export type DownloadRequest = Schemas["DownloadRequest"];

export type RealtimeStatus = Schemas["RealtimeStatus"];
export type RealtimeWorker = Schemas["RealtimeWorker"];
export type Totals = Schemas["RealtimeTotals"];
export type Transports = Schemas["RealtimeTransports"];
export type Latency = Schemas["RealtimeLatency"];
export type Connection = Schemas["RealtimeConnection"];

export type Schedule = Schemas["ScheduleView"];
export type ScheduleFiring = Schemas["ScheduleFiringView"];
export type Schedules = Schemas["SchedulesOutputBody"];
export type SystemTask = Schemas["SystemTaskView"];
export type SchedulePreview = Schemas["PreviewScheduleOutputBody"];
export type Calendar = Schemas["CalendarOutputBody"];
export type Queue = Schemas["QueueView"];
export type QueueDetail = Schemas["QueueOutputBody"];
export type QueueList = Schemas["QueuesOutputBody"];
export type ThreadsQueue = Schemas["ThreadsQueueView"];
export type QueueTimes = Schemas["TimesView"];
export type QueueJob = Schemas["QueueJobView"];
export type DeadItem = Schemas["DeadView"];
export type RetriedItem = Schemas["RetriedView"];
export type RetriedList = Schemas["RetryDeadOutputBody"];
export type WorkerList = Schemas["WorkersOutputBody"];
export type WorkerSlot = Schemas["SlotView"];

export type Thread = Schemas["ThreadView"];
export type Complexity = Thread["response_complexity"];
type TurnView = Schemas["TurnView"];
/** Members that a turn may not have are null. */
export type Turn = Omit<TurnView, "error" | "context" | "order"> & {
  error: TurnView["error"] | null;
  context: TurnView["context"] | null;
  order: TurnView["order"] | null;
};
export type TurnStatus = Turn["status"];
/** Null where there is one version only. */
export type Message = Omit<Schemas["MessageView"], "siblings"> & {
  siblings: Schemas["MessageView"]["siblings"] | null;
};
export type MessagePart = Message["parts"][number];
export type Citation = Schemas["MessageCitation"];
export type CompactionPart = Schemas["CompactionPart"];
export type AttachmentPart = Schemas["AttachmentPart"];
export type LiveTurn = Schemas["LiveAnswer"];
export type ChatUsage = Turn["usage"];
export type ChatContext = Schemas["ContextView"];
export type ChatActivity = Schemas["ActivityEntry"];
export type ChatSettings = Schemas["ChatSettingsView"];

export type McpServer = Schemas["MCPServerView"];
export type McpTest = Schemas["MCPTest"];
export type McpTool = Schemas["MCPTool"];
export type ToolCall = Schemas["ToolCallView"];

type OrNull<T, K extends keyof T> = Omit<T, K> & { [P in K]: T[P] | null };

type SourceView = Schemas["SourceView"];
/** Null: it has no vectors, or has not failed. */
export type IndexRun = OrNull<Schemas["RunDetail"], "embedder" | "error">;
export type IndexMode = IndexRun["mode"];
export type IndexCounts = IndexRun["counts"];
export type IndexFile = OrNull<Schemas["JournalLine"], "error">;
export type IndexErrorGroup = Schemas["ErrorGroup"];
export type Source = Omit<
  OrNull<SourceView, "credential" | "schedule" | "error">,
  "index" | "active_run" | "last_run"
> & {
  index: OrNull<SourceView["index"], "embedder"> | null;
  active_run: IndexRun | null;
  last_run: IndexRun | null;
};
export type SourceKind = Source["kind"];
export type SourceSchedule = SourceView["schedule"];
export type SourceDraft = Schemas["CreateSourceInputBody"];
export type SourceChange = Schemas["UpdateSourceInputBody"];
export type SourceQuestion = Schemas["CheckSourceInputBody"];
export type SourceCheck = Schemas["SourceCheck"];
export type SourceFile = Schemas["IndexedFile"];
export type Chunk = Schemas["StoredChunk"];
export type Position = Chunk["position"];

export type RetrievalHealth = Schemas["RetrievalHealth"];
export type Collection = OrNull<Schemas["Collection"], "embedder">;
export type RetrievalQuery = Schemas["RagQuestion"];
export type RetrievalMode = NonNullable<RetrievalQuery["mode"]>;
type RagAnswer = Schemas["RagQueryOutputBody"];
export type Passage = RagAnswer["results"][number];
export type Retrieval = Omit<Schemas["Retrieval"], "stats"> & {
  stats: OrNull<Schemas["Retrieval"]["stats"], "embedder">;
};
export type FoundPassage = Retrieval["results"][number];
export type RetrievalOrigin = Retrieval["origin"];
export type Retrieved = Omit<RagAnswer, "stats"> & { stats: OrNull<RagAnswer["stats"], "embedder"> };
