package tracing

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Options make a Tracer.
type Options struct {
	Exporter sdktrace.SpanExporter
	Sampler  sdktrace.Sampler // nil: as the parent, and always without one
	Resource []attribute.KeyValue
	Batch    BatchOptions
	Logger   *slog.Logger
}

// Tracer records spans and sends them off. A nil Tracer does nothing, at no cost.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	batch    *batch
}

// New makes a tracer; Run sends what it records.
func New(o Options) *Tracer {
	b := newBatch(o.Exporter, o.Batch, o.Logger)
	t := &Tracer{provider: provider(b, o.Sampler, o.Resource), batch: b}
	t.tracer = t.provider.Tracer(Scope)
	return t
}

func provider(p sdktrace.SpanProcessor, sampler sdktrace.Sampler, attrs []attribute.KeyValue) *sdktrace.TracerProvider {
	if sampler == nil {
		sampler = sdktrace.ParentBased(sdktrace.AlwaysSample())
	}
	return sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(p), sdktrace.WithSampler(sampler), sdktrace.WithIDGenerator(ids{}),
		sdktrace.WithResource(resource.NewSchemaless(attrs...)),
	)
}

// Name names the service.
func (t *Tracer) Name() string { return "trace export" }

// Run sends spans until ctx ends, and then what is left, for a few seconds at most.
func (t *Tracer) Run(ctx context.Context, ready func()) error {
	ready()
	t.batch.run(ctx)
	return nil
}

// Stats counts what became of the spans; all zero when tracing is off.
func (t *Tracer) Stats() Stats {
	if t == nil {
		return Stats{}
	}
	return t.batch.stats()
}

// Under gives a context whose spans hang under traceparent, which need not be a span
// of this process. "" leaves ctx as it is.
func (t *Tracer) Under(ctx context.Context, traceparent string) context.Context {
	if t == nil || traceparent == "" {
		return ctx
	}
	return under(ctx, t.provider, traceparent)
}

func under(ctx context.Context, p trace.TracerProvider, traceparent string) context.Context {
	sc := parse(traceparent)
	if !sc.IsSampled() {
		return ctx
	}
	return trace.ContextWithSpan(ctx, remote{sc: sc, provider: p})
}

// Root is Parent, but begins a trace with a span of the given name where ctx has
// none. "" when tracing is off or this trace is not to be recorded.
func (t *Tracer) Root(ctx context.Context, name string) string {
	if t == nil {
		return ""
	}
	if trace.SpanContextFromContext(ctx).IsValid() {
		return Parent(ctx)
	}
	ctx, span := t.tracer.Start(ctx, name)
	defer span.End()
	return Parent(ctx)
}

// Record is a span that is known only when it is over.
type Record struct {
	Parent string // traceparent of the span that it hangs under
	Self   string // its own; "": some id
	Name   string
	Kind   trace.SpanKind
	Start  time.Time
	End    time.Time
	Attrs  []attribute.KeyValue
	Events []Event
	Links  []Link
	Failed bool
	Why    string // of a failure
}

// Event is a moment of a span.
type Event struct {
	Name  string
	At    time.Time
	Attrs []attribute.KeyValue
}

// Link points at a span that is not the parent.
type Link struct {
	To  string // traceparent
	Why string // a value of LinkKind
}

// Emit records a span that is over. Without a parent nothing is recorded: what is
// traced was decided when the trace began.
func (t *Tracer) Emit(r Record) {
	if t == nil || !parse(r.Parent).IsSampled() {
		return
	}
	ctx := t.Under(context.Background(), r.Parent)
	if self := parse(r.Self); self.IsValid() {
		ctx = context.WithValue(ctx, idKey{}, self.SpanID())
	}
	o := []trace.SpanStartOption{trace.WithTimestamp(r.Start), trace.WithSpanKind(r.Kind), trace.WithAttributes(r.Attrs...)}
	for _, l := range r.Links {
		if sc := parse(l.To); sc.IsValid() {
			o = append(o, trace.WithLinks(trace.Link{SpanContext: sc, Attributes: []attribute.KeyValue{LinkKind.String(l.Why)}}))
		}
	}
	_, span := t.tracer.Start(ctx, r.Name, o...)
	for _, e := range r.Events {
		span.AddEvent(e.Name, trace.WithTimestamp(e.At), trace.WithAttributes(e.Attrs...))
	}
	if r.Failed {
		span.SetStatus(codes.Error, clip(r.Why))
	}
	span.End(trace.WithTimestamp(r.End))
}

// ids makes ids of spans, or takes the one that Emit wants.
type ids struct{}

type idKey struct{}

// NewIDs implements sdktrace.IDGenerator.
func (g ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	var id trace.TraceID
	for !id.IsValid() {
		_, _ = rand.Read(id[:]) // never fails
	}
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID implements sdktrace.IDGenerator.
func (ids) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if id, ok := ctx.Value(idKey{}).(trace.SpanID); ok {
		return id
	}
	var id trace.SpanID
	for !id.IsValid() {
		_, _ = rand.Read(id[:])
	}
	return id
}
