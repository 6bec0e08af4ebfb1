package tracing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/llmctl/studio/internal/testkit/oteltest"
	"github.com/llmctl/studio/internal/tracing"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// exporter keeps spans, or fails, or hangs until its context ends.
type exporter struct {
	mu    sync.Mutex
	spans []sdktrace.ReadOnlySpan
	calls int
	err   error
	hang  bool
}

func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.mu.Lock()
	e.calls++
	e.mu.Unlock()
	if e.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.spans = append(e.spans, spans...)
	}
	return e.err
}

func (e *exporter) Shutdown(context.Context) error { return nil }

func (e *exporter) named(name string) []sdktrace.ReadOnlySpan {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []sdktrace.ReadOnlySpan
	for _, s := range e.spans {
		if s.Name() == name {
			out = append(out, s)
		}
	}
	return out
}

// running starts a tracer; stop ends it and waits.
func running(t *testing.T, o tracing.Options) (tracer *tracing.Tracer, stop func()) {
	t.Helper()
	tracer = tracing.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = tracer.Run(ctx, func() {})
	}()
	return tracer, func() {
		cancel()
		<-ended
	}
}

func TestIdsFollowFromRowsWhoeverAsks(t *testing.T) {
	t.Parallel()
	run := tracing.RunSpan(parent, 7)
	require.Equal(t, run, tracing.RunSpan(parent, 7))
	all := []string{
		parent, run, tracing.RunSpan(parent, 8), tracing.AttemptSpan(run, 7, 1), tracing.AttemptSpan(run, 7, 2), tracing.AttemptSpan(run, 8, 1), tracing.AttemptSpan(run, 7, 0),
	}
	seen := map[string]bool{}
	for _, tp := range all {
		require.False(t, seen[tp], tp)
		seen[tp] = true
		require.Equal(t, "0af7651916cd43dd8448eb211c80319c", tracing.TraceID(tp))
		require.True(t, strings.HasSuffix(tp, "-01"))
	}
	for _, none := range []string{"", "nonsense", "00-00000000000000000000000000000000-b7ad6b7169203331-01"} {
		require.Empty(t, tracing.RunSpan(none, 7))
		require.Empty(t, tracing.TraceID(none))
	}
}

func TestWhatIsOffCostsNothingAndRecordsNothing(t *testing.T) {
	t.Parallel()
	var off *tracing.Tracer
	ctx := off.Under(t.Context(), parent)
	require.Equal(t, t.Context(), ctx)
	require.Empty(t, off.Root(ctx, "x"))
	off.Emit(tracing.Record{Parent: parent, Name: "x"})
	off.Relay(parent, json.RawMessage(`{}`))
	require.Zero(t, off.Stats())
	same, span := tracing.Start(ctx, "x", trace.SpanKindInternal)
	require.Equal(t, ctx, same)
	tracing.End(span, errors.New("nobody hears it"))
	h := http.NotFoundHandler()
	require.NotNil(t, off.Middleware(nil, h))
}

func TestNothingIsAllocatedWhereNothingIsTraced(t *testing.T) { //nolint:paralleltest // counts allocations
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_, span := tracing.Start(ctx, "x", trace.SpanKindInternal)
		tracing.End(span, nil)
		_ = tracing.Parent(ctx)
	}))
}

func TestARecordHasTheIdAndTheTimesThatItSays(t *testing.T) {
	t.Parallel()
	out := &exporter{}
	tracer, stop := running(t, tracing.Options{Exporter: out})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	self := tracing.AttemptSpan(parent, 7, 2)
	tracer.Emit(tracing.Record{
		Parent: parent, Self: self, Name: "node task", Start: at, End: at.Add(time.Second), Failed: true, Why: strings.Repeat("ü", 3000),
		Events: []tracing.Event{{Name: "first_token", At: at.Add(time.Millisecond)}},
		Links:  []tracing.Link{{To: tracing.AttemptSpan(parent, 7, 1), Why: tracing.LinkEarlier}, {To: "", Why: "nothing"}},
	})
	// What is started under it, here or in another process, is its child.
	_, child := tracing.Start(tracer.Under(t.Context(), self), "chat", trace.SpanKindClient)
	child.End()
	tracer.Emit(tracing.Record{Name: "without a parent"})
	tracer.Emit(tracing.Record{Parent: strings.TrimSuffix(parent, "01") + "00", Name: "of a trace that is not recorded"})
	stop()
	s := out.named("node task")[0]
	require.Contains(t, self, s.SpanContext().SpanID().String())
	require.Equal(t, at, s.StartTime())
	require.Equal(t, at.Add(time.Second), s.EndTime())
	require.Len(t, s.Links(), 1)
	require.Equal(t, "first_token", s.Events()[0].Name)
	require.LessOrEqual(t, len(s.Status().Description), 2000)
	require.Equal(t, s.SpanContext().SpanID(), out.named("chat")[0].Parent().SpanID())
	require.Len(t, out.spans, 2)
	require.EqualValues(t, 2, tracer.Stats().Exported)
}

func TestACollectorThatHangsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracer, stop := running(t, tracing.Options{
			Exporter: &exporter{hang: true}, Batch: tracing.BatchOptions{Queue: 4, Batch: 2, Delay: time.Second, Timeout: time.Hour, Flush: 3 * time.Second},
		})
		emit := func(n int) {
			for range n {
				tracer.Emit(tracing.Record{Parent: parent, Name: "x"})
			}
		}
		emit(2)
		synctest.Wait() // an export hangs
		began := time.Now()
		emit(10)
		require.Zero(t, time.Since(began))
		require.EqualValues(t, 6, tracer.Stats().Overflow)
		stop()
		require.Equal(t, 3*time.Second, time.Since(began), "the end waits so long and no longer")
		require.EqualValues(t, 6, tracer.Stats().Failed, "each span is counted once")
	})
}

func TestAnExportThatTakesTooLongIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &exporter{hang: true}
		var log bytes.Buffer
		tracer, stop := running(t, tracing.Options{
			Exporter: out, Logger: slog.New(slog.NewJSONHandler(&log, nil)), Batch: tracing.BatchOptions{Delay: time.Second, Timeout: 10 * time.Second},
		})
		for range 5 {
			tracer.Emit(tracing.Record{Parent: parent, Name: "x"})
			<-time.After(11 * time.Second)
		}
		stop()
		require.EqualValues(t, 5, tracer.Stats().Failed)
		require.Equal(t, 1, strings.Count(log.String(), "not taken by the collector"), "once a minute")
	})
}

func TestWhatIsLeftIsSentAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &exporter{}
		tracer, stop := running(t, tracing.Options{Exporter: out, Batch: tracing.BatchOptions{Batch: 3, Delay: time.Hour}})
		for range 8 {
			tracer.Emit(tracing.Record{Parent: parent, Name: "x"})
		}
		stop()
		require.Len(t, out.spans, 8)
		require.Equal(t, 3, out.calls, "in batches")
	})
}

func TestSpansOfAChildComeOverTheWire(t *testing.T) {
	t.Parallel()
	var lines []json.RawMessage
	ctx := tracing.InChild(t.Context(), parent, func(raw json.RawMessage) error {
		lines = append(lines, raw)
		return nil
	})
	ctx, outer := tracing.Start(ctx, "execute script", trace.SpanKindInternal,
		attribute.Int("i", 1), attribute.Float64("f", 1.5), attribute.Bool("b", true), attribute.StringSlice("l", []string{"x"}), attribute.String("s", "text"))
	_, inner := tracing.Start(ctx, "chat m", trace.SpanKindClient)
	inner.AddEvent("e")
	tracing.End(inner, errors.New("refused"))
	outer.End()
	require.Len(t, lines, 2)

	out := &exporter{}
	tracer, stop := running(t, tracing.Options{Exporter: out})
	for _, raw := range lines {
		tracer.Relay(parent, raw)
	}
	tracer.Relay(tracing.RunSpan("00-ffffffffffffffffffffffffffffffff-b7ad6b7169203331-01", 1), lines[0])
	tracer.Relay(parent, json.RawMessage(`nonsense`))
	stop()
	require.Len(t, out.spans, 2, "what names another trace or cannot be read is dropped")
	got := out.named("execute script")[0]
	require.Equal(t, outer.SpanContext().SpanID(), got.SpanContext().SpanID())
	require.ElementsMatch(t, []attribute.KeyValue{
		attribute.Int("i", 1), attribute.Float64("f", 1.5), attribute.Bool("b", true), attribute.StringSlice("l", []string{"x"}), attribute.String("s", "text"),
	}, got.Attributes())
	chat := out.named("chat m")[0]
	require.Equal(t, got.SpanContext().SpanID(), chat.Parent().SpanID())
	require.Equal(t, "refused", chat.Status().Description)
	require.Equal(t, trace.SpanKindClient, chat.SpanKind())

	untraced, span := tracing.Start(tracing.InChild(t.Context(), "", nil), "x", trace.SpanKindInternal)
	require.False(t, span.IsRecording())
	require.Empty(t, tracing.Parent(untraced))
}

