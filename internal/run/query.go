package run

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
	"github.com/llmctl/studio/internal/tracing"
)

func stuckParams(grace float64) dbsqlc.ListStuckCancelsParams {
	return dbsqlc.ListStuckCancelsParams{GraceSeconds: grace, MaxRows: sweepBatch}
}

// View is a run as the API and events show it.
type View struct {
	ID            int64           `json:"id"`
	FlowchartID   int64           `json:"flowchart_id"`
	FlowchartName string          `json:"flowchart_name,omitempty"`
	NewestVersion int32           `json:"newest_version,omitempty" doc:"Of the flowchart; a retry may use it"`
	Version       int32           `json:"version"`
	Status        Status          `json:"status"`
	Input         json.RawMessage `json:"input"`
	Output        json.RawMessage `json:"output"`
	OutputOmitted bool            `json:"output_omitted,omitempty" doc:"The output is too large for this answer; it has an address of its own"`
	OutputBytes   *int64          `json:"output_bytes,omitempty" doc:"Of a large output"`
	Error         json.RawMessage `json:"error"`
	RetryOf       *int64          `json:"retry_of" doc:"The run that this one runs again"`
	RetryFrom     *int64          `json:"retry_from" doc:"The node run of retry_of that it began again at; what was before it is reused"`
	RetriedBy     []int64         `json:"retried_by,omitempty" doc:"Runs that run this one again, newest first"`
	ScheduleID    *int64          `json:"schedule_id" doc:"The schedule that started it"`
	DueAt         *time.Time      `json:"due_at" doc:"The time that the schedule started it for"`
	TraceID       string          `json:"trace_id,omitempty" doc:"Of a traced run: its OpenTelemetry trace"`
	TraceURL      string          `json:"trace_url,omitempty" doc:"Where that can be looked at"`
	CreatedAt     time.Time       `json:"created_at"`
	StartedAt     *time.Time      `json:"started_at"`
	FinishedAt    *time.Time      `json:"finished_at"`
	DeadlineAt    *time.Time      `json:"deadline_at" doc:"Does not run while the run is paused: resume moves it"`
	PausedAt      *time.Time      `json:"paused_at" doc:"Since when nothing of the run runs"`
	Cancellation  *Cancellation   `json:"cancellation,omitempty" doc:"What was asked to stop and what has confirmed"`
	Counts        map[string]int  `json:"counts,omitempty"` // node runs by status
	Usage         *Usage          `json:"usage,omitempty"`
}

// Usage is what a run's models counted.
type Usage struct {
	InputTokens  int64 `json:"input_tokens"`
	OutputTokens int64 `json:"output_tokens"`
}

// ViewOf shows a run.
func ViewOf(r *Run) View {
	return View{
		ID: r.ID, FlowchartID: r.FlowchartID, Version: r.Version, Status: r.Status, Input: r.Input, Output: r.Output,
		Error: r.Error, RetryOf: r.RetryOf, CreatedAt: r.CreatedAt, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt,
		RetryFrom: r.RetryFrom, PausedAt: r.PausedAt, ScheduleID: r.ScheduleID, DueAt: r.DueAt, TraceID: tracing.TraceID(r.Traceparent),
		DeadlineAt: r.DeadlineAt, OutputOmitted: r.OutputBlob != nil && r.Output == nil, OutputBytes: r.OutputBytes,
	}
}

// Detail is a run with its node runs, as of a position in its stream.
type Detail struct {
	Run          Run
	NodeRuns     []NodeRun
	AsOf         int64         // sequence of the run's stream
	Cancellation *Cancellation // nil: nothing was asked to stop
	RetriedBy    []int64
}

// Get loads a run and its node runs. The stream's head is read before them, so
// events after AsOf may already be part of what is seen, but none is missing.
func (e *Engine) Get(ctx context.Context, id int64) (Detail, error) {
	head, err := event.ReadHead(ctx, e.DB, StreamOfRun(id))
	if err != nil {
		return Detail{}, err
	}
	r, err := e.q.GetRun(ctx, e.DB, id)
	if postgres.NotFound(err) {
		return Detail{}, errs.Ef(errs.NotFound, "run.not_found", "There is no run %d.", id)
	}
	if err != nil {
		return Detail{}, fmt.Errorf("load run %d: %w", id, err)
	}
	nodes, err := e.q.ListNodeRunsOfRun(ctx, e.DB, &id)
	if err != nil {
		return Detail{}, fmt.Errorf("load node runs of run %d: %w", id, err)
	}
	if err := e.fillOutputs(ctx, &r, nodes); err != nil {
		return Detail{}, err
	}
	out := Detail{Run: r, NodeRuns: nodes, AsOf: head.Last}
	if out.Cancellation, err = e.Cancellation(ctx, e.DB, &r); err != nil {
		return Detail{}, err
	}
	if out.RetriedBy, err = e.q.ListRetriesOf(ctx, e.DB, &id); err != nil {
		return Detail{}, fmt.Errorf("list retries of run %d: %w", id, err)
	}
	return out, nil
}

