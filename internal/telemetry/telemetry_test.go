package telemetry_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/telemetry"
)

func scrape(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code)
	return w.Body.String()
}

func TestFiguresOfSeveralProcessesBecomeOneDocument(t *testing.T) {
	t.Parallel()
	texts := map[string]string{}
	for worker, n := range map[string]float64{"1": 3, "2": 5} {
		m := telemetry.New("v1")
		m.Gauge("llmctl_connections", "Open connections.", func() float64 { return n })
		m.Counters("llmctl_closed_total", "Ends by reason.", "reason", func() map[string]uint64 { return map[string]uint64{"slow": uint64(n)} })
		m.Gauges("llmctl_depth", "Sessions by depth.", "frames", func() map[string]uint64 { return map[string]uint64{"0": uint64(n)} })
		m.Histogram("llmctl_latency_seconds", "How late.", func() telemetry.Distribution {
			return telemetry.Distribution{Bounds: []float64{.5, 1}, Counts: []uint64{2, 1, 4}, Sum: n}
		})
		m.CounterPairs("llmctl_asked_total", "Requests.", "verb", "code", func() map[string]uint64 { return map[string]uint64{"create 201": uint64(n)} })
		m.Request("GET", "/api/flowcharts/{id}", 200, 3*time.Millisecond)
		texts[worker] = scrape(t, m)
	}
	parts := map[string]prometheus.Gatherer{"master": telemetry.New("v1").Gatherer()}
	for worker, text := range texts {
		parts[worker] = telemetry.Parse(strings.NewReader(text))
	}
	var out bytes.Buffer
	require.NoError(t, telemetry.Merge(&out, "worker", parts))
	text := out.String()
	require.Contains(t, text, `llmctl_connections{worker="1"} 3`)
	require.Contains(t, text, `llmctl_connections{worker="2"} 5`)
	require.Contains(t, text, `llmctl_asked_total{code="201",verb="create",worker="2"} 5`)
	require.Contains(t, text, `llmctl_closed_total{reason="slow",worker="2"} 5`)
	require.Contains(t, text, `llmctl_http_request_duration_seconds_count{method="GET",route="/api/flowcharts/{id}",status="200",worker="1"} 1`)
	require.Contains(t, text, `llmctl_depth{frames="0",worker="2"} 5`)
	require.Contains(t, text, `llmctl_latency_seconds_bucket{worker="1",le="0.5"} 2`)
	require.Contains(t, text, `llmctl_latency_seconds_bucket{worker="1",le="1"} 3`)
	require.Contains(t, text, `llmctl_latency_seconds_bucket{worker="1",le="+Inf"} 7`)
	require.Contains(t, text, `llmctl_latency_seconds_sum{worker="2"} 5`)
	require.Contains(t, text, `llmctl_build_info{version="v1",worker="master"} 1`)
	require.Equal(t, 1, strings.Count(text, "# TYPE llmctl_connections gauge"), "one family, whatever the number of processes")

	again, err := telemetry.Parse(strings.NewReader(text)).Gather()
	require.NoError(t, err, "what was written can be read")
	require.NotEmpty(t, again)
}

func TestAProcessThatCannotBeReadLeavesTheOthers(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := telemetry.Merge(&out, "worker", map[string]prometheus.Gatherer{
		"1": telemetry.Parse(strings.NewReader("{{{ not figures\n")), "2": telemetry.Parse(strings.NewReader("# TYPE x gauge\nx 1\n")),
	})
	require.ErrorContains(t, err, "1: ")
	require.Contains(t, out.String(), `x{worker="2"} 1`)
}

func TestFamiliesAreListedBeforeTheyHaveASample(t *testing.T) {
	t.Parallel()
	m := telemetry.New("v1")
	telemetry.NewWork(m)
	m.Gauges("llmctl_depth", "Sessions, by \"depth\", {so to say}.", "frames", func() map[string]uint64 { return nil })
	byName := map[string]telemetry.Family{}
	for _, f := range m.Families() {
		byName[f.Name] = f
	}
	require.Equal(t, telemetry.Family{Name: "llmctl_depth", Help: "Sessions, by \"depth\", {so to say}.", Labels: []string{"frames"}}, byName["llmctl_depth"])
	require.Equal(t, []string{"kind", "executor", "status"}, byName["llmctl_attempts_total"].Labels)
	require.Equal(t, []string{"version"}, byName["llmctl_build_info"].Labels)
	require.NotContains(t, byName, "go_goroutines")
}

func TestNamesThatPeopleChooseAreBounded(t *testing.T) {
	t.Parallel()
	m := telemetry.New("v1")
	w := telemetry.NewWork(m)
	for i := range 300 {
		w.Call(telemetry.Call{Operation: "chat", Provider: "openai", Model: strings.Repeat("m", i+1), Took: time.Second, InputTokens: 1, OutputTokens: 1})
	}
	text := scrape(t, m)
	require.Equal(t, 201, strings.Count(text, "gen_ai_client_operation_duration_seconds_count{"))
	require.Contains(t, text, `gen_ai_client_operation_duration_seconds_count{error_type="",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="other"} 100`)
}

func TestClocksThatDisagreeMakeNoNegativeTimes(t *testing.T) {
	t.Parallel()
	m := telemetry.New("v1")
	telemetry.NewWork(m).Attempt(telemetry.Attempt{Kind: "task", Executor: "inline", Status: "lost", Wait: -time.Second, Took: time.Second, Recovered: "requeued"})
	text := scrape(t, m)
	require.Contains(t, text, `llmctl_attempt_queue_wait_seconds_sum{kind="task"} 0`)
	require.Contains(t, text, `llmctl_recoveries_total{kind="task",outcome="requeued"} 1`)
}
