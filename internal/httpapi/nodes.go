package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/node"
	"github.com/llmctl/studio/internal/run"
)

// holderView is the worker process that held an attempt, and how it ended.
type holderView struct {
	ID         string     `json:"id"`
	Hostname   string     `json:"hostname"`
	PID        int32      `json:"pid"`
	Version    string     `json:"version"`
	StartedAt  time.Time  `json:"started_at"`
	StoppedAt  *time.Time `json:"stopped_at" doc:"It ended on purpose"`
	DeclaredAt *time.Time `json:"declared_dead_at" doc:"It gave no sign of life any more"`
}

type attemptView struct {
	Number       int32            `json:"number"`
	Status       string           `json:"status"`
	Executor     string           `json:"executor"`
	WorkerID     string           `json:"worker_id"`
	Worker       holderView       `json:"worker"`
	Ended        *string          `json:"ended" enum:"succeeded,degraded,failed,timed_out,cancelled,forced_after_grace,handed_over,worker_died" doc:"Why it ended; null while it runs"`
	CancelledAt  *time.Time       `json:"cancel_requested_at" doc:"When it was asked to stop"`
	DeadlineAt   time.Time        `json:"deadline_at"`
	QueuedAt     time.Time        `json:"queued_at"`
	ClaimedAt    time.Time        `json:"claimed_at"`
	StartedAt    *time.Time       `json:"started_at"`
	FirstTokenAt *time.Time       `json:"first_token_at"`
	FinishedAt   *time.Time       `json:"finished_at"`
	Error        json.RawMessage  `json:"error"`
	Usage        json.RawMessage  `json:"usage"`
	Stages       []node.StageView `json:"stages"`
	Pod          *podView         `json:"pod" doc:"Of an attempt that runs in a pod"`
}

type taskView struct {
	NodeRunView
	FlowchartID    *int64          `json:"flowchart_id"`
	FlowchartRunID *int64          `json:"flowchart_run_id" doc:"null: a quick node, which belongs to no run"`
	ExecutionMode  *string         `json:"execution_mode" enum:"query,indexing,delta_indexing" doc:"Of a node of retrieval; null: none"`
	Queue          string          `json:"queue"`
	RetryOf        *int64          `json:"retry_of" doc:"The quick node that this one runs again"`
	Attempts       []attemptView   `json:"attempts"`
	Failures       int32           `json:"failures" doc:"Attempts that ended in an error of their own"`
	MaxAttempts    int32           `json:"max_attempts"`
	Lost           int32           `json:"lost" doc:"Attempts that died with their worker"`
	MaxLost        int32           `json:"max_lost" doc:"After so many the node fails"`
	RunAfter       time.Time       `json:"run_after" doc:"Earliest start of the next attempt"`
	ReusedRunID    *int64          `json:"reused_from_run_id" doc:"The run of reused_from"`
	Cancellation   *run.Receipt    `json:"cancellation" doc:"null: it was not asked to stop"`
	InputContext   json.RawMessage `json:"input_context"`
	RoutingState   json.RawMessage `json:"routing_state"`
	Runtime        run.Runtime     `json:"runtime"`
}

type nodeOutput struct {
	Body struct {
		Task   taskView         `json:"task"`
		Stages []node.StageView `json:"stages"`
		AsOf   asOf             `json:"as_of"`

		IndexRunIDs []int64 `json:"index_run_ids,omitempty" doc:"Of a node that indexes: one for each source"`
	}
}

type nodeStatusOutput struct {
	Body struct {
		ID            int64            `json:"id"`
		Status        string           `json:"status"`
		ExecutionMode *string          `json:"execution_mode"`
		CurrentStage  *string          `json:"current_stage"`
		Error         json.RawMessage  `json:"error"`
		Stages        []node.StageView `json:"stages"`
		Runtime       run.Runtime      `json:"runtime"`
		StartedAt     *time.Time       `json:"started_at"`
		FinishedAt    *time.Time       `json:"finished_at"`
	}
}

