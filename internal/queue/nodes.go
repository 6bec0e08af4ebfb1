package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

// InsertNodes enqueues pointers to node runs. Implements run.Jobs.
func (c *Client) InsertNodes(ctx context.Context, tx *postgres.Tx, jobs []run.Job) error {
	pointers := make([]Pointer, len(jobs))
	for i, j := range jobs {
		pointers[i] = Pointer{Kind: KindNode, ID: j.NodeRunID, Queue: j.Queue, At: j.At}
	}
	return c.Insert(ctx, tx, pointers)
}

// cancelGrace is how long the holder of an attempt may take to confirm a cancel.
const cancelGrace = 30.0

// RunEngine is what a sweep does for runs.
type RunEngine interface {
	Recover(ctx context.Context) (int, error)
	ExpireRuns(ctx context.Context) error
	ForceCancels(ctx context.Context, graceSeconds float64) error
}

// Nodes is the domain of the node runs.
type Nodes struct {
	db     *postgres.DB
	engine RunEngine
}

// NewNodes makes the domain of the engine's node runs.
func NewNodes(db *postgres.DB, engine RunEngine) *Nodes { return &Nodes{db: db, engine: engine} }

// Recover takes up the attempts of dead workers, fails the runs whose time is over
// and ends the cancelled attempts that nobody confirmed.
func (n *Nodes) Recover(ctx context.Context) (int, error) {
	lost, err := n.engine.Recover(ctx)
	return lost, errors.Join(err, n.engine.ExpireRuns(ctx), n.engine.ForceCancels(ctx, cancelGrace))
}

// dueNodesSQL leaves out what has a job before it counts to the limit: many that
// wait in line must not hide one whose job was lost. Attempts in pods whose holder is
// gone, or let go of them, need a job as well: it gives them a new holder.
const dueNodesSQL = `
SELECT kind, id, queue FROM (
SELECT 'node' AS kind, n.id, n.queue, n.run_after FROM node_run n
WHERE n.finished_at IS NULL AND n.status = 'queued' AND n.run_after < now() - interval '5 seconds'
  AND NOT EXISTS (SELECT FROM river_job j WHERE j.kind = 'node' AND ` + jobComes + ` AND ` + jobTarget + ` = n.id::text)
UNION ALL
SELECT 'node', n.id, n.queue, n.run_after
FROM node_attempt a JOIN node_run n ON n.id = a.node_run_id JOIN worker_process w ON w.id = a.worker_process_id
WHERE a.finished_at IS NULL AND a.executor = 'kubernetes'
  AND (a.let_go_at IS NOT NULL OR w.tombstone_at IS NOT NULL OR w.stopped_at IS NOT NULL)
  AND NOT EXISTS (SELECT FROM river_job j WHERE j.kind = 'node' AND ` + jobComes + ` AND ` + jobTarget + ` = n.id::text)
) due ORDER BY run_after LIMIT $1`

// Due lists the node runs that are due, but have no job that is going to happen:
// it was lost with a dead worker, or came before the row's time; and those that run in
// pods, and that no live worker holds.
func (n *Nodes) Due(ctx context.Context) ([]Pointer, error) {
	var due []Pointer
	err := n.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		rows, err := joinJobs(ctx, tx, dueNodesSQL, dueBatch)
		if err != nil {
			return err
		}
		due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Pointer, error) {
			var p Pointer
			err := row.Scan(&p.Kind, &p.ID, &p.Queue)
			return p, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find node runs without a job: %w", err)
	}
	return due, nil
}
