package app

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/llmctl/studio/internal/llm/observed"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/telemetry"
	"github.com/llmctl/studio/internal/tracing"
)

// observer makes figures and spans of what the engine committed. The span of an
// attempt or a run is made here, by whoever committed its end, out of its row: so it
// is made once, and also for an attempt whose worker is dead.
type observer struct {
	work   *telemetry.Work
	tracer *tracing.Tracer
	log    *slog.Logger
	names  func(ctx context.Context, r *run.Run) (run.TraceNames, error)

	runs    chan run.EndedRun // whose spans wait for their names
	dropped atomic.Uint64
}

// maxEndedRuns bounds them.
const maxEndedRuns = 1024

func newObserver(work *telemetry.Work, tracer *tracing.Tracer, log *slog.Logger) *observer {
	return &observer{work: work, tracer: tracer, log: log, runs: make(chan run.EndedRun, maxEndedRuns)}
}

// Starting implements run.Observer.
func (o *observer) Starting(ctx context.Context) string { return o.tracer.Root(ctx, tracing.SpanStart) }

// AttemptEnded implements run.Observer.
func (o *observer) AttemptEnded(a run.EndedAttempt) {
	n := &a.NodeRun
	recovered := ""
	if a.Status == run.Lost && !handedOver(a) {
		recovered = n.Status
		if recovered == run.Queued {
			recovered = "requeued"
		}
	}
	o.work.Attempt(telemetry.Attempt{
		Kind: n.Kind, Executor: a.Executor, Status: attemptStatus(a), Recovered: recovered,
		Wait: a.ClaimedAt.Sub(a.QueuedAt), Took: a.At.Sub(a.ClaimedAt),
	})
	if o.tracer == nil || n.Traceparent == "" {
		return
	}
	o.tracer.Emit(tracing.Record{
		Parent: n.Traceparent, Name: tracing.SpanWait + " " + n.Queue, Kind: trace.SpanKindConsumer, Start: a.QueuedAt, End: a.ClaimedAt,
		Attrs: []attribute.KeyValue{tracing.MessagingDestination.String(n.Queue), tracing.NodeRunID.Int64(n.ID), tracing.Attempt.Int(int(a.Number))},
	})
	o.tracer.Emit(spanOfAttempt(a))
}

func handedOver(a run.EndedAttempt) bool { return a.Error != nil && a.Error.Code == run.CodeHandedOver }

// attemptStatus tells apart what a worker gave back from what died with it.
func attemptStatus(a run.EndedAttempt) string {
	if a.Status == run.Lost && handedOver(a) {
		return run.CodeHandedOver
	}
	return a.Status
}

func spanOfAttempt(a run.EndedAttempt) tracing.Record {
	n := &a.NodeRun
	r := tracing.Record{
		Parent: n.Traceparent, Self: tracing.AttemptSpan(n.Traceparent, n.ID, a.Number), Name: tracing.SpanNode + " " + n.Kind,
		Start: a.ClaimedAt, End: a.At,
		Attrs: []attribute.KeyValue{
			tracing.NodeRunID.Int64(n.ID), tracing.NodeID.String(n.FlowchartNodeID), tracing.NodeKind.String(n.Kind), tracing.NodeTitle.String(n.Title),
			tracing.NodeRunStatus.String(n.Status), tracing.Attempt.Int(int(a.Number)), tracing.AttemptStatus.String(attemptStatus(a)),
			tracing.AttemptExecutor.String(a.Executor), tracing.AttemptWorker.String(a.Worker.String()),
		},
	}
	r.Attrs = append(r.Attrs, origin(n.FlowchartRunID, n.FlowchartID, n.RequestID, n.CorrelationID)...)
	if a.FirstTokenAt != nil {
		r.Events = append(r.Events, tracing.Event{Name: tracing.EventFirstToken, At: *a.FirstTokenAt})
	}
	if a.Number > 1 {
		r.Links = append(r.Links, tracing.Link{To: tracing.AttemptSpan(n.Traceparent, n.ID, a.Number-1), Why: tracing.LinkEarlier})
	}
	if a.Error != nil && a.Status != run.Cancelled {
		r.Failed, r.Why = true, a.Error.Message
		r.Attrs = append(r.Attrs, tracing.ErrorType.String(a.Error.Code))
	}
	return r
}

