package httpapi

import (
	"maps"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llmctl/studio/internal/download"
	"github.com/llmctl/studio/internal/run"
)

// Answers show states and stored JSON as the domain keeps them: words and raw
// bytes. What these can be is closed all the same, and clients are generated from
// the document, so it is described here, in one place and from the domain's own
// tables. Only answers are described: nothing is checked against this.

// member is a member of an answer and what it is.
type member struct {
	schemas []string
	name    string
	schema  func(r huma.Registry) *huma.Schema
}

func vocabulary() []member {
	nodes := []string{"NodeRunView", "ListedNodeView", "TaskView"}
	entries := []string{"NodeRunView", "ListedNodeView", "TaskView", "TimelineEntry", "AttemptView"}
	return []member{
		{[]string{"View"}, "status", states(run.FlowchartRuns())},
		{append(slices.Clone(nodes), "NodeStatusOutputBody"), "status", states(run.NodeRuns())},
		{[]string{"AttemptView", "TimelineEntry"}, "status", states(run.Attempts())},
		{append(slices.Clone(nodes), "TimelineEntry"), "kind", nodeKind},
		{append(slices.Clone(entries), "View", "NodeStatusOutputBody"), "error", nullable[run.Failure]},
		{entries, "usage", nullable[run.Usage]},
		{[]string{"TaskView", "NodeControlOutputBody"}, "cancellation", nullable[run.Receipt]},
		{[]string{"Receipt"}, "worker", nullable[run.ReceiptWorker]},
		{[]string{"QueueView", "QueueOutputBody"}, "paused", nullable[pauseView]},
		{[]string{"QueueJobView", "DeadView"}, "target", nullable[targetView]},
		{[]string{"JobView", "CreateDownloadOutputBody", "DownloadDetailOutputBody", "DownloadAttempt"}, "error", nullable[download.JobFailure]},
		{[]string{"JobView", "CreateDownloadOutputBody", "DownloadDetailOutputBody"}, "order", nullable[download.JobOrder]},
		{[]string{"Envelope"}, "payload", object(false)},
		{[]string{"Envelope"}, "runtime", object(true)},
		{[]string{"ModelView"}, "config", object(true)},
		{[]string{"ModelView"}, "provider_kind", providerKind},
		{[]string{"MCPServerView", "UpdatedMCPServerOutputBody"}, "last_test", nullable[MCPTest]},
		{[]string{"MCPTool"}, "input_schema", object(false)},
		{[]string{"MCPTool"}, "output_schema", object(true)},
	}
}

// describe puts the vocabulary into the document.
func (s *server) describe() {
	registry := s.api.OpenAPI().Components.Schemas
	for _, m := range vocabulary() {
		for _, name := range m.schemas {
			schema := registry.Map()[name]
			if schema == nil || schema.Properties[m.name] == nil {
				panic("httpapi: the document has no " + name + "." + m.name)
			}
			schema.Properties[m.name] = m.schema(registry)
		}
	}
	last := registry.Map()["FlowchartView"].Properties["last_run"]
	last.Properties["status"] = states(run.FlowchartRuns())(registry)
}

func states(t run.Transitions) func(huma.Registry) *huma.Schema {
	return func(huma.Registry) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Enum: words(slices.Sorted(maps.Keys(t)))}
	}
}

func words(list []string) []any {
	out := make([]any, len(list))
	for i, w := range list {
		out[i] = w
	}
	return out
}

func nodeKind(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[graphNode](), false, "").Properties["kind"]
}

func providerKind(r huma.Registry) *huma.Schema {
	return r.Map()["ProviderView"].Properties["kind"]
}

// nullable is a T or null.
func nullable[T any](r huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{r.Schema(reflect.TypeFor[T](), true, ""), {Type: "null"}}}
}

func object(orNull bool) func(huma.Registry) *huma.Schema {
	return func(huma.Registry) *huma.Schema {
		return &huma.Schema{Type: huma.TypeObject, Nullable: orNull, AdditionalProperties: true}
	}
}
