package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/tracing"
)

// ReportEngine is what an Ingest needs of the run engine.
type ReportEngine interface {
	Report(ctx context.Context, who run.Reporter, b run.Batch) (run.Reported, error)
	ReportEnd(ctx context.Context, who run.Reporter, b run.Batch, res run.Result, settle func(*run.NodeRun, *run.Attempt, *run.Result)) (run.Reported, error)
	Uploads(ctx context.Context, who run.Reporter) (map[string]run.Upload, error)
}

// Ingest stores what attempts report that run outside of any worker.
type Ingest struct {
	engine ReportEngine
	tracer *tracing.Tracer // nil: no traces
	now    func() time.Time
}

// NewIngest makes an ingest.
func NewIngest(engine ReportEngine, tracer *tracing.Tracer, now func() time.Time) *Ingest {
	return &Ingest{engine: engine, tracer: tracer, now: now}
}

// Take stores a batch of events, each exactly once, and says how far the attempt
// came. An empty one only asks whether the attempt is to stop.
func (in *Ingest) Take(ctx context.Context, who run.Reporter, events []executor.Event) (run.Reported, error) {
	b := run.Batch{}
	if len(events) > 0 {
		b.First, b.Last = events[0].N, events[len(events)-1].N
		b.Starts = events[0].Type == executor.EventStarted
	}
	var spans []json.RawMessage // of the events that were not stored before
	var span string
	b.Apply = func(n *run.NodeRun, a *run.Attempt) (run.Report, error) {
		spans, span = spansOf(events, a.EventN), tracing.AttemptSpan(n.Traceparent, n.ID, a.Number)
		return in.apply(n, a, events)
	}
	out, err := in.store(ctx, who, b, events)
	if err == nil {
		for _, raw := range spans {
			in.tracer.Relay(span, raw)
		}
	}
	return out, err
}

func (in *Ingest) store(ctx context.Context, who run.Reporter, b run.Batch, events []executor.Event) (run.Reported, error) {
	if len(events) == 0 || events[len(events)-1].Type != executor.EventResult {
		return in.engine.Report(ctx, who, b)
	}
	res, err := in.result(ctx, who, cleanResult(*events[len(events)-1].Result))
	if err != nil {
		return run.Reported{}, err
	}
	return in.engine.ReportEnd(ctx, who, b, res, in.settle)
}

func spansOf(events []executor.Event, after int64) []json.RawMessage {
	var out []json.RawMessage
	for i := range events {
		if e := &events[i]; e.Type == executor.EventSpan && e.N > after {
			out = append(out, e.Span)
		}
	}
	return out
}

// cleanResult makes what goes beside the output storable; the output itself is
// checked by the engine.
func cleanResult(r executor.Result) executor.Result {
	if r.Error != nil {
		e := *r.Error
		e.Code, e.Message = executor.CleanText(e.Code), executor.CleanText(e.Message)
		e.Details, _ = executor.CleanValue(e.Details).(map[string]any)
		r.Error = &e
	}
	if r.RoutingState != nil {
		if v, err := executor.DecodeJSON(string(r.RoutingState)); err == nil {
			r.RoutingState = encode(v)
		}
	}
	return r
}

// result translates the verdict; the files that it names were sent ahead.
func (in *Ingest) result(ctx context.Context, who run.Reporter, r executor.Result) (run.Result, error) {
	refers := false
	for _, a := range r.Artifacts {
		refers = refers || a.SHA256 != ""
	}
	if !refers {
		return resultOf(r, nil), nil
	}
	uploads, err := in.engine.Uploads(ctx, who)
	if err != nil {
		return run.Result{}, err
	}
	for _, a := range r.Artifacts {
		u, ok := uploads[a.Name]
		if a.SHA256 != "" && (!ok || u.Blob.String() != a.SHA256 || u.Size != a.Size) {
			r = executor.Failuref(executor.CodeArtifacts, false, "The result names the artifact %q, which was not uploaded.", a.Name)
			break
		}
	}
	out := resultOf(r, nil)
	for i := range out.Artifacts {
		if r.Artifacts[i].SHA256 != "" {
			u := uploads[out.Artifacts[i].Name]
			out.Artifacts[i].Stored = &u
		}
	}
	return out, nil
}

// settle completes a result by how the attempt stood. One that was stopped although
// nobody here asked for it was ended by the cluster.
func (in *Ingest) settle(n *run.NodeRun, a *run.Attempt, res *run.Result) {
	if res.Status == run.Cancelled && a.CancelRequestedAt == nil {
		res.Status = run.Failed
		res.Error = &run.Failure{
			Code: executor.CodeInfra, Retryable: true,
			Message: "The pod was stopped from outside: it was evicted or preempted, its machine was drained, or its Job was deleted.",
		}
	}
	keepProgress(n, a, res, in.now())
}

// keepProgress leaves what an attempt's pod has reported as it is when the attempt ends.
func keepProgress(n *run.NodeRun, a *run.Attempt, res *run.Result, at time.Time) {
	var stages []Stage
	if json.Unmarshal(a.Stages, &stages) != nil {
		stages = nil
	}
	res.Stages = encode(closeStages(stages, res.Status, at))
	res.CurrentStage, res.StartedAt, res.FirstTokenAt = n.CurrentStage, a.StartedAt, a.FirstTokenAt
}

// apply tells what events make of an attempt.
func (in *Ingest) apply(n *run.NodeRun, row *run.Attempt, events []executor.Event) (run.Report, error) {
	a := newAttempt(run.Claim{NodeRun: *n, Attempt: row.Number, Executor: row.Executor})
	if err := json.Unmarshal(row.Stages, &a.stages); err != nil {
		return run.Report{}, fmt.Errorf("read stages of node run %d: %w", n.ID, err)
	}
	a.offset, a.current = row.TextOffset, n.CurrentStage
	for i := range events {
		if e := &events[i]; e.N > row.EventN {
			applyOne(a, e, clamp(e.TS, row.ClaimedAt, in.now()))
		}
	}
	t, _, err := a.Take()
	if err != nil {
		return run.Report{}, err
	}
	out := run.Report{
		EventN: row.EventN, TextOffset: a.offset, Stages: row.Stages, StageChanged: t.stageDirty,
		CurrentStage: a.current, FirstTokenAt: a.firstToken,
	}
	if len(events) > 0 {
		out.EventN = events[len(events)-1].N
	}
	if t.a == nil {
		return out, nil
	}
	out.Stages, out.Drafts = t.stages, t.drafts()
	return out, nil
}

// applyOne applies an event, as the sink of a worker does.
func applyOne(a *attempt, e *executor.Event, at time.Time) {
	text := executor.CleanText(e.Text)
	switch e.Type {
	case executor.EventStage:
		a.stage(e.Stage, stageStatus(e.Status), at)
	case executor.EventLog:
		a.put("log", e.Stage, withNewline(text), at)
	case executor.EventDelta:
		a.put("delta", "", text, at)
	case executor.EventSpan, executor.EventStarted, executor.EventTool, executor.EventUsage, executor.EventResult:
		// as in a worker: for the trace, or kept with the result
	}
}

// clamp keeps the clock of a pod from telling what cannot be.
func clamp(t, from, to time.Time) time.Time {
	switch {
	case t.Before(from):
		return from
	case t.After(to):
		return to
	}
	return t.UTC()
}
