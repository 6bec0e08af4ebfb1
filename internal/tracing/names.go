package tracing

import "go.opentelemetry.io/otel/attribute"

// Scope names the instrumentation.
const Scope = "github.com/llmctl/studio"

// Names of spans. What stands behind a space is of low cardinality: a kind of node, a
// queue, a model, a flowchart's name.
const (
	SpanWorkflow = "invoke_workflow" // + flowchart: a run, from its request to its end
	SpanNode     = "node"            // + kind: an attempt, from its claim to the commit of its end
	SpanWait     = "wait"            // + queue: from queued to claimed
	SpanPrepare  = "prepare"         // inputs loaded, templates rendered
	SpanExecute  = "execute"         // + kind: what an executor process did
	SpanChat     = "chat"            // + model: one call of a provider
	SpanEmbed    = "embeddings"      // + model: as above
	SpanRerank   = "rerank"          // + model: as above
	SpanTool     = "execute_tool"    // + tool: one call of a tool that a model asked for
	SpanCommit   = "commit attempt"  // the transaction that ends an attempt
	SpanAppend   = "append events"   // the statement that numbers and writes events
	SpanStart    = "start run"       // the root of a run that no request began
)

// Names of events on spans.
const (
	EventFirstToken = "first_token"
	EventException  = "exception"
)

// Attributes of the general conventions.
const (
	ErrorType             = attribute.Key("error.type")
	ExceptionMessage      = attribute.Key("exception.message")
	HTTPRequestMethod     = attribute.Key("http.request.method")
	HTTPResponseStatus    = attribute.Key("http.response.status_code")
	HTTPRoute             = attribute.Key("http.route")
	URLPath               = attribute.Key("url.path")
	URLFull               = attribute.Key("url.full")
	URLScheme             = attribute.Key("url.scheme")
	UserAgentOriginal     = attribute.Key("user_agent.original")
	ServerAddress         = attribute.Key("server.address")
	ServerPort            = attribute.Key("server.port")
	ClientAddress         = attribute.Key("client.address")
	ProcessPID            = attribute.Key("process.pid")
	ServiceName           = attribute.Key("service.name")
	ServiceVersion        = attribute.Key("service.version")
	ServiceInstanceID     = attribute.Key("service.instance.id")
	HostName              = attribute.Key("host.name")
	MessagingDestination  = attribute.Key("messaging.destination.name")
	ExecutorEventsDropped = attribute.Key("llmctl.executor.spans_dropped")
)

// Attributes of the conventions for generative AI.
const (
	GenAIOperation        = attribute.Key("gen_ai.operation.name")
	GenAITool             = attribute.Key("gen_ai.tool.name")
	GenAIToolCall         = attribute.Key("gen_ai.tool.call.id")
	ToolServer            = attribute.Key("llmctl.mcp.server")
	GenAIProvider         = attribute.Key("gen_ai.provider.name")
	GenAIWorkflow         = attribute.Key("gen_ai.workflow.name")
	GenAIRequestModel     = attribute.Key("gen_ai.request.model")
	GenAIRequestStream    = attribute.Key("gen_ai.request.stream")
	GenAITemperature      = attribute.Key("gen_ai.request.temperature")
	GenAITopP             = attribute.Key("gen_ai.request.top_p")
	GenAIMaxTokens        = attribute.Key("gen_ai.request.max_tokens")
	GenAISeed             = attribute.Key("gen_ai.request.seed")
	GenAIStop             = attribute.Key("gen_ai.request.stop_sequences")
	GenAIOutputType       = attribute.Key("gen_ai.output.type")
	GenAIResponseModel    = attribute.Key("gen_ai.response.model")
	GenAIFinishReasons    = attribute.Key("gen_ai.response.finish_reasons")
	GenAITimeToFirstChunk = attribute.Key("gen_ai.response.time_to_first_chunk")
	GenAIInputTokens      = attribute.Key("gen_ai.usage.input_tokens")
	GenAIOutputTokens     = attribute.Key("gen_ai.usage.output_tokens")
	GenAICachedTokens     = attribute.Key("gen_ai.usage.cache_read.input_tokens")
	GenAISystem           = attribute.Key("gen_ai.system_instructions")
	GenAIInput            = attribute.Key("gen_ai.input.messages")
	GenAIOutput           = attribute.Key("gen_ai.output.messages")
	GenAIDimensions       = attribute.Key("gen_ai.embeddings.dimension.count")
)

// Values of gen_ai.operation.name.
const (
	OperationWorkflow = "invoke_workflow"
	OperationChat     = "chat"
	OperationEmbed    = "embeddings"
	OperationRerank   = "rerank"
)

// Attributes of our own.
const (
	Role            = attribute.Key("llmctl.role")
	RequestID       = attribute.Key("llmctl.request_id")
	CorrelationID   = attribute.Key("llmctl.correlation_id")
	FlowchartID     = attribute.Key("llmctl.flowchart.id")
	FlowchartRunID  = attribute.Key("llmctl.flowchart_run.id")
	RunStatus       = attribute.Key("llmctl.flowchart_run.status")
	NodeRunID       = attribute.Key("llmctl.node_run.id")
	NodeID          = attribute.Key("llmctl.node.id")
	NodeKind        = attribute.Key("llmctl.node.kind")
	NodeTitle       = attribute.Key("llmctl.node.title")
	NodeRunStatus   = attribute.Key("llmctl.node_run.status")
	Attempt         = attribute.Key("llmctl.attempt.number")
	AttemptStatus   = attribute.Key("llmctl.attempt.status")
	AttemptExecutor = attribute.Key("llmctl.attempt.executor")
	AttemptWorker   = attribute.Key("llmctl.attempt.worker")
	EventCount      = attribute.Key("llmctl.events.count")
	InputCount      = attribute.Key("llmctl.inputs.count") // texts of an embedding, passages of a ranking
)

// The values of LinkKind: why a span is linked to another one.
const (
	LinkKind        = attribute.Key("llmctl.link")
	LinkEarlier     = "earlier_attempt"
	LinkRetriedRun  = "retried_run"
	errorTypeOfNode = "failed"
)