func origin(runID, flowchartID *int64, request, correlation string) []attribute.KeyValue {
	var out []attribute.KeyValue
	if runID != nil {
		out = append(out, tracing.FlowchartRunID.Int64(*runID))
	}
	if flowchartID != nil {
		out = append(out, tracing.FlowchartID.Int64(*flowchartID))
	}
	if request != "" {
		out = append(out, tracing.RequestID.String(request), tracing.CorrelationID.String(correlation))
	}
	return out
}

// RunEnded implements run.Observer.
func (o *observer) RunEnded(r run.EndedRun) {
	o.work.Run(r.Run.Status, r.At.Sub(r.Run.CreatedAt))
	if o.tracer == nil || r.Run.Traceparent == "" {
		return
	}
	select {
	case o.runs <- r:
	default:
		o.dropped.Add(1)
	}
}

// Name names the service.
func (o *observer) Name() string { return "run spans" }

// Run makes the spans of runs that ended, which need a look into the database that
// must not hold up the work. At the end it makes those that are left, in the time
// that a few queries take.
func (o *observer) Run(ctx context.Context, ready func()) error {
	ready()
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	for {
		select {
		case r := <-o.runs:
			o.emitRun(life, r)
			continue
		case <-ctx.Done():
		}
		break
	}
	time.AfterFunc(2*time.Second, cancel)
	for {
		select {
		case r := <-o.runs:
			o.emitRun(life, r)
		default:
			return nil
		}
	}
}

func (o *observer) emitRun(ctx context.Context, r run.EndedRun) {
	limited, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	names, err := o.names(limited, &r.Run)
	if err != nil { // the span matters more than the name
		o.log.DebugContext(ctx, "the name of a run's flowchart for its span", "flowchart_run_id", r.Run.ID, "error", err)
		names.Flowchart = strconv.FormatInt(r.Run.FlowchartID, 10)
	}
	o.tracer.Emit(spanOfRun(r, names))
}

func spanOfRun(r run.EndedRun, names run.TraceNames) tracing.Record {
	v := &r.Run
	out := tracing.Record{
		Parent: v.Traceparent, Self: tracing.RunSpan(v.Traceparent, v.ID), Name: tracing.SpanWorkflow + " " + names.Flowchart,
		Start: v.CreatedAt, End: r.At,
		Attrs: []attribute.KeyValue{
			tracing.GenAIOperation.String(tracing.OperationWorkflow), tracing.GenAIWorkflow.String(names.Flowchart), tracing.RunStatus.String(v.Status),
		},
	}
	out.Attrs = append(out.Attrs, origin(&v.ID, &v.FlowchartID, v.RequestID, v.CorrelationID)...)
	if names.Retried != "" {
		out.Links = append(out.Links, tracing.Link{To: names.Retried, Why: tracing.LinkRetriedRun})
	}
	if v.Status == run.Failed {
		out.Failed = true
		if f := run.FailureOf(v); f != nil {
			out.Why = f.Message
			out.Attrs = append(out.Attrs, tracing.ErrorType.String(f.Code))
		}
	}
	return out
}

// called counts a call of a provider.
func (o *observer) called(c observed.Call) {
	o.work.Call(telemetry.Call{
		Operation: c.Operation, Provider: c.Provider, Model: c.RequestModel, ErrorType: c.ErrorType, Took: c.Took, FirstChunk: c.FirstChunk,
		InputTokens: c.Usage.InputTokens, OutputTokens: c.Usage.OutputTokens,
	})
}