func TestAChildSendsABoundedNumberOfSpans(t *testing.T) {
	t.Parallel()
	n := 0
	ctx := tracing.InChild(t.Context(), parent, func(json.RawMessage) error { n++; return nil })
	for range 1000 {
		_, span := tracing.Start(ctx, "x", trace.SpanKindInternal)
		span.End()
	}
	require.Equal(t, 256, n)
}

func TestServerSpansContinueTheCallersTraceAndSayHowItEnded(t *testing.T) {
	t.Parallel()
	out := &exporter{}
	tracer, stop := running(t, tracing.Options{Exporter: out})
	h := tracer.Middleware(func(r *http.Request) bool { return r.URL.Path != "/health" }, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tracing.Route(r.Context(), "GET", "/things/{id}")
		switch r.URL.Path {
		case "/panic":
			panic("boom")
		case "/500":
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	for _, path := range []string{"/things/1", "/500", "/health", "/panic"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Header.Set("traceparent", parent)
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(httptest.NewRecorder(), r)
		}()
	}
	stop()
	spans := out.named("GET /things/{id}")
	require.Len(t, spans, 3)
	for _, s := range spans {
		require.Equal(t, "b7ad6b7169203331", s.Parent().SpanID().String())
		require.True(t, s.Parent().IsRemote())
	}
	require.Contains(t, spans[0].Attributes(), tracing.HTTPResponseStatus.Int(200))
	require.Contains(t, spans[1].Attributes(), tracing.HTTPResponseStatus.Int(500))
	require.Equal(t, "Internal Server Error", spans[1].Status().Description)
	require.Equal(t, "panic", spans[2].Status().Description)
}

func TestClientSpansSayWhereTheyWentAndPassTheTraceOn(t *testing.T) {
	t.Parallel()
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("traceparent"))
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	out := &exporter{}
	tracer, stop := running(t, tracing.Options{Exporter: out})
	client := &http.Client{Transport: tracing.Transport(&http.Transport{DisableKeepAlives: true}), Timeout: 10 * time.Second}
	ask := func(ctx context.Context, address, given string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		require.NoError(t, err)
		if given != "" {
			req.Header.Set("traceparent", given)
		}
		if res, err := client.Do(req); err == nil {
			_ = res.Body.Close()
		}
		require.Equal(t, given, req.Header.Get("traceparent"), "the caller's request is left alone")
	}
	under := tracer.Under(t.Context(), parent)
	ask(under, strings.Replace(server.URL, "http://", "http://user:secret@", 1)+"/path?key=secret", "")
	ask(under, server.URL, "given")
	ask(t.Context(), server.URL, "")
	ask(under, "http://127.0.0.1:1/", "")
	stop()
	spans := out.named("GET")
	require.Len(t, spans, 3)
	require.Contains(t, got[0], spans[0].SpanContext().SpanID().String())
	require.Equal(t, []string{"given", ""}, got[1:])
	require.Contains(t, spans[0].Attributes(), tracing.URLFull.String(server.URL+"/path"))
	require.Contains(t, spans[0].Attributes(), tracing.HTTPResponseStatus.Int(http.StatusTeapot))
	require.NotEmpty(t, spans[2].Status().Description)
}

