package run

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// StartRequest says what to run.
type StartRequest struct {
	FlowchartID   int64
	Input         json.RawMessage // an object; empty: {}
	StartNodeID   string          // empty: the graph's start node
	UserID        *int64
	RequestID     string
	CorrelationID string
	RetryOf       *int64
	RetryFrom     *int64 // with RetryOf: the node run that it begins at
	VersionID     int64  // 0: the flowchart's current version
	ScheduleID    *int64
	DueAt         *time.Time // the time that the schedule starts it for
}

// Start begins a run in a transaction of its own.
func (e *Engine) Start(ctx context.Context, req StartRequest) (Run, error) {
	var out Run
	err := e.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		out, err = e.StartTx(ctx, tx, req)
		return err
	})
	return out, err
}

// StartTx creates a run, its entry node run, what follows from it, the jobs and
// the events, all as part of tx. Errors: not_found (no such flowchart), invalid
// (flow.invalid: the version has findings; flow.invalid_input: the input does
// not fit the start node's schema), conflict (run.old_worker: a worker of an older
// release does not know a kind of its nodes).
func (e *Engine) StartTx(ctx context.Context, tx *postgres.Tx, req StartRequest) (Run, error) {
	c, err := e.begin(ctx, tx, &req)
	if err != nil {
		return Run{}, err
	}
	flow, step, err := flowchart.Start(c.graph, c.run.StartNodeID)
	if err != nil {
		return Run{}, err
	}
	c.marking.Flow = flow
	if err := c.follow(ctx, step); err != nil {
		return Run{}, err
	}
	if err := c.save(ctx); err != nil {
		return Run{}, err
	}
	return c.run, nil
}

// begin checks a request and inserts the run's row; nothing is under way yet.
func (e *Engine) begin(ctx context.Context, tx *postgres.Tx, req *StartRequest) (*change, error) {
	v, err := e.versionToRun(ctx, tx, *req)
	if err != nil {
		return nil, err
	}
	graph, err := e.graphs.compile(v.ID, v.Graph)
	if err != nil {
		return nil, err
	}
	if err := e.refuseOldWorkersOf(ctx, tx, graph.Graph()); err != nil {
		return nil, err
	}
	if e.Admit != nil {
		if err := e.Admit(ctx, graph.Graph()); err != nil {
			return nil, err
		}
	}
	if len(req.Input) == 0 {
		req.Input = json.RawMessage("{}")
	}
	if err := flowchart.ValidateInput(graph.Graph(), req.Input); err != nil {
		return nil, err
	}
	start := req.StartNodeID
	if start == "" {
		start = graph.StartID()
	}
	if _, ok := graph.Node(start); !ok {
		return nil, errs.Ef(errs.Invalid, "flow.unknown_start", "The graph has no node %q to start from.", start)
	}
	o := newOutputs()
	o.input = req.Input
	// In the caller's transaction, but before anything is locked that others want.
	kept, err := e.keepOutput(ctx, tx, req.Input)
	if err != nil {
		return nil, err
	}
	o.start = &kept
	row, err := e.q.InsertRun(ctx, tx, dbsqlc.InsertRunParams{
		ProjectID: v.ProjectID, FlowchartID: v.FlowchartID, FlowchartVersionID: v.ID, Version: v.Number,
		Input: req.Input, StartNodeID: start, RetryOf: req.RetryOf, RetryFrom: req.RetryFrom, AppUserID: req.UserID,
		RequestID: req.RequestID, CorrelationID: req.CorrelationID,
		MaxNodeExecutions: capOr(v.MaxNodeExecutions, hardMaxExecutions), MaxParallelNodes: capOr(v.MaxParallelNodes, hardMaxExecutions),
		DeadlineAt: e.deadline(v.MaxRuntimeMinutes), ScheduleID: req.ScheduleID, DueAt: req.DueAt, Traceparent: e.starting(ctx),
	})
	if err != nil {
		return nil, fmt.Errorf("insert run of flowchart %d: %w", req.FlowchartID, err)
	}
	c := &change{nodeTx: nodeTx{e: e, tx: tx}, run: row, graph: graph, outputs: o, previous: row.Status}
	return c, c.announceRun(ctx, "")
}

func (e *Engine) versionToRun(ctx context.Context, tx *postgres.Tx, req StartRequest) (dbsqlc.GetVersionRow, error) {
	var v dbsqlc.GetVersionRow
	var err error
	if req.VersionID != 0 {
		v, err = e.q.GetVersion(ctx, tx, req.VersionID)
	} else {
		var cur dbsqlc.GetCurrentVersionRow
		cur, err = e.q.GetCurrentVersion(ctx, tx, req.FlowchartID)
		v = dbsqlc.GetVersionRow(cur)
	}
	if postgres.NotFound(err) || (err == nil && v.DeletedAt != nil) {
		return v, errs.Ef(errs.NotFound, "flow.not_found", "There is no flowchart %d.", req.FlowchartID)
	}
	if err != nil {
		return v, fmt.Errorf("load flowchart %d: %w", req.FlowchartID, err)
	}
	var findings []json.RawMessage
	if err := json.Unmarshal(v.Findings, &findings); err != nil {
		return v, fmt.Errorf("read findings of version %d: %w", v.ID, err)
	}
	if len(findings) > 0 {
		return v, errs.Ef(errs.Invalid, "flow.invalid",
			"Version %d of the flowchart has %d problems and does not run. Open it in the editor to see them.", v.Number, len(findings))
	}
	return v, nil
}

func capOr(limit *int32, fallback int32) int32 {
	if limit == nil || *limit > fallback {
		return fallback
	}
	return *limit
}

func (e *Engine) deadline(minutes *int32) *time.Time {
	if minutes == nil {
		return nil
	}
	at := e.Now().Add(time.Duration(*minutes) * time.Minute)
	return &at
}
