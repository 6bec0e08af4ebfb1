package app

import (
	"maps"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/telemetry"
)

// beatFigures counts what this process's scheduler did.
type beatFigures struct {
	mu       sync.Mutex
	outcomes map[string]uint64
	late     telemetry.Distribution
}

func (f *beatFigures) init() {
	f.outcomes = map[string]uint64{}
	f.late = telemetry.Distribution{Bounds: []float64{0.5, 1, 2, 5, 15, 60, 600, 3600}}
	f.late.Counts = make([]uint64, len(f.late.Bounds)+1)
}

// fired notes a firing; late is how long after its due time it was, jitter
// included.
func (f *beatFigures) fired(outcome string, late time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outcomes[outcome]++
	i := 0
	for i < len(f.late.Bounds) && late.Seconds() > f.late.Bounds[i] {
		i++
	}
	f.late.Counts[i]++
	f.late.Sum += late.Seconds()
}

func (f *beatFigures) measure(m *telemetry.Metrics) {
	m.Counters("llmctl_schedule_firings_total", "Firings of schedules that this process wrote.", "outcome", func() map[string]uint64 {
		f.mu.Lock()
		defer f.mu.Unlock()
		return maps.Clone(f.outcomes)
	})
	m.Histogram("llmctl_schedule_lateness_seconds", "From a due time to its firing, jitter included.", func() telemetry.Distribution {
		f.mu.Lock()
		defer f.mu.Unlock()
		return telemetry.Distribution{Bounds: f.late.Bounds, Counts: append([]uint64(nil), f.late.Counts...), Sum: f.late.Sum}
	})
}
