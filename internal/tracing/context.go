package tracing

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Parent gives the span of ctx as a W3C traceparent, to be kept or passed on; "" when
// there is none, or none that is recorded.
func Parent(ctx context.Context) string {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() || !sc.IsSampled() {
		return ""
	}
	return format(sc)
}

// RunSpan is the span of a flowchart run that hangs under traceparent; its id follows
// from the run's, so that everybody knows it before, after and without the process
// that makes it. "" stays "".
func RunSpan(traceparent string, runID int64) string {
	return derive(traceparent, "flowchart_run", runID, 0)
}

// AttemptSpan is likewise the span of an attempt of a node run whose attempts hang
// under traceparent.
func AttemptSpan(traceparent string, nodeRunID int64, attempt int32) string {
	return derive(traceparent, "node_attempt", nodeRunID, attempt)
}

// TraceID is the trace that a traceparent names; "" when it names none.
func TraceID(traceparent string) string {
	sc := parse(traceparent)
	if !sc.IsValid() {
		return ""
	}
	return sc.TraceID().String()
}

func derive(traceparent, what string, id int64, n int32) string {
	sc := parse(traceparent)
	if !sc.IsValid() {
		return ""
	}
	trc := sc.TraceID()
	in := append([]byte(nil), trc[:]...)
	in = append(in, what...)
	in = binary.BigEndian.AppendUint64(in, uint64(id))
	in = binary.BigEndian.AppendUint32(in, uint32(n))
	sum := sha256.Sum256(in)
	var span trace.SpanID
	copy(span[:], sum[:])
	return format(sc.WithSpanID(span))
}

func format(sc trace.SpanContext) string {
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + (sc.TraceFlags() & trace.FlagsSampled).String()
}

// parse reads what format wrote; the zero value stands for anything else.
func parse(traceparent string) trace.SpanContext {
	parts := strings.Split(traceparent, "-")
	if len(parts) != 4 || parts[0] != "00" {
		return trace.SpanContext{}
	}
	trc, errTrace := trace.TraceIDFromHex(parts[1])
	span, errSpan := trace.SpanIDFromHex(parts[2])
	flags, errFlags := strconv.ParseUint(parts[3], 16, 8)
	if errTrace != nil || errSpan != nil || errFlags != nil {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trc, SpanID: span, TraceFlags: trace.TraceFlags(flags) & trace.FlagsSampled, Remote: true,
	})
}

// Start begins a span under the one of ctx. Without one, or with one that is not
// recorded, nothing is recorded either. The caller ends it; see End.
func Start(ctx context.Context, name string, kind trace.SpanKind, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.SpanContext().IsSampled() {
		return ctx, noop.Span{}
	}
	tracer := parent.TracerProvider().Tracer(Scope)
	return tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attrs...)) //nolint:spancheck // the caller ends it
}

// End ends a span; with an error its status says so.
func End(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		span.SetStatus(codes.Error, clip(err.Error()))
	}
	span.End()
}

// clip bounds a text that goes into a span.
func clip(s string) string {
	const most = 2000
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-len("…")], "") + "…"
}

// remote stands for a span of another process, or of this one's past: what is started
// under it is recorded by provider.
type remote struct {
	noop.Span
	sc       trace.SpanContext
	provider trace.TracerProvider
}

// SpanContext implements trace.Span.
func (r remote) SpanContext() trace.SpanContext { return r.sc }

// TracerProvider implements trace.Span.
func (r remote) TracerProvider() trace.TracerProvider { return r.provider }
