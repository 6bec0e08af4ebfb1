package tracing

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/telemetry"
	"github.com/llmctl/studio/internal/testkit/llmtest"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// figures are what a process says of itself.
type figures map[string]*dto.MetricFamily

func scrape(t *testing.T, address string) figures {
	t.Helper()
	status, _, raw, err := request(t.Context(), "GET", "http://"+address+"/metrics", nil, http.Header{})
	require.NoError(t, err)
	require.Equal(t, 200, status)
	families, err := telemetry.Parse(strings.NewReader(string(raw))).Gather()
	require.NoError(t, err)
	out := figures{}
	for _, f := range families {
		out[f.GetName()] = f
	}
	return out
}

// sum adds the counters and gauges, or the counts of the histograms, of a family that
// have the given labels.
func (f figures) sum(name string, labels ...string) int {
	var total float64
	for _, m := range f[name].GetMetric() {
		if !has(m, labels) {
			continue
		}
		total += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return int(total)
}

func has(m *dto.Metric, labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		if !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == labels[i] && l.GetValue() == labels[i+1] }) {
			return false
		}
	}
	return true
}

func TestFiguresOfARunAreInTheScrapeOfWhoDidTheWork(t *testing.T) {
	t.Parallel()
	llm := llmtest.New(t)
	llm.On("", llmtest.Reply{Status: 500}, llmtest.Reply{Text: "one two three", Input: 7, Output: 3})
	s := newStack(t, nil, nil)
	worker := s.start("worker")
	f := s.flowchart("Any", [3]any{"ask", "task", map[string]any{
		"prompt": "x", "model_id": s.model(llm.OpenAIURL()), "retry": map[string]any{"max_attempts": 2, "backoff_seconds": 0.05},
	}}, [3]any{"shell", "script", map[string]any{"script": "true", "shell": "sh"}})
	s.await(s.run(f).Run.ID, "succeeded")
	w := scrape(t, worker.metrics)
	require.Equal(t, 1, w.sum("llmctl_attempts_total", "kind", "task", "executor", "inline", "status", "failed"))
	require.Equal(t, 1, w.sum("llmctl_attempts_total", "kind", "task", "executor", "inline", "status", "succeeded"))
	require.Equal(t, 1, w.sum("llmctl_attempts_total", "kind", "script", "executor", "process", "status", "succeeded"))
	require.Equal(t, 3, w.sum("llmctl_attempt_queue_wait_seconds"))
	require.Equal(t, 3, w.sum("llmctl_attempt_duration_seconds"))
	require.Equal(t, 1, w.sum("llmctl_flowchart_run_duration_seconds", "status", "succeeded"))
	require.Equal(t, 1, w.sum("gen_ai_client_operation_duration_seconds", "gen_ai_request_model", "scripted-model", "error_type", "unavailable"))
	require.Equal(t, 1, w.sum("gen_ai_client_operation_duration_seconds", "gen_ai_provider_name", "openai", "error_type", ""))
	require.Equal(t, 1, w.sum("gen_ai_client_operation_time_to_first_chunk_seconds"))
	for _, m := range w["gen_ai_client_token_usage"].GetMetric() {
		if has(m, []string{"gen_ai_token_type", "input"}) {
			require.InDelta(t, 7, m.GetHistogram().GetSampleSum(), 0)
		}
	}
	web := scrape(t, s.metrics)
	require.Positive(t, web.sum("llmctl_http_request_duration_seconds", "route", "/api/flowcharts/{id}/runs", "status", "202"))
	require.Positive(t, web.sum("llmctl_db_acquires_total", "worker", "1")+web.sum("llmctl_db_acquires_total", "worker", "2"), "one document for all web workers")
}

// namesIn are the metrics that a text mentions, as families: what a histogram is
// asked for by its parts is the histogram.
func namesIn(text string) []string {
	found := map[string]bool{}
	for _, name := range regexp.MustCompile(`\b(?:llmctl|gen_ai)_[a-z_]+\b`).FindAllString(text, -1) {
		found[name] = true
	}
	out := make([]string, 0, len(found))
	for name := range found {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// TestEveryMetricOfTheDashboardIsInAScrape works the program a little, so that figures
// with labels are there, and looks for each that a panel asks for.
func TestEveryMetricOfTheDashboardIsInAScrape(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/grafana/llmctl-studio.json")
	require.NoError(t, err)
	var dashboard struct {
		UID    string `json:"uid"`
		Panels []struct {
			Title   string `json:"title"`
			Type    string `json:"type"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	require.NoError(t, json.Unmarshal(raw, &dashboard))
	require.NotEmpty(t, dashboard.UID)

	llm := llmtest.New(t)
	llm.On("", llmtest.Reply{Text: "done"})
	s := newStack(t, nil, nil)
	worker := s.start("worker")
	f := s.flowchart("Any", [3]any{"ask", "task", map[string]any{"prompt": "x", "model_id": s.model(llm.OpenAIURL())}})
	s.await(s.run(f).Run.ID, "succeeded")
	there := scrape(t, worker.metrics)
	maps.Copy(there, scrape(t, s.metrics))
	labels := namesOfLabels(there)
	panels := 0
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			continue
		}
		panels++
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			names := slices.DeleteFunc(namesIn(target.Expr), func(n string) bool { return labels[n] })
			require.NotEmpty(t, names, "%s: %s", p.Title, target.Expr)
			for _, name := range names {
				require.True(t, known(there, name), "%s asks for %s, which no process has", p.Title, name)
			}
		}
	}
	require.Greater(t, panels, 10)
}

// known also takes families that have no sample yet: nothing was lost, nobody is
// connected. Their names stand in the documentation, which a test holds against the
// registry.
func known(there figures, name string) bool {
	for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && there[base] != nil {
			return true
		}
	}
	raw, err := os.ReadFile("../../docs/operations/observability.md")
	return err == nil && strings.Contains(string(raw), "| `"+name+"` |")
}

func namesOfLabels(there figures) map[string]bool {
	out := map[string]bool{}
	for _, f := range there {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				out[l.GetName()] = true
			}
		}
	}
	return out
}
