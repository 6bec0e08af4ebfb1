package run

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// The execution modes of node runs of retrieval; those of others have none.
const (
	ModeQuery         = "query"
	ModeIndexing      = "indexing"
	ModeDeltaIndexing = "delta_indexing"
)

// defaultQueue takes the node runs of all kinds that have no queue of their own.
const defaultQueue = "llmctl_studio"

// maxKindLength bounds the name of a kind.
const maxKindLength = 40

// NodeRequest asks for a node run on its own, outside of any flowchart run.
type NodeRequest struct {
	Kind, Title              string
	Config                   json.RawMessage // as the handler takes it; no templates
	Queue                    string          // public name of a queue; "": that of the kind
	ExecutionMode            string          // "": that of the kind; query, indexing, delta_indexing
	TimeoutSeconds           float64         // 0: the default
	MaxAttempts              int32           // 0: 1
	BackoffSeconds           float64
	RetryOf                  *int64
	RequestID, CorrelationID string
	UserID                   *int64 // who asked for it; kept with its input
}

// StartNode creates a quick node, its job and its event, all as part of tx. Errors:
// invalid (node.invalid_request); conflict (run.old_worker).
func (e *Engine) StartNode(ctx context.Context, tx *postgres.Tx, req NodeRequest) (NodeRun, error) {
	if err := req.check(); err != nil {
		return NodeRun{}, err
	}
	if err := e.refuseOldWorkers(ctx, tx, max(quickLevel, levelOf(req.Kind)), "A node cannot be run on its own"); err != nil {
		return NodeRun{}, err
	}
	p, err := e.quickParams(ctx, tx, &req)
	if err != nil {
		return NodeRun{}, err
	}
	n, err := e.q.InsertNodeRun(ctx, tx, p)
	if err != nil {
		return NodeRun{}, fmt.Errorf("insert quick node: %w", err)
	}
	c := &quick{nodeTx{e: e, tx: tx, jobs: []Job{{NodeRunID: n.ID, Queue: n.Queue}}}}
	if err := c.announceNode(&n, "queued"); err != nil {
		return NodeRun{}, err
	}
	return n, c.flush(ctx)
}

func (e *Engine) quickParams(ctx context.Context, q postgres.Querier, req *NodeRequest) (dbsqlc.InsertNodeRunParams, error) {
	mode := knownMode(req.ExecutionMode)
	if mode == nil {
		mode = e.modeOf(req.Kind, req.Config)
	}
	queue := req.Queue
	if queue == "" {
		var err error
		if queue, err = e.queueOf(ctx, q, req.Kind, req.Config); err != nil {
			return dbsqlc.InsertNodeRunParams{}, err
		}
	}
	timeout := req.TimeoutSeconds
	if timeout == 0 {
		timeout = e.timeoutOf(req.Kind, req.Config).Seconds()
	}
	title := req.Title
	if title == "" {
		title = req.Kind
	}
	input, err := quickInput(req, title)
	if err != nil {
		return dbsqlc.InsertNodeRunParams{}, err
	}
	now := e.Now()
	return dbsqlc.InsertNodeRunParams{
		ProjectID: 1, FlowchartNodeID: quickNodeID, Kind: req.Kind, Title: title, Status: Queued,
		MaxAttempts: max(req.MaxAttempts, 1), BackoffSeconds: req.BackoffSeconds, TimeoutSeconds: timeout,
		ExecutionIndex: 1, Queue: queue, Triggers: json.RawMessage("[]"), RequestID: req.RequestID, CorrelationID: req.CorrelationID,
		QueuedAt: &now, Traceparent: e.starting(ctx), InWorker: e.InWorker != nil && e.InWorker(req.Kind, req.Config),
		ExecutionMode: mode, Config: req.Config, InputContext: input, RetryOf: req.RetryOf,
	}, nil
}

// quickInput is the input context of a quick node. It is known from the start, for
// nothing comes before it.
func quickInput(req *NodeRequest, title string) (json.RawMessage, error) {
	in := inputContext{
		Node:     map[string]any{"id": quickNodeID, "kind": req.Kind, "title": title, "execution_index": 1},
		Triggers: []Trigger{}, Upstream: json.RawMessage("null"), Config: req.Config,
	}
	if req.UserID != nil {
		in.RequestedBy = &requester{UserID: *req.UserID}
	}
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode input context: %w", err)
	}
	return raw, nil
}

// check names every faulty field.
func (req *NodeRequest) check() error {
	var found []errs.Detail
	fault := func(bad bool, field, format string, a ...any) {
		if bad {
			found = append(found, errs.Detail{Location: field, Message: fmt.Sprintf(format, a...)})
		}
	}
	fault(req.Kind == "" || len(req.Kind) > maxKindLength, "kind", "has %d bytes; give the kind of the node, at most %d bytes", len(req.Kind), maxKindLength)
	fault(isControl(flowchart.Kind(req.Kind)), "kind", "%q only means something in a flowchart", req.Kind)
	fault(utf8.RuneCountInString(req.Title) > flowchart.MaxTitleLength, "title", "must have at most %d characters", flowchart.MaxTitleLength)
	fault(req.ExecutionMode != "" && knownMode(req.ExecutionMode) == nil, "execution_mode",
		"is %q; accepted are %s, %s and %s", req.ExecutionMode, ModeQuery, ModeIndexing, ModeDeltaIndexing)
	fault(req.TimeoutSeconds != 0 && !within(req.TimeoutSeconds, 1, flowchart.MaxTimeoutSeconds), "timeout_seconds",
		"is %g; it must lie between 1 and %d", req.TimeoutSeconds, flowchart.MaxTimeoutSeconds)
	fault(!within(float64(req.MaxAttempts), 0, flowchart.MaxAttempts), "max_attempts",
		"is %d; it must lie between 1 and %d", req.MaxAttempts, flowchart.MaxAttempts)
	fault(!within(req.BackoffSeconds, 0, flowchart.MaxBackoffSeconds), "backoff_seconds",
		"is %g; it must lie between 0 and %d", req.BackoffSeconds, flowchart.MaxBackoffSeconds)
	found = append(found, checkConfig(req.Config)...)
	if len(found) > 0 {
		return errs.E(errs.Invalid, "node.invalid_request", "The node cannot be run as it was asked for: "+found[0].Location+" "+found[0].Message+".", found...)
	}
	return nil
}

// checkConfig says what keeps a config from being stored or worked.
func checkConfig(raw json.RawMessage) []errs.Detail {
	var why string
	switch {
	case len(raw) > flowchart.MaxConfigBytes:
		why = fmt.Sprintf("has %d bytes; at most %d are taken", len(raw), flowchart.MaxConfigBytes)
	case !json.Valid(raw) || !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")):
		why = "must be a JSON object"
	case hasNUL(raw):
		why = `has the character \u0000 in a text, which cannot be stored`
	default:
		return nil
	}
	return []errs.Detail{{Location: "config", Message: why}}
}

// within is false for what is no number, too.
func within(v, low, high float64) bool { return v >= low && v <= high }

// knownMode gives a mode that there is; nil for any other text.
func knownMode(mode string) *string {
	switch mode {
	case ModeQuery, ModeIndexing, ModeDeltaIndexing:
		return &mode
	}
	return nil
}

// queueOf names the queue of the node runs of a kind.
func (e *Engine) queueOf(ctx context.Context, q postgres.Querier, kind string, config json.RawMessage) (string, error) {
	if e.QueueFor != nil {
		if queue, err := e.QueueFor(ctx, q, kind, config); err != nil || queue != "" {
			return queue, err
		}
	}
	return defaultQueue, nil
}

// modeOf gives the execution mode of a node run by its kind and config; nil if it has
// none, or one that there is not.
func (e *Engine) modeOf(kind string, config json.RawMessage) *string {
	if e.ModeFor == nil {
		return nil
	}
	return knownMode(e.ModeFor(kind, config))
}
