// Package rag does the work of nodes of retrieval: it indexes sources, or asks them. It
// must not know how either is done; both are given to it, and are only there in a worker.
//
// The stages of a node that indexes:
//
//	integration  the settings, the embedding model, the rows of the index runs
//	pre_init     the sources are brought here
//	init         what was left behind is removed; the plan
//	post_init    the plan is told, and may wait for somebody who applies it
//	llm_query    the files: read, cut, embedded, stored ("RAG Indexing", "RAG Delta Indexing")
//	post_run     what was written becomes what searches see
package rag

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/llmctl/studio/internal/executor"
	studio "github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/index"
)

// The kinds of these nodes: Kind in flowcharts, IndexKind on its own.
const (
	Kind      = "rag"
	IndexKind = index.Kind
)

// The modes of a node in a flowchart.
const (
	modeQuery = "query"
	modeFresh = "fresh_index"
	modeDelta = "delta_index"
)

// Indexer works attempts of nodes that index.
type Indexer interface {
	Work(ctx context.Context, req index.Request, to index.Reporter) index.Result
}

// Querier works attempts of nodes that ask.
type Querier interface {
	Run(ctx context.Context, in executor.Payload, sink executor.Sink) executor.Result
}

// Options are what the handler works with. What is nil cannot be done here.
type Options struct {
	Index Indexer
	Query Querier
}

// Handler runs nodes of both kinds.
type Handler struct{ o Options }

// New makes a handler.
func New(o Options) *Handler { return &Handler{o} }

// config is what both kinds of nodes have.
type config struct {
	Mode      string  `json:"mode"`
	SourceIDs []int64 `json:"source_ids"`
}

// Run implements the handler of the kinds.
func (h *Handler) Run(ctx context.Context, in executor.Payload, sink executor.Sink) executor.Result {
	var c config
	if err := json.Unmarshal(in.Config, &c); err != nil {
		return executor.Failuref(executor.CodeConfig, false, "The settings of this node cannot be read: %v.", err)
	}
	request := index.Request{NodeRunID: in.NodeRunID, Attempt: int32(in.Attempt)}
	switch {
	case in.Kind == IndexKind:
		if err := json.Unmarshal(in.Config, &request.Config); err != nil {
			return executor.Failuref(executor.CodeConfig, false, "The settings of this node cannot be read: %v.", err)
		}
	case c.Mode == modeQuery:
		if h.o.Query == nil {
			return executor.Failuref(executor.CodeKind, false, "Sources cannot be asked here.")
		}
		return h.o.Query.Run(ctx, in, sink)
	case c.Mode == modeFresh:
		request.Config = index.Config{Mode: studio.Fresh, SourceIDs: c.SourceIDs}
	case c.Mode == modeDelta:
		request.Config = index.Config{Mode: studio.Delta, SourceIDs: c.SourceIDs}
	default:
		return executor.Failuref(executor.CodeConfig, false, "The mode of this node is %q; accepted are query, fresh_index and delta_index.", c.Mode)
	}
	if !slices.Contains([]string{studio.Fresh, studio.Delta}, request.Config.Mode) {
		return executor.Failuref(executor.CodeConfig, false, "The mode of this node is %q; accepted are fresh and delta.", request.Config.Mode)
	}
	if h.o.Index == nil {
		return executor.Failuref(executor.CodeKind, false, "Sources cannot be indexed here.")
	}
	return h.index(ctx, request, sink)
}

func (h *Handler) index(ctx context.Context, request index.Request, sink executor.Sink) executor.Result {
	stages := executor.NewStages(sink)
	res := h.o.Index.Work(ctx, request, reporter{stages})
	out := resultOf(res)
	if out.Status == executor.Failed {
		stages.Fail(out.Error.Message)
	} else if err := stages.Finish(); err != nil && out.Status != executor.Suspended {
		return executor.Failure(executor.CodeInfra, "The events of this attempt could not be stored.", true)
	}
	if res.Tokens > 0 {
		out.Usage = &executor.Usage{InputTokens: res.Tokens}
	}
	return out
}

// reporter makes phases of an index run the stages of a node.
type reporter struct{ stages *executor.Stages }

// Enter implements index.Reporter.
func (r reporter) Enter(p index.Phase) error {
	return r.stages.Enter([]string{
		index.PhaseOpen: executor.StageIntegration, index.PhaseSync: executor.StagePreInit, index.PhasePlan: executor.StageInit,
		index.PhaseApply: executor.StagePostInit, index.PhaseFiles: executor.StageLLMQuery, index.PhaseSwap: executor.StagePostRun,
	}[p])
}

// Log implements index.Reporter.
func (r reporter) Log(text string) error { return r.stages.Log(executor.CleanText(text)) }

// modeName gives the mode as the output state of both kinds names it.
func modeName(mode string) string {
	if mode == studio.Fresh {
		return modeFresh
	}
	return modeDelta
}

func resultOf(res index.Result) executor.Result {
	switch res.Outcome {
	case index.Done, index.Partly:
		res.Output.Mode = modeName(res.Output.Mode)
		out := executor.Success(res.Output)
		if res.Outcome == index.Partly && out.Status == executor.Succeeded {
			out.Status = executor.Degraded
		}
		return out
	case index.Suspended:
		return executor.Result{Status: executor.Suspended}
	case index.Stopped:
		return executor.Result{Status: executor.Cancelled}
	case index.Broken:
	}
	f := res.Failure
	return executor.Failure(f.Code, f.Message, f.Retryable).WithDetails(f.Details)
}
