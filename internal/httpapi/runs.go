package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

// NodeRunView is a node run as lists and runs show it.
type NodeRunView struct {
	ID              int64           `json:"id"`
	FlowchartNodeID string          `json:"flowchart_node_id"`
	Kind            string          `json:"kind"`
	Title           string          `json:"title"`
	Status          string          `json:"status"`
	Attempt         int32           `json:"attempt"`
	ExecutionIndex  int32           `json:"execution_index"`
	CurrentStage    *string         `json:"current_stage"`
	OutputState     json.RawMessage `json:"output_state"`
	OutputOmitted   bool            `json:"output_omitted,omitempty" doc:"The output is too large for this answer; get-node-output gives it"`
	OutputBytes     *int64          `json:"output_bytes,omitempty" doc:"Of a large output"`
	Error           json.RawMessage `json:"error"`
	Usage           json.RawMessage `json:"usage"`
	CreatedAt       time.Time       `json:"created_at"`
	QueuedAt        *time.Time      `json:"queued_at"`
	StartedAt       *time.Time      `json:"started_at"`
	FinishedAt      *time.Time      `json:"finished_at"`
	ReusedFrom      *int64          `json:"reused_from" doc:"The node run of an earlier run that did the work; this one was not executed"`
}

func viewNodeRun(n run.NodeRun) NodeRunView {
	return NodeRunView{
		ID: n.ID, FlowchartNodeID: n.FlowchartNodeID, Kind: n.Kind, Title: n.Title, Status: n.Status, Attempt: n.Attempt,
		ExecutionIndex: n.ExecutionIndex, CurrentStage: n.CurrentStage, OutputState: n.OutputState,
		OutputOmitted: n.OutputBlob != nil && n.OutputState == nil, OutputBytes: n.OutputBytes, Error: n.Error, Usage: n.Usage,
		CreatedAt: n.CreatedAt, QueuedAt: n.QueuedAt, StartedAt: n.StartedAt, FinishedAt: n.FinishedAt, ReusedFrom: n.ReusedFrom,
	}
}

type asOf struct {
	Stream   string `json:"stream"`
	Sequence int64  `json:"sequence" doc:"Everything up to this event of the stream is in the answer"`
}

type runDetailOutput struct {
	Body struct {
		FlowchartRun run.View      `json:"flowchart_run"`
		NodeRuns     []NodeRunView `json:"node_runs"`
		AsOf         asOf          `json:"as_of"`
	}
}

type runOutput struct {
	Body struct {
		FlowchartRun run.View `json:"flowchart_run"`
	}
}

func runOut(r run.Run) *runOutput {
	out := &runOutput{}
	out.Body.FlowchartRun = run.ViewOf(&r)
	return out
}

type startRunInput struct {
	IDInput
	IdempotencyKey string `header:"Idempotency-Key"`
	Body           struct {
		Input       json.RawMessage `json:"input,omitempty" doc:"An object; checked against the start node's input_schema"`
		StartNodeID string          `json:"start_node_id,omitempty" maxLength:"64" doc:"Begin at this node instead of the start node"`
	} `required:"false"`
}

type listRunsInput struct {
	PageInput
	FlowchartID int64    `query:"flowchart_id" minimum:"0"`
	ScheduleID  int64    `query:"schedule_id" minimum:"0"`
	Status      []string `query:"status" enum:"queued,running,pausing,paused,cancelling,succeeded,failed,cancelled"`
}

type timelineEntry struct {
	NodeRunID       int64           `json:"node_run_id"`
	FlowchartNodeID string          `json:"flowchart_node_id"`
	Title           string          `json:"title"`
	Kind            string          `json:"kind"`
	ExecutionIndex  int32           `json:"execution_index"`
	Attempt         int32           `json:"attempt"`
	Status          string          `json:"status"`
	Executor        string          `json:"executor"`
	Worker          string          `json:"worker"`
	QueuedAt        time.Time       `json:"queued_at"`
	ClaimedAt       time.Time       `json:"claimed_at"`
	StartedAt       *time.Time      `json:"started_at"`
	FirstTokenAt    *time.Time      `json:"first_token_at"`
	FinishedAt      *time.Time      `json:"finished_at"`
	Error           json.RawMessage `json:"error"`
	Usage           json.RawMessage `json:"usage"`
}

type timelineOutput struct {
	Body struct {
		Attempts []timelineEntry `json:"attempts"`
	}
}

func (s *server) registerRuns() {
	handle(s, route{
		method: http.MethodPost, path: "/flowcharts/{id}/runs", id: "start-run", tag: "runs", permission: auth.Write,
		audit: true, idempotent: true, summary: "Start a run of the current version", status: http.StatusAccepted, body: maxInputBody,
	}, s.startRun)
	handle(s, route{
		method: http.MethodGet, path: "/flowchart-runs", id: "list-runs", tag: "runs", permission: auth.Read, summary: "Runs, newest first",
	}, s.listRuns)
	handle(s, route{
		method: http.MethodGet, path: "/flowchart-runs/{id}", id: "get-run", tag: "runs", permission: auth.Read, summary: "A run with its node runs",
	}, s.getRun)
	handle(s, route{
		method: http.MethodGet, path: "/flowchart-runs/{id}/timeline", id: "get-run-timeline", tag: "runs", permission: auth.Read,
		summary: "All attempts of a run, in the order of their claims",
	}, s.timeline)
	s.registerRunControl()
}

