package queue

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// State is what a worker is, as others see it.
type State string

// The states. Of those that hold at once, the first one is told.
const (
	StateStopped  State = "stopped"  // ended on purpose
	StateDead     State = "dead"     // declared dead
	StateSuspect  State = "suspect"  // its last beat is so old that it starts nothing itself
	StateDraining State = "draining" // takes nothing new
	StateBusy     State = "busy"     // holds as much as it has slots
	StateReady    State = "ready"
)

// States lists the states.
func States() []State {
	return []State{StateReady, StateBusy, StateDraining, StateSuspect, StateDead, StateStopped}
}

// Worker is a worker process, live or ended within the last hour.
type Worker struct {
	ID          uuid.UUID
	Hostname    string
	PID         int
	Version     string
	Slots       int
	Queues      []string
	BeatAt      time.Time
	StartedAt   time.Time
	StoppedAt   *time.Time
	TombstoneAt *time.Time
	DrainingAt  *time.Time
	DrainingBy  string // an address
	RSSBytes    *int64 // nil: not known
	CPUCores    *float32
	Goroutines  *int32
	Held        []Holding
	State       State
}

// Holding is what runs in a slot.
type Holding struct {
	Kind           string // what it is: TargetNode or TargetDownload
	ID             int64
	Attempt        int32
	Queue          string
	FlowchartRunID *int64
	FlowchartID    *int64
	FlowchartName  string
	NodeKind       string
	Title          string // of a download the model that it brings
	Status         string
	Stage          string // of a download its state
	Executor       string
	Since          time.Time
}

// Live tells that a worker has not ended.
func (w *Worker) Live() bool { return w.StoppedAt == nil && w.TombstoneAt == nil }

func (w *Worker) state(at time.Time) State {
	switch {
	case w.TombstoneAt != nil:
		return StateDead
	case w.StoppedAt != nil:
		return StateStopped
	case at.Sub(w.BeatAt) > freshFor:
		return StateSuspect
	case w.DrainingAt != nil:
		return StateDraining
	case len(w.Held) >= w.Slots:
		return StateBusy
	}
	return StateReady
}

const (
	maxHeld = 5_000
)

// workersSQL lists all live workers and those that ended lately. Rows of an import have
// no slots and are no workers.
const workersSQL = `
SELECT w.id, w.hostname, w.pid, w.version, w.slots, w.queues, w.beat_at, w.started_at, w.stopped_at, w.tombstone_at, w.draining_at,
       coalesce(u.email, ''), w.rss_bytes, w.cpu_cores, w.goroutines
FROM worker_process w LEFT JOIN app_user u ON u.id = w.draining_by
WHERE w.slots > 0 AND coalesce(w.tombstone_at, w.stopped_at, 'infinity') > now() - interval '1 hour'
ORDER BY coalesce(w.tombstone_at, w.stopped_at) DESC NULLS FIRST, w.started_at, w.id LIMIT 1000`

func scanWorker(row pgx.CollectableRow) (Worker, error) {
	var w Worker
	err := row.Scan(&w.ID, &w.Hostname, &w.PID, &w.Version, &w.Slots, &w.Queues, &w.BeatAt, &w.StartedAt, &w.StoppedAt, &w.TombstoneAt,
		&w.DrainingAt, &w.DrainingBy, &w.RSSBytes, &w.CPUCores, &w.Goroutines)
	return w, err
}

// heldSQL lists what workers hold. Each kind of work is a part of its own, with the same
// columns.
const heldSQL = `
SELECT a.worker_process_id, 'node_run', n.id, a.number, n.queue, n.flowchart_run_id, n.flowchart_id, coalesce(f.name, ''), n.kind, n.title,
       a.status, coalesce(n.current_stage, ''), a.executor, a.claimed_at
FROM node_attempt a JOIN node_run n ON n.id = a.node_run_id LEFT JOIN flowchart f ON f.id = n.flowchart_id
WHERE a.finished_at IS NULL
UNION ALL
SELECT d.worker_process_id, 'download', d.id, d.attempt, $2, NULL, NULL, '', '', d.repo_id,
       CASE d.status WHEN 'cancelling' THEN 'cancelling' ELSE 'running' END, d.status, '', a.claimed_at
FROM download_job d JOIN download_attempt a ON a.download_job_id = d.id AND a.number = d.attempt
WHERE d.worker_process_id IS NOT NULL
ORDER BY 14, 3 LIMIT $1`

func (s *Snapshot) addHeld(rows pgx.Rows) error {
	byID := make(map[uuid.UUID]*Worker, len(s.Workers))
	for i := range s.Workers {
		byID[s.Workers[i].ID] = &s.Workers[i]
	}
	for rows.Next() {
		var worker uuid.UUID
		var h Holding
		if err := rows.Scan(&worker, &h.Kind, &h.ID, &h.Attempt, &h.Queue, &h.FlowchartRunID, &h.FlowchartID, &h.FlowchartName, &h.NodeKind,
			&h.Title, &h.Status, &h.Stage, &h.Executor, &h.Since); err != nil {
			return fmt.Errorf("read what is held: %w", err)
		}
		if q := s.queue(h.Queue); q != nil {
			q.Running++
		}
		if w := byID[worker]; w != nil {
			w.Held = append(w.Held, h)
		}
	}
	return rows.Err()
}