// Filter selects runs for a list, newest first.
type Filter struct {
	FlowchartID *int64
	ScheduleID  *int64
	Statuses    []string // empty: all
	BeforeID    int64    // 0: from the newest
	Limit       int32
}

// Listed is a run with the name of its flowchart.
type Listed = dbsqlc.ListRunsRow

// List gives the runs that fit the filter.
func (e *Engine) List(ctx context.Context, f Filter) ([]Listed, error) {
	rows, err := e.q.ListRuns(ctx, e.DB, dbsqlc.ListRunsParams{
		ProjectID: 1, FlowchartID: f.FlowchartID, ScheduleID: f.ScheduleID, Statuses: f.Statuses, BeforeID: f.BeforeID, MaxRows: f.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return rows, nil
}

// TimelineEntry is an attempt with what a waterfall shows of it.
type TimelineEntry = dbsqlc.ListAttemptsOfRunRow

// Timeline gives all attempts of a run in the order of their claims.
func (e *Engine) Timeline(ctx context.Context, runID int64) ([]TimelineEntry, error) {
	rows, err := e.q.ListAttemptsOfRun(ctx, e.DB, &runID)
	if err != nil {
		return nil, fmt.Errorf("list attempts of run %d: %w", runID, err)
	}
	return rows, nil
}

// NodeDetail is a node run with its attempts.
type NodeDetail struct {
	NodeRun  NodeRun
	Attempts []HeldAttempt
	AsOf     int64
	Receipt  *Receipt // nil: it was not asked to stop
	WorkOf   *int64   // the run of the node run that this one reuses
}

// HeldAttempt is an attempt with the worker that held it.
type HeldAttempt struct {
	Attempt
	Worker Worker
}

func (e *Engine) nodeRun(ctx context.Context, id int64) (NodeRun, error) {
	n, err := e.q.GetNodeRun(ctx, e.DB, id)
	if postgres.NotFound(err) {
		return n, errs.Ef(errs.NotFound, "node.not_found", "There is no node run %d.", id)
	}
	if err != nil {
		return n, fmt.Errorf("load node run %d: %w", id, err)
	}
	return n, nil
}

// GetNode loads a node run and its attempts. A large output is not loaded; see
// FillOutput and OpenOutput.
func (e *Engine) GetNode(ctx context.Context, id int64) (NodeDetail, error) {
	n, err := e.nodeRun(ctx, id)
	if err != nil {
		return NodeDetail{}, err
	}
	head, err := event.ReadHead(ctx, e.DB, StreamOfNode(&n))
	if err != nil {
		return NodeDetail{}, err
	}
	// Read again after the head, so that nothing up to it is missing.
	if n, err = e.q.GetNodeRun(ctx, e.DB, id); err != nil {
		return NodeDetail{}, fmt.Errorf("load node run %d: %w", id, err)
	}
	attempts, err := e.q.ListAttempts(ctx, e.DB, id)
	if err != nil {
		return NodeDetail{}, fmt.Errorf("load attempts of node run %d: %w", id, err)
	}
	out := NodeDetail{NodeRun: n, Attempts: make([]HeldAttempt, len(attempts)), AsOf: head.Last}
	for i, a := range attempts {
		out.Attempts[i] = HeldAttempt{Attempt: a.NodeAttempt, Worker: Worker{
			ID: a.NodeAttempt.WorkerProcessID, Hostname: a.Hostname, PID: a.Pid, Version: a.WorkerVersion,
			StartedAt: a.WorkerStartedAt, StoppedAt: a.StoppedAt, TombstoneAt: a.TombstoneAt,
		}}
	}
	if n.CancelRequestedAt != nil {
		if out.Receipt, err = e.Receipt(ctx, e.DB, &n); err != nil {
			return NodeDetail{}, err
		}
	}
	if n.ReusedFrom != nil {
		did, err := e.nodeRun(ctx, *n.ReusedFrom)
		if err != nil {
			return NodeDetail{}, err
		}
		out.WorkOf = did.FlowchartRunID
	}
	return out, nil
}

// NodeFilter selects node runs for a list, newest first.
type NodeFilter struct {
	RunID           *int64
	Quick           *bool // only those that belong to no run, or only others
	Statuses, Kinds []string
	BeforeID        int64
	Limit           int32
}

// ListNodes gives the node runs that fit the filter.
func (e *Engine) ListNodes(ctx context.Context, f NodeFilter) ([]NodeRun, error) {
	rows, err := e.q.ListNodeRuns(ctx, e.DB, dbsqlc.ListNodeRunsParams{
		ProjectID: 1, FlowchartRunID: f.RunID, Quick: f.Quick, Statuses: f.Statuses, Kinds: f.Kinds, BeforeID: f.BeforeID, MaxRows: f.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list node runs: %w", err)
	}
	return rows, nil
}
