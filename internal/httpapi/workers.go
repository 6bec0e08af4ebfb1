package httpapi

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

type workerView struct {
	ID        string    `json:"id"`
	Hostname  string    `json:"hostname"`
	PID       int       `json:"pid"`
	Version   string    `json:"version"`
	Slots     int       `json:"slots"`
	Queues    []string  `json:"queues"`
	Busy      int       `json:"busy"`
	BeatAt    time.Time `json:"beat_at"`
	StartedAt time.Time `json:"started_at"`
}

func (s *server) listWorkers(ctx context.Context, _ *struct{}) (*pageOutput[workerView], error) {
	rows, err := s.deps.DB.Query(ctx, `
		SELECT w.id::text, w.hostname, w.pid, w.version, w.slots, w.queues,
		       (SELECT count(*) FROM node_attempt a WHERE a.worker_process_id = w.id AND a.finished_at IS NULL)::int,
		       w.beat_at, w.started_at
		FROM worker_process w WHERE w.stopped_at IS NULL AND w.tombstone_at IS NULL ORDER BY w.started_at LIMIT 200`)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	items, err := pgx.CollectRows(rows, pgx.RowToStructByPos[workerView])
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	return &pageOutput[workerView]{Body: page[workerView]{Items: items}}, nil
}
