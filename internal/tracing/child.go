package tracing

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// An executor process has no collector: its environment is clean, and what runs in it
// must not reach more than it has to. Its spans go to the process that started it as
// events of the executor protocol, and that one records them.

// maxWire bounds the spans of one child, maxWireAttrs the attributes of one span.
const (
	maxWire      = 256
	maxWireAttrs = 64
)

// wireSpan is a span on its way.
type wireSpan struct {
	Self   string      `json:"traceparent"`
	Parent string      `json:"parent"`
	Name   string      `json:"name"`
	Kind   int         `json:"kind"`
	Start  time.Time   `json:"start"`
	End    time.Time   `json:"end"`
	Attrs  []wireAttr  `json:"attributes,omitempty"`
	Events []wireEvent `json:"events,omitempty"`
	Failed bool        `json:"failed,omitempty"`
	Why    string      `json:"why,omitempty"`
}

type wireEvent struct {
	Name  string     `json:"name"`
	At    time.Time  `json:"at"`
	Attrs []wireAttr `json:"attributes,omitempty"`
}

// wireAttr has exactly one of the values.
type wireAttr struct {
	Key     string   `json:"k"`
	Text    *string  `json:"s,omitempty"`
	Int     *int64   `json:"i,omitempty"`
	Float   *float64 `json:"f,omitempty"`
	Bool    *bool    `json:"b,omitempty"`
	Strings []string `json:"l,omitempty"`
}

// InChild gives a context whose spans hang under traceparent and go to send as they
// end, encoded for Relay. Without a traceparent nothing is recorded.
func InChild(ctx context.Context, traceparent string, send func(json.RawMessage) error) context.Context {
	if traceparent == "" {
		return ctx
	}
	return under(ctx, provider(&wire{send: send}, nil, nil), traceparent)
}

// wire is the span processor of a child.
type wire struct {
	send func(json.RawMessage) error
	mu   sync.Mutex
	n    int
}

// OnStart implements sdktrace.SpanProcessor.
func (*wire) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements sdktrace.SpanProcessor.
func (w *wire) OnEnd(s sdktrace.ReadOnlySpan) {
	w.mu.Lock()
	w.n++
	full := w.n > maxWire
	w.mu.Unlock()
	if full {
		return
	}
	out := wireSpan{
		Self: format(s.SpanContext()), Parent: format(s.Parent()), Name: s.Name(), Kind: int(s.SpanKind()), Start: s.StartTime(), End: s.EndTime(),
		Attrs: toWire(s.Attributes()), Failed: s.Status().Code == codes.Error, Why: s.Status().Description,
	}
	for _, e := range s.Events() {
		out.Events = append(out.Events, wireEvent{Name: e.Name, At: e.Time, Attrs: toWire(e.Attributes)})
	}
	if raw, err := json.Marshal(out); err == nil {
		_ = w.send(raw) // an attempt that cannot send its spans has other troubles
	}
}

// Shutdown implements sdktrace.SpanProcessor.
func (*wire) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor.
func (*wire) ForceFlush(context.Context) error { return nil }

// Relay records a span of a child that works under traceparent. What names another
// trace, or makes no sense, is dropped.
func (t *Tracer) Relay(traceparent string, raw json.RawMessage) {
	if t == nil || traceparent == "" {
		return
	}
	var in wireSpan
	if err := json.Unmarshal(raw, &in); err != nil {
		return
	}
	trc := TraceID(traceparent)
	if TraceID(in.Self) != trc || TraceID(in.Parent) != trc || in.End.Before(in.Start) || in.Name == "" {
		return
	}
	r := Record{
		Parent: in.Parent, Self: in.Self, Name: clip(in.Name), Kind: trace.SpanKind(in.Kind), Start: in.Start, End: in.End,
		Attrs: fromWire(in.Attrs), Failed: in.Failed, Why: in.Why,
	}
	for _, e := range in.Events {
		r.Events = append(r.Events, Event{Name: clip(e.Name), At: e.At, Attrs: fromWire(e.Attrs)})
	}
	t.Emit(r)
}

func toWire(attrs []attribute.KeyValue) []wireAttr {
	out := make([]wireAttr, 0, min(len(attrs), maxWireAttrs))
	for _, a := range attrs[:min(len(attrs), maxWireAttrs)] {
		w := wireAttr{Key: string(a.Key)}
		switch a.Value.Type() {
		case attribute.BOOL:
			w.Bool = new(a.Value.AsBool())
		case attribute.INT64:
			w.Int = new(a.Value.AsInt64())
		case attribute.FLOAT64:
			w.Float = new(a.Value.AsFloat64())
		case attribute.STRINGSLICE:
			w.Strings = a.Value.AsStringSlice()
		default:
			w.Text = new(a.Value.String())
		}
		out = append(out, w)
	}
	return out
}

func fromWire(attrs []wireAttr) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, min(len(attrs), maxWireAttrs))
	for _, w := range attrs[:min(len(attrs), maxWireAttrs)] {
		key := attribute.Key(w.Key)
		switch {
		case w.Bool != nil:
			out = append(out, key.Bool(*w.Bool))
		case w.Int != nil:
			out = append(out, key.Int64(*w.Int))
		case w.Float != nil:
			out = append(out, key.Float64(*w.Float))
		case w.Text != nil:
			out = append(out, key.String(clip(*w.Text)))
		default:
			out = append(out, key.StringSlice(w.Strings))
		}
	}
	return out
}
