package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// JobState is what is asked of the jobs of a queue.
type JobState string

// The states that can be listed.
const (
	JobsWaiting   JobState = "waiting"   // could be taken now
	JobsScheduled JobState = "scheduled" // can be taken later
	JobsRunning   JobState = "running"   // a worker holds what it points at
)

// What a job can point at.
const (
	TargetNode     = "node_run"
	TargetDownload = "download"
)

// Target is the domain row that a job points at.
type Target struct {
	Kind           string // TargetNode or TargetDownload
	ID             int64
	FlowchartRunID *int64
	FlowchartID    *int64
	FlowchartName  string
	NodeKind       string
	Title          string // of a download the model that it brings
	Status         string
}

// Job is a job, or an attempt that came from one.
type Job struct {
	ID      int64 // River's; of a running one the attempt's
	Kind    string
	Attempt int32 // the attempt that runs, or those that there were
	Queued  time.Time
	Due     time.Time // of a running one: since when it runs
	Worker  string    // host of who runs it
	Target  *Target   // nil: the row is gone
}

// JobQuery selects jobs.
type JobQuery struct {
	Queue   string
	State   JobState
	AfterID int64     // with After: the last one of the page before; 0: the first page
	After   time.Time // its due time
	Limit   int
}

// targetJoin finds what job j points at. The job's kind says what the id is of.
const targetJoin = `LEFT JOIN node_run n ON j.kind = 'node' AND n.id = coalesce(j.args->>'id', j.args->>'node_run_id')::bigint
LEFT JOIN flowchart f ON f.id = n.flowchart_id
LEFT JOIN download_job d ON j.kind = 'download' AND d.id = (j.args->>'id')::bigint`

const targetColumns = `CASE WHEN d.id IS NULL THEN 'node_run' ELSE 'download' END, coalesce(n.id, d.id), n.flowchart_run_id, n.flowchart_id,
       coalesce(f.name, ''), coalesce(n.kind, ''), coalesce(n.title, d.repo_id, ''), coalesce(n.status, d.status, '')`

// The same of one kind.
const (
	nodeColumns     = `'node_run', n.id, n.flowchart_run_id, n.flowchart_id, coalesce(f.name, ''), n.kind, n.title, n.status`
	downloadColumns = `'download', d.id, NULL::bigint, NULL::bigint, '', '', d.repo_id, d.status`
)

const jobsSQL = `
SELECT j.id, j.kind, coalesce(n.attempt, d.attempt, j.attempt)::int, j.created_at, j.scheduled_at, '', ` + targetColumns + `
FROM (SELECT * FROM river_job WHERE queue = $1 AND state = ANY ($2::river_job_state[]) AND (scheduled_at, id) > ($3, $4)
      ORDER BY scheduled_at, id LIMIT $5) j ` + targetJoin + `
ORDER BY j.scheduled_at, j.id`

const runningSQL = `
SELECT a.id, 'node', a.number, a.queued_at, a.claimed_at, w.hostname, ` + nodeColumns + `
FROM node_attempt a JOIN node_run n ON n.id = a.node_run_id LEFT JOIN flowchart f ON f.id = n.flowchart_id
JOIN worker_process w ON w.id = a.worker_process_id
WHERE a.finished_at IS NULL AND n.queue = $1 AND (a.claimed_at, a.id) > ($2, $3)
ORDER BY a.claimed_at, a.id LIMIT $4`

// runningDownloadsSQL is the same for downloads, which are all in one queue. One was due
// when its attempt could begin.
const runningDownloadsSQL = `
SELECT a.id, 'download', a.number, d.run_after, a.claimed_at, w.hostname, ` + downloadColumns + `
FROM download_job d JOIN download_attempt a ON a.download_job_id = d.id AND a.number = d.attempt
JOIN worker_process w ON w.id = d.worker_process_id
WHERE (a.claimed_at, a.id) > ($1, $2)
ORDER BY a.claimed_at, a.id LIMIT $3`

// Jobs lists jobs of a queue, those that were due first. Errors: not_found
// (queue.not_found).
func (b *Board) Jobs(ctx context.Context, q JobQuery) ([]Job, error) {
	if err := Known(q.Queue); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	var rows pgx.Rows
	var err error
	switch q.State {
	case JobsRunning:
		if q.Queue == Downloads {
			rows, err = b.db.Query(ctx, runningDownloadsSQL, q.After, q.AfterID, q.Limit)
			break
		}
		rows, err = b.db.Query(ctx, runningSQL, q.Queue, q.After, q.AfterID, q.Limit)
	case JobsScheduled:
		rows, err = b.db.Query(ctx, jobsSQL, riverName(q.Queue), []string{"scheduled", "retryable", "pending"}, q.After, q.AfterID, q.Limit)
	default:
		rows, err = b.db.Query(ctx, jobsSQL, riverName(q.Queue), []string{"available"}, q.After, q.AfterID, q.Limit)
	}
	if err != nil {
		return nil, fmt.Errorf("list jobs of %s: %w", q.Queue, err)
	}
	jobs, err := pgx.CollectRows(rows, scanJob)
	if err != nil {
		return nil, fmt.Errorf("list jobs of %s: %w", q.Queue, err)
	}
	return jobs, nil
}

func scanJob(row pgx.CollectableRow) (Job, error) {
	var j Job
	var id *int64
	var t Target
	err := row.Scan(&j.ID, &j.Kind, &j.Attempt, &j.Queued, &j.Due, &j.Worker,
		&t.Kind, &id, &t.FlowchartRunID, &t.FlowchartID, &t.FlowchartName, &t.NodeKind, &t.Title, &t.Status)
	if id != nil {
		t.ID = *id
		j.Target = &t
	}
	return j, err
}