func (s *server) startRun(ctx context.Context, in *startRunInput) (*runOutput, error) {
	return idempotent(ctx, s, "start-run", in.IdempotencyKey, []any{in.ID, in.Body}, func(ctx context.Context, tx *postgres.Tx) (*runOutput, error) {
		r, err := s.deps.Engine.StartTx(ctx, tx, s.startRequest(ctx, run.StartRequest{
			FlowchartID: in.ID, Input: in.Body.Input, StartNodeID: in.Body.StartNodeID,
		}))
		if err != nil {
			return nil, err
		}
		return runOut(r), s.audit(ctx, tx, "run.started", "flowchart_run", r.ID)
	})
}

func (s *server) startRequest(ctx context.Context, req run.StartRequest) run.StartRequest {
	by, v := user(ctx).UserID, idsFrom(ctx)
	req.UserID, req.RequestID, req.CorrelationID = &by, v.Request, v.Correlation
	return req
}

func (s *server) listRuns(ctx context.Context, in *listRunsInput) (*pageOutput[run.View], error) {
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	f := run.Filter{Statuses: in.Status, BeforeID: before, Limit: in.Limit + 1}
	if in.FlowchartID != 0 {
		f.FlowchartID = &in.FlowchartID
	}
	if in.ScheduleID != 0 {
		f.ScheduleID = &in.ScheduleID
	}
	rows, err := s.deps.Engine.List(ctx, f)
	if err != nil {
		return nil, err
	}
	return paged(rows, in.Limit, func(r run.Listed) int64 { return r.FlowchartRun.ID }, func(r run.Listed) run.View {
		v := run.ViewOf(&r.FlowchartRun)
		v.FlowchartName = r.FlowchartName
		v.Input, v.Output = nil, nil // a list shows that they are there, not what they are
		return v
	}), nil
}

func (s *server) getRun(ctx context.Context, in *IDInput) (*runDetailOutput, error) {
	d, err := s.deps.Engine.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	f, err := s.deps.Flowcharts.Get(ctx, d.Run.FlowchartID)
	if err != nil {
		return nil, err
	}
	out := &runDetailOutput{}
	out.Body.FlowchartRun = run.ViewOf(&d.Run)
	out.Body.FlowchartRun.FlowchartName, out.Body.FlowchartRun.NewestVersion = f.Flowchart.Name, f.Flowchart.Version
	out.Body.FlowchartRun.Cancellation, out.Body.FlowchartRun.RetriedBy = d.Cancellation, d.RetriedBy
	out.Body.FlowchartRun.TraceURL = s.traceLink(out.Body.FlowchartRun.TraceID)
	out.Body.FlowchartRun.Counts = map[string]int{}
	out.Body.NodeRuns = make([]NodeRunView, len(d.NodeRuns))
	var total run.Usage
	for i, n := range d.NodeRuns {
		out.Body.NodeRuns[i] = viewNodeRun(n)
		out.Body.FlowchartRun.Counts[n.Status]++
		var u run.Usage
		if n.Usage != nil && json.Unmarshal(n.Usage, &u) == nil {
			total.InputTokens += u.InputTokens
			total.OutputTokens += u.OutputTokens
		}
	}
	out.Body.FlowchartRun.Usage = &total
	out.Body.AsOf = asOf{Stream: run.StreamOfRun(in.ID), Sequence: d.AsOf}
	return out, nil
}

func (s *server) timeline(ctx context.Context, in *IDInput) (*timelineOutput, error) {
	if _, err := s.deps.Engine.Get(ctx, in.ID); err != nil {
		return nil, err
	}
	rows, err := s.deps.Engine.Timeline(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &timelineOutput{}
	out.Body.Attempts = make([]timelineEntry, len(rows))
	for i, r := range rows {
		a := r.NodeAttempt
		out.Body.Attempts[i] = timelineEntry{
			NodeRunID: a.NodeRunID, FlowchartNodeID: r.FlowchartNodeID, Title: r.Title, Kind: r.Kind, ExecutionIndex: r.ExecutionIndex,
			Attempt: a.Number, Status: a.Status, Executor: a.Executor, Worker: r.Hostname, QueuedAt: a.QueuedAt, ClaimedAt: a.ClaimedAt,
			StartedAt: a.StartedAt, FirstTokenAt: a.FirstTokenAt, FinishedAt: a.FinishedAt, Error: a.Error, Usage: a.Usage,
		}
	}
	return out, nil
}
