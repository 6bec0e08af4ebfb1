package app

import (
	"context"
	"encoding/json"
	"time"

	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/run"
)

// kindRAGIndex are the quick nodes that index sources.
const kindRAGIndex = "rag_index"

// nodeHooks are what sides decide about node runs of their kinds. They are set before
// anything runs. A kind without an entry is one whose nodes wait for nothing but the
// decisions about their tool calls, and are worked from the default queue.
type nodeHooks struct {
	queue   map[string]func(ctx context.Context, q postgres.Querier, config json.RawMessage) (string, error)
	waits   map[string]func(ctx context.Context, q postgres.Querier, n *run.NodeRun) (bool, error)
	retried map[string]func(ctx context.Context, tx *postgres.Tx, again *run.NodeRun) error
	ended   map[string]func(ctx context.Context, tx *postgres.Tx, n *run.NodeRun) error
	further map[string]func(ctx context.Context, tx *postgres.Tx, n *run.NodeRun) (bool, error)
}

func newNodeHooks() nodeHooks {
	return nodeHooks{
		queue:   map[string]func(context.Context, postgres.Querier, json.RawMessage) (string, error){},
		waits:   map[string]func(context.Context, postgres.Querier, *run.NodeRun) (bool, error){},
		retried: map[string]func(context.Context, *postgres.Tx, *run.NodeRun) error{},
		ended:   map[string]func(context.Context, *postgres.Tx, *run.NodeRun) error{},
		further: map[string]func(context.Context, *postgres.Tx, *run.NodeRun) (bool, error){},
	}
}

// queueFor implements run.Options.QueueFor.
func (s *studio) queueFor(ctx context.Context, q postgres.Querier, kind string, config json.RawMessage) (string, error) {
	if queue := s.hooks.queue[kind]; queue != nil {
		return queue(ctx, q, config)
	}
	return "", nil
}

// waits implements run.Options.Waits.
func (s *studio) waits(ctx context.Context, q postgres.Querier, n *run.NodeRun) (bool, error) {
	if waits := s.hooks.waits[n.Kind]; waits != nil {
		return waits(ctx, q, n)
	}
	return s.mcp.waits(ctx, q, n)
}

// retried implements run.Options.Retried.
func (s *studio) retried(ctx context.Context, tx *postgres.Tx, again *run.NodeRun) error {
	if retried := s.hooks.retried[again.Kind]; retried != nil {
		return retried(ctx, tx, again)
	}
	return nil
}

// gotFurther implements run.Options.GotFurther.
func (s *studio) gotFurther(ctx context.Context, tx *postgres.Tx, n *run.NodeRun) (bool, error) {
	if further := s.hooks.further[n.Kind]; further != nil {
		return further(ctx, tx, n)
	}
	return false, nil
}

// timeoutFor implements run.Options.TimeoutFor: nodes that index may take hours, and are
// ended when nothing happens in them.
func timeoutFor(kind string, config json.RawMessage) time.Duration {
	switch modeFor(kind, config) {
	case run.ModeIndexing, run.ModeDeltaIndexing:
		return index.Timeout
	}
	return 0
}

// ended implements run.Options.Ended.
func (s *studio) ended(ctx context.Context, tx *postgres.Tx, n *run.NodeRun) error {
	if ended := s.hooks.ended[n.Kind]; ended != nil {
		return ended(ctx, tx, n)
	}
	return s.mcp.ended(ctx, tx, n)
}

// modeFor implements run.Options.ModeFor: only nodes of retrieval have a mode.
func modeFor(kind string, config json.RawMessage) string {
	var c struct {
		Mode string `json:"mode"`
	}
	if json.Unmarshal(config, &c) != nil {
		return ""
	}
	switch kind + " " + c.Mode {
	case string(flowchart.KindRAG) + " query":
		return run.ModeQuery
	case string(flowchart.KindRAG) + " fresh_index", kindRAGIndex + " fresh":
		return run.ModeIndexing
	case string(flowchart.KindRAG) + " delta_index", kindRAGIndex + " delta":
		return run.ModeDeltaIndexing
	}
	return ""
}
