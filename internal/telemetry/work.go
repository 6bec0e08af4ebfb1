package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Work counts attempts, runs and calls of models. Each is counted by the process that
// committed its end, once.
type Work struct {
	attempts   *prometheus.CounterVec
	recoveries *prometheus.CounterVec
	wait       *prometheus.HistogramVec
	duration   *prometheus.HistogramVec
	runs       *prometheus.HistogramVec
	calls      *prometheus.HistogramVec
	firstChunk *prometheus.HistogramVec
	tokens     *prometheus.HistogramVec
	models     seen
}

// NewWork adds these figures to m.
func NewWork(m *Metrics) *Work {
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(h)
		return h
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	gen := []string{"gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"}
	return &Work{
		attempts: counter("llmctl_attempts_total", "Attempts of nodes that ended, by how; lost is the death of their worker.", "kind", "executor", "status"),
		recoveries: counter("llmctl_recoveries_total", "Attempts of dead workers that were taken up, by what became of the node: requeued, failed, cancelled.",
			"kind", "outcome"),
		wait: histogram("llmctl_attempt_queue_wait_seconds", "From a node's queueing to the claim of its attempt.", waits(), "kind"),
		duration: histogram("llmctl_attempt_duration_seconds", "From the claim of an attempt to the commit of its end.", durations(),
			"kind", "executor", "status"),
		runs: histogram("llmctl_flowchart_run_duration_seconds", "From the creation of a flowchart run to its end, by status.", durations(), "status"),
		calls: histogram("gen_ai_client_operation_duration_seconds", "Calls of providers, by model; error_type is empty for those that succeeded.",
			callTimes(), append(gen, "error_type")...),
		firstChunk: histogram("gen_ai_client_operation_time_to_first_chunk_seconds", "From the start of a call to the first piece of its answer.",
			callTimes(), gen...),
		tokens: histogram("gen_ai_client_token_usage", "Tokens of a call, as the provider counted them.", tokenCounts(), append(gen, "gen_ai_token_type")...),
		models: seen{known: map[string]struct{}{}},
	}
}

// Buckets. Those of calls and tokens are the conventions'.
func waits() []float64 {
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 15, 60, 300, 1800}
}

func durations() []float64 {
	return []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}
}

func callTimes() []float64 {
	return []float64{.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
}

func tokenCounts() []float64 {
	return []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
}

// Attempt is one that ended.
type Attempt struct {
	Kind, Executor, Status string
	Wait, Took             time.Duration
	Recovered              string // of a lost one: what became of the node
}

// Attempt counts an attempt.
func (w *Work) Attempt(a Attempt) {
	w.attempts.WithLabelValues(a.Kind, a.Executor, a.Status).Inc()
	w.wait.WithLabelValues(a.Kind).Observe(seconds(a.Wait))
	w.duration.WithLabelValues(a.Kind, a.Executor, a.Status).Observe(seconds(a.Took))
	if a.Recovered != "" {
		w.recoveries.WithLabelValues(a.Kind, a.Recovered).Inc()
	}
}

// Run counts a flowchart run that ended.
func (w *Work) Run(status string, took time.Duration) {
	w.runs.WithLabelValues(status).Observe(seconds(took))
}

// Call is one of a provider.
type Call struct {
	Operation, Provider, Model, ErrorType string
	Took, FirstChunk                      time.Duration // FirstChunk 0: there was none
	InputTokens, OutputTokens             int64
}

// Call counts a call.
func (w *Work) Call(c Call) {
	model := w.models.bounded(c.Model)
	w.calls.WithLabelValues(c.Operation, c.Provider, model, c.ErrorType).Observe(seconds(c.Took))
	if c.FirstChunk > 0 {
		w.firstChunk.WithLabelValues(c.Operation, c.Provider, model).Observe(seconds(c.FirstChunk))
	}
	if c.InputTokens > 0 || c.OutputTokens > 0 {
		w.tokens.WithLabelValues(c.Operation, c.Provider, model, "input").Observe(float64(c.InputTokens))
		w.tokens.WithLabelValues(c.Operation, c.Provider, model, "output").Observe(float64(c.OutputTokens))
	}
}

// seconds is never negative: the two times may be of two machines' clocks.
func seconds(d time.Duration) float64 { return max(d, 0).Seconds() }

// maxModels bounds the values of a label that people choose.
const maxModels = 200

// seen lets the first maxModels names through; further ones are "other".
type seen struct {
	mu    sync.Mutex
	known map[string]struct{}
}

func (s *seen) bounded(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.known[name]; ok {
		return name
	}
	if len(s.known) >= maxModels {
		return "other"
	}
	s.known[name] = struct{}{}
	return name
}