type listNodesInput struct {
	PageInput
	Status         []string `query:"status" enum:"pending,queued,running,waiting,cancelling,succeeded,degraded,failed,cancelled,skipped"`
	Kind           []string `query:"kind"`
	FlowchartRunID int64    `query:"flowchart_run_id" minimum:"0"`
	Quick          string   `query:"quick" enum:"true,false" doc:"Only node runs that belong to no flowchart run, or only others"`
}

type listedNodeView struct {
	NodeRunView
	FlowchartID    *int64  `json:"flowchart_id"`
	FlowchartRunID *int64  `json:"flowchart_run_id" doc:"null: a quick node, which belongs to no run"`
	ExecutionMode  *string `json:"execution_mode"`
	Queue          string  `json:"queue"`
	RetryOf        *int64  `json:"retry_of" doc:"The quick node that this one runs again"`
}

type logsInput struct {
	IDInput
	Stage string `query:"stage" maxLength:"40"`
	After int64  `query:"after" minimum:"0" doc:"sequence of the last item that is known"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"500"`
}

type logItem struct {
	Sequence  int64      `json:"sequence"`
	Attempt   int32      `json:"attempt"`
	Offset    int64      `json:"offset"`
	Stage     string     `json:"stage"`
	Type      string     `json:"type" enum:"log,delta"`
	Text      string     `json:"text"`
	EmittedAt event.Time `json:"emitted_at"`
}

func (s *server) registerNodes() {
	handle(s, route{
		method: http.MethodGet, path: "/nodes", id: "list-nodes", tag: "nodes", permission: auth.Read, summary: "Node runs, newest first",
	}, func(ctx context.Context, in *listNodesInput) (*pageOutput[listedNodeView], error) {
		before, err := in.before()
		if err != nil {
			return nil, err
		}
		f := run.NodeFilter{Statuses: in.Status, Kinds: in.Kind, BeforeID: before, Limit: in.Limit + 1}
		if in.FlowchartRunID != 0 {
			f.RunID = &in.FlowchartRunID
		}
		if in.Quick != "" {
			f.Quick = new(in.Quick == "true")
		}
		rows, err := s.deps.Engine.ListNodes(ctx, f)
		if err != nil {
			return nil, err
		}
		return paged(rows, in.Limit, func(n run.NodeRun) int64 { return n.ID }, func(n run.NodeRun) listedNodeView {
			v := viewListedNode(n)
			v.OutputState = nil
			return v
		}), nil
	})
	handle(s, route{
		method: http.MethodGet, path: "/nodes/{id}", id: "get-node", tag: "nodes", permission: auth.Read, summary: "A node run with its attempts",
	}, s.getNode)
	handle(s, route{
		method: http.MethodGet, path: "/nodes/{id}/status", id: "get-node-status", tag: "nodes", permission: auth.Read, summary: "How a node run is doing",
	}, s.getNodeStatus)
	handle(s, route{
		method: http.MethodGet, path: "/nodes/{id}/logs", id: "get-node-logs", tag: "nodes", permission: auth.Read,
		summary: "Stage logs and streamed text, in order",
	}, s.getNodeLogs)
	s.registerPodLog()
	s.registerQuickNodes()
}