func TestLogLinesOfATracedContextNameTheTrace(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(tracing.LogHandler(slog.NewJSONHandler(&out, nil))).With("a", 1)
	tracer := tracing.New(tracing.Options{Exporter: &exporter{}})
	log.InfoContext(tracer.Under(t.Context(), parent), "traced")
	log.InfoContext(t.Context(), "not traced")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Contains(t, lines[0], `"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331"`)
	require.NotContains(t, lines[1], "trace_id")
}

func TestTheExporterSendsWhatACollectorUnderstands(t *testing.T) {
	t.Parallel()
	collector := oteltest.New(t)
	e, err := tracing.NewOTLP(t.Context(), tracing.OTLPOptions{Endpoint: collector.URL() + "/v1/traces", Headers: "a=b%20c, d=e", Timeout: 5 * time.Second, Gzip: true})
	require.NoError(t, err)
	tracer, stop := running(t, tracing.Options{Exporter: e, Resource: []attribute.KeyValue{tracing.ServiceName.String("x")}})
	root := tracer.Root(t.Context(), "start run")
	require.NotEmpty(t, root)
	require.Equal(t, parent, tracer.Root(tracer.Under(t.Context(), parent), "not needed"))
	stop()
	spans := collector.Spans()
	require.Len(t, spans, 1)
	require.Equal(t, tracing.TraceID(root), spans[0].Trace)
	require.Equal(t, "x", spans[0].Resource["service.name"])
	_, header := collector.Requests()
	require.Equal(t, "b c", header.Get("a"))
	require.Equal(t, "gzip", header.Get("Content-Encoding"))

	for _, o := range []tracing.OTLPOptions{{Headers: "nonsense"}, {Certificate: "/not/there"}} {
		o.Endpoint = collector.URL()
		_, err := tracing.NewOTLP(t.Context(), o)
		require.Error(t, err)
	}
}

func TestASpanThatIsRefusedIsCountedAndGone(t *testing.T) {
	t.Parallel()
	collector := oteltest.New(t)
	collector.Refuse()
	e, err := tracing.NewOTLP(t.Context(), tracing.OTLPOptions{Endpoint: collector.URL() + "/v1/traces", Timeout: 5 * time.Second})
	require.NoError(t, err)
	tracer, stop := running(t, tracing.Options{Exporter: e})
	tracer.Emit(tracing.Record{Parent: parent, Name: "x"})
	stop()
	require.EqualValues(t, 1, tracer.Stats().Failed)
}

func TestSamplersOfTheSpecification(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"": true, "always_on": true, "always_off": false, "parentbased_always_on": true, "parentbased_always_off": false, "traceidratio": false, "parentbased_traceidratio": false,
	} {
		s, ok := tracing.ParseSampler(name, 0)
		require.True(t, ok, name)
		tracer := tracing.New(tracing.Options{Exporter: &exporter{}, Sampler: s})
		require.Equal(t, want, tracer.Root(t.Context(), "x") != "", name)
	}
	_, ok := tracing.ParseSampler("jaeger_remote", 0)
	require.False(t, ok)
}

func BenchmarkStartWhenOff(b *testing.B) {
	ctx := b.Context()
	for b.Loop() {
		_, span := tracing.Start(ctx, "x", trace.SpanKindInternal)
		tracing.End(span, nil)
	}
}

func BenchmarkStartWhenOn(b *testing.B) {
	tracer := tracing.New(tracing.Options{Exporter: &exporter{}, Batch: tracing.BatchOptions{Queue: 1}})
	ctx := tracer.Under(b.Context(), parent)
	for b.Loop() {
		_, span := tracing.Start(ctx, "x", trace.SpanKindInternal, tracing.NodeRunID.Int64(1))
		tracing.End(span, nil)
	}
}

func BenchmarkEmit(b *testing.B) {
	tracer := tracing.New(tracing.Options{Exporter: &exporter{}, Batch: tracing.BatchOptions{Queue: 1}})
	self, at := tracing.AttemptSpan(parent, 1, 1), time.Now()
	for b.Loop() {
		tracer.Emit(tracing.Record{Parent: parent, Self: self, Name: "node task", Start: at, End: at, Attrs: []attribute.KeyValue{tracing.NodeRunID.Int64(1), tracing.NodeKind.String("task")}})
	}
}
