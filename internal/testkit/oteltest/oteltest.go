// Package oteltest is an OTLP/HTTP collector for tests: it decodes what it is sent
// and keeps the spans. It can also hang, and refuse.
package oteltest

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one that the collector was sent.
type Span struct {
	Trace, ID, Parent string // in hex; Parent "" of a root
	Name              string
	Kind              string // INTERNAL, SERVER, CLIENT, CONSUMER, …
	Start, End        time.Time
	Attrs             map[string]any
	Resource          map[string]any
	Events            []string
	Links             []Link
	Failed            bool
	Why               string
}

// Link points from a span at another one.
type Link struct {
	Trace, Span string
	Attrs       map[string]any
}

// Collector takes spans on URL.
type Collector struct {
	http *httptest.Server
	mode atomic.Int32
	hang chan struct{}

	mu       sync.Mutex
	spans    []Span
	requests int
	headers  http.Header
	changed  chan struct{} // closed and replaced at each arrival
}

// The ways to behave.
const (
	takes int32 = iota
	hangs
	refuses
)

// New starts a collector that takes everything.
func New(tb testing.TB) *Collector {
	tb.Helper()
	c := &Collector{changed: make(chan struct{}), hang: make(chan struct{})}
	c.http = httptest.NewServer(http.HandlerFunc(c.serve))
	tb.Cleanup(func() {
		close(c.hang)
		c.http.Close()
	})
	return c
}

// URL is what OTEL_EXPORTER_OTLP_ENDPOINT is to be.
func (c *Collector) URL() string { return c.http.URL }

// Hang makes it accept connections and answer nothing.
func (c *Collector) Hang() { c.mode.Store(hangs) }

// Refuse makes it answer 400.
func (c *Collector) Refuse() { c.mode.Store(refuses) }

func (c *Collector) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.requests++
	c.headers = r.Header.Clone()
	c.notify()
	c.mu.Unlock()
	switch {
	case c.mode.Load() == hangs:
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-c.hang:
		case <-r.Context().Done():
		}
		return
	case c.mode.Load() == refuses, r.URL.Path != "/v1/traces", r.Header.Get("Content-Type") != "application/x-protobuf":
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var in collector.ExportTraceServiceRequest
	raw, err := read(r)
	if err != nil || proto.Unmarshal(raw, &in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	for _, rs := range in.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				c.spans = append(c.spans, spanOf(s, attrs(rs.Resource.GetAttributes())))
			}
		}
	}
	c.notify()
	c.mu.Unlock()
	out, _ := proto.Marshal(&collector.ExportTraceServiceResponse{})
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(out)
}

func (c *Collector) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func read(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// Requests is how many exports have begun, and the headers of the latest.
func (c *Collector) Requests() (int, http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests, c.headers
}

// Spans are those that came, in order.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Await waits until cond holds for the spans that came.
func (c *Collector) Await(tb testing.TB, what string, cond func([]Span) bool) []Span {
	tb.Helper()
	deadline := time.NewTimer(60 * time.Second)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		changed, spans := c.changed, slices.Clone(c.spans)
		c.mu.Unlock()
		if cond(spans) {
			return spans
		}
		select {
		case <-changed:
		case <-deadline.C:
			require.FailNow(tb, "the spans did not come: "+what, Tree(spans))
		}
	}
}

// AwaitRequest waits for an export to begin.
func (c *Collector) AwaitRequest(tb testing.TB, n int) {
	tb.Helper()
	c.Await(tb, "an export", func([]Span) bool { return c.requests0() >= n })
}

func (c *Collector) requests0() int {
	n, _ := c.Requests()
	return n
}

// Of gives the spans of one trace.
func Of(spans []Span, trace string) []Span {
	return slices.DeleteFunc(slices.Clone(spans), func(s Span) bool { return s.Trace != trace })
}

// Named gives the spans of a name.
func Named(spans []Span, name string) []Span {
	return slices.DeleteFunc(slices.Clone(spans), func(s Span) bool { return s.Name != name })
}

// Orphans are the spans whose parent is not among them and is not outside.
func Orphans(spans []Span, outside string) []Span {
	known := map[string]bool{outside: true, "": true}
	for _, s := range spans {
		known[s.ID] = true
	}
	return slices.DeleteFunc(slices.Clone(spans), func(s Span) bool { return known[s.Parent] })
}

// Tree draws spans for people who read a failed test.
func Tree(spans []Span) string {
	var b strings.Builder
	known := map[string]bool{}
	for _, s := range spans {
		known[s.ID] = true
	}
	var draw func(parent string, depth int)
	draw = func(parent string, depth int) {
		for _, s := range spans {
			root := depth == 0 && !known[s.Parent]
			if root || depth > 0 && s.Parent == parent {
				fmt.Fprintf(&b, "%s%s [%s] %s under %q failed=%v %v\n", strings.Repeat("  ", depth), s.Name, s.Kind, s.ID, s.Parent, s.Failed, s.Attrs)
				draw(s.ID, depth+1)
			}
		}
	}
	draw("", 0)
	return b.String()
}

func spanOf(s *otlp.Span, resource map[string]any) Span {
	out := Span{
		Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId), Name: s.Name,
		Kind: strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"), Start: time.Unix(0, int64(s.StartTimeUnixNano)), End: time.Unix(0, int64(s.EndTimeUnixNano)),
		Attrs: attrs(s.Attributes), Resource: resource, Failed: s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR, Why: s.Status.GetMessage(),
	}
	for _, e := range s.Events {
		out.Events = append(out.Events, e.Name)
	}
	for _, l := range s.Links {
		out.Links = append(out.Links, Link{Trace: hex.EncodeToString(l.TraceId), Span: hex.EncodeToString(l.SpanId), Attrs: attrs(l.Attributes)})
	}
	return out
}

func attrs(in []*common.KeyValue) map[string]any {
	out := make(map[string]any, len(in))
	for _, kv := range in {
		out[kv.Key] = value(kv.Value)
	}
	return out
}

func value(v *common.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return v.IntValue
	case *common.AnyValue_DoubleValue:
		return v.DoubleValue
	case *common.AnyValue_BoolValue:
		return v.BoolValue
	case *common.AnyValue_ArrayValue:
		out := make([]any, len(v.ArrayValue.GetValues()))
		for i, item := range v.ArrayValue.GetValues() {
			out[i] = value(item)
		}
		return out
	}
	return nil
}