func (s *server) getNode(ctx context.Context, in *IDInput) (*nodeOutput, error) {
	d, err := s.deps.Engine.GetNode(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	n := &d.NodeRun
	if err := s.deps.Engine.FillOutput(ctx, n); err != nil {
		return nil, err
	}
	attempts := make([]attemptView, len(d.Attempts))
	for i, a := range d.Attempts {
		stages, err := node.ViewStages(a.Stages, n.Kind, n.ExecutionMode, a.FinishedAt != nil)
		if err != nil {
			return nil, err
		}
		attempts[i] = viewAttempt(&a, stages)
	}
	out := &nodeOutput{}
	if out.Body.Stages, err = stagesOf(d); err != nil {
		return nil, err
	}
	out.Body.Task = taskView{
		NodeRunView: viewNodeRun(*n), FlowchartID: n.FlowchartID, FlowchartRunID: n.FlowchartRunID, ExecutionMode: n.ExecutionMode,
		Queue: n.Queue, RetryOf: n.RetryOf,
		Attempts: attempts, InputContext: n.InputContext, RoutingState: n.RoutingState, Runtime: runtimeOf(d),
		Failures: n.Failures, MaxAttempts: n.MaxAttempts, Lost: n.Lost, MaxLost: run.MaxLost, RunAfter: n.RunAfter,
		ReusedRunID: d.WorkOf, Cancellation: d.Receipt,
	}
	out.Body.AsOf = asOf{Stream: run.StreamOfNode(n), Sequence: d.AsOf}
	out.Body.IndexRunIDs, err = s.indexRunsOf(ctx, n.ID, n.Kind)
	return out, err
}

func viewAttempt(a *run.HeldAttempt, stages []node.StageView) attemptView {
	w := &a.Worker
	var ended *string
	if how := run.Ended(&a.Attempt); how != "" {
		ended = &how
	}
	return attemptView{
		Number: a.Number, Status: a.Status, Executor: a.Executor, WorkerID: a.WorkerProcessID.String(), QueuedAt: a.QueuedAt,
		ClaimedAt: a.ClaimedAt, StartedAt: a.StartedAt, FirstTokenAt: a.FirstTokenAt, FinishedAt: a.FinishedAt,
		Error: a.Error, Usage: a.Usage, Stages: stages, Ended: ended, CancelledAt: a.CancelRequestedAt, DeadlineAt: a.DeadlineAt,
		Worker: holderView{
			ID: w.ID.String(), Hostname: w.Hostname, PID: w.PID, Version: w.Version,
			StartedAt: w.StartedAt, StoppedAt: w.StoppedAt, DeclaredAt: w.TombstoneAt,
		},
		Pod: viewPod(&a.Attempt),
	}
}

func lastAttempt(d run.NodeDetail) *run.Attempt {
	if len(d.Attempts) == 0 {
		return nil
	}
	return &d.Attempts[len(d.Attempts)-1].Attempt
}

func stagesOf(d run.NodeDetail) ([]node.StageView, error) {
	a := lastAttempt(d)
	if a == nil {
		return node.ViewStages(nil, d.NodeRun.Kind, d.NodeRun.ExecutionMode, d.NodeRun.FinishedAt != nil)
	}
	return node.ViewStages(a.Stages, d.NodeRun.Kind, d.NodeRun.ExecutionMode, a.FinishedAt != nil)
}

func runtimeOf(d run.NodeDetail) run.Runtime { return run.RuntimeOf(&d.NodeRun, lastAttempt(d), "") }

func (s *server) getNodeStatus(ctx context.Context, in *IDInput) (*nodeStatusOutput, error) {
	d, err := s.deps.Engine.GetNode(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &nodeStatusOutput{}
	b, n := &out.Body, &d.NodeRun
	if b.Stages, err = stagesOf(d); err != nil {
		return nil, err
	}
	b.ID, b.Status, b.ExecutionMode, b.CurrentStage, b.Error = n.ID, n.Status, n.ExecutionMode, n.CurrentStage, n.Error
	b.Runtime, b.StartedAt, b.FinishedAt = runtimeOf(d), n.StartedAt, n.FinishedAt
	return out, nil
}

func (s *server) getNodeLogs(ctx context.Context, in *logsInput) (*pageOutput[logItem], error) {
	if _, err := s.deps.Engine.GetNode(ctx, in.ID); err != nil {
		return nil, err
	}
	events, err := event.ReadStream(ctx, s.deps.DB, run.StreamOfLog(in.ID), in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &pageOutput[logItem]{Body: page[logItem]{Items: []logItem{}}}
	for _, e := range events {
		item := logItem{Sequence: e.Envelope.Sequence, EmittedAt: e.Envelope.EmittedAt, Type: "log"}
		if e.Envelope.EventType == "node:task:delta" {
			item.Type = "delta"
		}
		var p struct {
			Attempt int32  `json:"attempt"`
			Offset  int64  `json:"offset"`
			Text    string `json:"text"`
			Stage   string `json:"stage"`
		}
		if err := json.Unmarshal(e.Envelope.Payload, &p); err != nil {
			return nil, err
		}
		item.Attempt, item.Offset, item.Text, item.Stage = p.Attempt, p.Offset, p.Text, p.Stage
		if in.Stage == "" || in.Stage == p.Stage {
			out.Body.Items = append(out.Body.Items, item)
		}
	}
	return out, nil
}
