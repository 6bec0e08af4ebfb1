package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"riverqueue.com/riverui"

	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/telemetry"
)

// riverConsole is River's own page. It counts jobs in the background, for its menu,
// when there are so many that counting takes long.
type riverConsole struct{ ui *riverui.Handler }

func newRiverConsole(s *studio) (*riverConsole, error) {
	ui, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(s.queue.River(), nil), Logger: quieter(s.log), Prefix: s.cfg.Proxy.APIPrefix + "/river",
	})
	if err != nil {
		return nil, fmt.Errorf("make River's page: %w", err)
	}
	return &riverConsole{ui: ui}, nil
}

// quieter leaves out what River's page says of each request: the access log has it.
func quieter(log *slog.Logger) *slog.Logger { return slog.New(warnings{log.Handler()}) }

type warnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

func (c *riverConsole) handler() http.Handler {
	if c == nil {
		return nil
	}
	return c.ui
}

// Name names the service.
func (*riverConsole) Name() string { return "River's page" }

// Run keeps its counts until ctx ends.
func (c *riverConsole) Run(ctx context.Context, ready func()) error {
	if err := c.ui.Start(ctx); err != nil {
		return fmt.Errorf("start River's page: %w", err)
	}
	ready()
	<-ctx.Done()
	return nil
}

// measureQueues adds the figures of queues and workers, all from the query that the
// page is shown with. They are those of the whole installation: each process tells
// the same.
func (s *studio) measureQueues(m *telemetry.Metrics) {
	by := func(name, help string, f func(at time.Time, q *queue.Stats) float64) {
		m.Figures(name, help, "queue", func() map[string]float64 {
			seen, ok := s.queueFigures()
			if !ok {
				return nil
			}
			out := make(map[string]float64, len(seen.Queues))
			for i := range seen.Queues {
				out[seen.Queues[i].Name] = f(seen.At, &seen.Queues[i])
			}
			return out
		})
	}
	by("llmctl_queue_waiting", "Jobs that could be taken now.", func(_ time.Time, q *queue.Stats) float64 { return float64(q.Waiting) })
	by("llmctl_queue_scheduled", "Jobs that can be taken later.", func(_ time.Time, q *queue.Stats) float64 { return float64(q.Scheduled) })
	by("llmctl_queue_running", "Attempts that a worker holds.", func(_ time.Time, q *queue.Stats) float64 { return float64(q.Running) })
	by("llmctl_queue_dead", "What failed for good or could not be worked, at most 1000 of each.", func(_ time.Time, q *queue.Stats) float64 { return float64(q.Dead) })
	by("llmctl_queue_oldest_seconds", "For how long the oldest job could have been taken.", func(at time.Time, q *queue.Stats) float64 {
		if q.WaitingSince == nil {
			return 0
		}
		return max(at.Sub(*q.WaitingSince).Seconds(), 0)
	})
	by("llmctl_queue_consumers", "Live workers that take from the queue.", func(_ time.Time, q *queue.Stats) float64 { return float64(q.Consumers) })
	by("llmctl_queue_paused", "1 while the queue is paused.", func(_ time.Time, q *queue.Stats) float64 {
		if q.PausedAt != nil {
			return 1
		}
		return 0
	})
	m.Figures("llmctl_worker_slots", "Slots of all live workers.", "state", func() map[string]float64 {
		seen, ok := s.queueFigures()
		if !ok {
			return nil
		}
		total, busy := seen.Slots()
		return map[string]float64{"busy": float64(busy), "free": float64(max(total-busy, 0))}
	})
	m.Figures("llmctl_workers", "Worker processes, those included that ended within the last hour.", "state", func() map[string]float64 {
		seen, ok := s.queueFigures()
		if !ok {
			return nil
		}
		out := map[string]float64{}
		for _, state := range queue.States() {
			out[string(state)] = 0
		}
		for i := range seen.Workers {
			out[string(seen.Workers[i].State)]++
		}
		return out
	})
}

// queueFigures gives what is known; a database that does not answer leaves the figures
// out rather than failing the others.
func (s *studio) queueFigures() (queue.Snapshot, bool) {
	seen, err := s.board.Snapshot(context.Background())
	return seen, err == nil
}
