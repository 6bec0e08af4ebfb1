package telemetry

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// CounterPairs is Counters with two labels; the keys that f gives are their values with
// a space between.
func (m *Metrics) CounterPairs(name, help, first, second string, f func() map[string]uint64) {
	m.registry.MustRegister(&pairs{desc: prometheus.NewDesc(name, help, []string{first, second}, nil), values: f})
}

type pairs struct {
	desc   *prometheus.Desc
	values func() map[string]uint64
}

// Describe implements prometheus.Collector.
func (p *pairs) Describe(out chan<- *prometheus.Desc) { out <- p.desc }

// Collect implements prometheus.Collector.
func (p *pairs) Collect(out chan<- prometheus.Metric) {
	for key, n := range p.values() {
		one, other, _ := strings.Cut(key, " ")
		out <- prometheus.MustNewConstMetric(p.desc, prometheus.CounterValue, float64(n), one, other)
	}
}
