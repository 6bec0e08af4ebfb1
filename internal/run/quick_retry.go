package run

import (
	"context"
	"encoding/json"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Retried is what a retry began: a run, or, of a quick node, a node run.
type Retried struct {
	Run     *Run
	NodeRun *NodeRun
}

// retryQuick runs a quick node that has ended again, as a new one with the same
// config. Errors: conflict (node.not_finished, node.no_config); invalid
// (node.no_version), and those of StartNode and of Retried.
func (e *Engine) retryQuick(ctx context.Context, tx *postgres.Tx, n *NodeRun, req RetryRequest) (NodeRun, error) {
	switch {
	case n.FinishedAt == nil:
		return NodeRun{}, errs.Ef(errs.Conflict, "node.not_finished", "Node run %d is still %s. Cancel it or wait for its end.", n.ID, n.Status)
	case req.Version != 0:
		return NodeRun{}, errs.Ef(errs.Invalid, "node.no_version",
			"version: node run %d belongs to no flowchart, so there are no versions of it. Leave it out.", n.ID)
	case n.Config == nil:
		return NodeRun{}, errs.Ef(errs.Conflict, "node.no_config", "What node run %d was to do is not known any more; start it anew.", n.ID)
	}
	again := NodeRequest{
		Kind: n.Kind, Title: n.Title, Config: n.Config, Queue: n.Queue, TimeoutSeconds: n.TimeoutSeconds, MaxAttempts: n.MaxAttempts,
		BackoffSeconds: n.BackoffSeconds, RetryOf: &n.ID, RequestID: req.RequestID, CorrelationID: req.CorrelationID, UserID: req.UserID,
	}
	if n.ExecutionMode != nil {
		again.ExecutionMode = *n.ExecutionMode
	}
	made, err := e.StartNode(ctx, tx, again)
	if err != nil || e.Retried == nil {
		return made, err
	}
	return made, e.Retried(ctx, tx, &made)
}

// prepareQuick is Prepare of a quick node: its config is what was asked for, and its
// input context was stored with it.
func prepareQuick(n *NodeRun) Work {
	config, input := n.Config, n.InputContext
	if config == nil {
		config = json.RawMessage("{}")
	}
	return Work{Kind: n.Kind, Config: config, InputContext: input}
}
