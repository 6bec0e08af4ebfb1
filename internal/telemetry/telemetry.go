// Package telemetry keeps a process's figures for Prometheus and puts those of
// several processes together. It knows names and labels, and nothing of what is
// measured; each figure is a function that app hands in. Nothing here is on a path
// that could fail a request.
package telemetry

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is one process's registry.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
}

// New makes a registry with the runtime's and the process's own figures.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "llmctl_http_request_duration_seconds", Help: "API operations by route and status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route", "status"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "llmctl_build_info", Help: "Always 1; the version is a label.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), m.requests, build)
	return m
}

// Request counts one answered operation.
func (m *Metrics) Request(method, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}

// Gauge adds a figure that goes up and down.
func (m *Metrics) Gauge(name, help string, f func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
}

// Counter adds a figure that only grows.
func (m *Metrics) Counter(name, help string, f func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f))
}

// Counters adds figures that only grow, one for each value of a label; f gives those
// that there are by now.
func (m *Metrics) Counters(name, help, label string, f func() map[string]uint64) {
	m.registry.MustRegister(&labelled{desc: prometheus.NewDesc(name, help, []string{label}, nil), values: f, kind: prometheus.CounterValue})
}

type labelled struct {
	desc   *prometheus.Desc
	values func() map[string]uint64
	kind   prometheus.ValueType
}

// Describe implements prometheus.Collector.
func (l *labelled) Describe(out chan<- *prometheus.Desc) { out <- l.desc }

// Collect implements prometheus.Collector.
func (l *labelled) Collect(out chan<- prometheus.Metric) {
	for value, n := range l.values() {
		out <- prometheus.MustNewConstMetric(l.desc, l.kind, float64(n), value)
	}
}

// Gauges adds figures that go up and down, one for each value of a label.
func (m *Metrics) Gauges(name, help, label string, f func() map[string]uint64) {
	m.registry.MustRegister(&labelled{desc: prometheus.NewDesc(name, help, []string{label}, nil), values: f, kind: prometheus.GaugeValue})
}

// Distribution is a histogram at one moment: Counts has one more member than Bounds,
// for what exceeds them all, and each counts its own bucket only.
type Distribution struct {
	Bounds []float64
	Counts []uint64
	Sum    float64
}

// Histogram adds a distribution that only grows.
func (m *Metrics) Histogram(name, help string, f func() Distribution) {
	m.registry.MustRegister(&distributed{desc: prometheus.NewDesc(name, help, nil, nil), value: f})
}

type distributed struct {
	desc  *prometheus.Desc
	value func() Distribution
}

// Describe implements prometheus.Collector.
func (d *distributed) Describe(out chan<- *prometheus.Desc) { out <- d.desc }

// Collect implements prometheus.Collector.
func (d *distributed) Collect(out chan<- prometheus.Metric) {
	v, total := d.value(), uint64(0)
	buckets := make(map[float64]uint64, len(v.Bounds))
	for i, n := range v.Counts {
		total += n
		if i < len(v.Bounds) {
			buckets[v.Bounds[i]] = total
		}
	}
	out <- prometheus.MustNewConstHistogram(d.desc, total, v.Sum, buckets)
}

// Handler serves the figures in Prometheus' text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// Gatherer gives the figures to Merge.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }
