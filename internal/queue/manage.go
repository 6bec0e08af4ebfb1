package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
)

// What is said of workers that come and go.
const (
	WorkerJoined  = "joined"
	WorkerStopped = "stopped"
	WorkerDied    = "died"
	WorkerDrained = "draining"
	WorkerResumed = "resumed"
)

// workerStream carries the events of all workers: there are few, and a stream for each
// would outlive it.
const workerStream = "config:worker:all"

// announceWorker tells dashboards of a worker. A nil log tells nobody.
func announceWorker(log *event.Log, tx *postgres.Tx, id uuid.UUID, what string) error {
	if log == nil {
		return nil
	}
	change := "updated"
	switch what {
	case WorkerJoined:
		change = "created"
	case WorkerStopped, WorkerDied:
		change = "deleted"
	}
	return log.Append(tx, event.Draft{
		Stream: workerStream, Type: "config:worker:" + change, EntityKind: "worker", EntityID: id.String(),
		Rooms: []string{"studio"}, Payload: map[string]any{"worker_id": id.String(), "transition": what},
	})
}

// Known refuses names that no queue has. Errors: not_found (queue.not_found).
func Known(name string) error {
	if slices.Contains(Names(), name) {
		return nil
	}
	return errs.Ef(errs.NotFound, "queue.not_found", "There is no queue %q. The queues are %s.", name, strings.Join(Names(), ", "))
}

// Public gives the public name of a queue that River knows by its own. Errors:
// not_found (queue.not_found).
func Public(river string) (string, error) {
	for _, name := range Names() {
		if riverName(name) == river {
			return name, nil
		}
	}
	return "", Known(river)
}

// River is the client that jobs go through, for River's own page.
func (c *Client) River() *river.Client[pgx.Tx] { return c.river }

// Pause has nobody take jobs of a queue, nor node runs of it, until Resume. It gives
// whether that is a change. What runs goes on. Errors: not_found (queue.not_found).
func (b *Board) Pause(ctx context.Context, tx *postgres.Tx, name string, userID int64) (bool, error) {
	if err := Known(name); err != nil {
		return false, err
	}
	tag, err := tx.Exec(ctx, `INSERT INTO queue_pause (queue, app_user_id) VALUES ($1, nullif($2::bigint, 0)) ON CONFLICT DO NOTHING`, name, userID)
	if err != nil {
		return false, fmt.Errorf("pause queue %s: %w", name, err)
	}
	if tag.RowsAffected() == 0 {
		return false, nil
	}
	if err := b.client.pauseTx(ctx, tx, name); err != nil {
		return false, err
	}
	return true, b.announceQueue(tx, name, "paused")
}

// Resume ends a pause. It gives whether that is a change. Errors: not_found
// (queue.not_found).
func (b *Board) Resume(ctx context.Context, tx *postgres.Tx, name string) (bool, error) {
	if err := Known(name); err != nil {
		return false, err
	}
	tag, err := tx.Exec(ctx, `DELETE FROM queue_pause WHERE queue = $1`, name)
	if err != nil {
		return false, fmt.Errorf("resume queue %s: %w", name, err)
	}
	if tag.RowsAffected() == 0 {
		return false, nil
	}
	if err := ensureQueue(ctx, tx, riverName(name)); err != nil {
		return false, err
	}
	if err := b.client.river.QueueResumeTx(ctx, tx.Tx, riverName(name), nil); err != nil {
		return false, fmt.Errorf("resume queue %s: %w", name, err)
	}
	return true, b.announceQueue(tx, name, "resumed")
}

func (b *Board) announceQueue(tx *postgres.Tx, name, what string) error {
	tx.AfterCommit(b.forget)
	if b.log == nil {
		return nil
	}
	return b.log.Append(tx, event.Draft{
		Stream: "config:queue:" + name, Type: "config:queue:updated", EntityKind: "queue", EntityID: name,
		Rooms: []string{"studio"}, Payload: map[string]any{"queue": name, "transition": what},
	})
}

func (c *Client) pauseTx(ctx context.Context, tx *postgres.Tx, name string) error {
	if err := ensureQueue(ctx, tx, riverName(name)); err != nil {
		return err
	}
	if err := c.river.QueuePauseTx(ctx, tx.Tx, riverName(name), nil); err != nil {
		return fmt.Errorf("pause queue %s: %w", name, err)
	}
	return nil
}

// ensureQueue makes River's row of a queue, which exists only while somebody consumes it.
func ensureQueue(ctx context.Context, tx *postgres.Tx, river string) error {
	_, err := tx.Exec(ctx, `INSERT INTO river_queue (name, updated_at) VALUES ($1, now()) ON CONFLICT (name) DO NOTHING`, river)
	if err != nil {
		return fmt.Errorf("make River's queue %s: %w", river, err)
	}
	return nil
}

// reassertPauses tells River again what is paused, before this process consumes: River
// forgets a queue, and with it the pause, when nobody has consumed it for a day.
func (c *Client) reassertPauses(ctx context.Context) error {
	return c.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		rows, err := tx.Query(ctx, `SELECT queue FROM queue_pause ORDER BY queue`)
		if err != nil {
			return fmt.Errorf("load pauses: %w", err)
		}
		paused, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("load pauses: %w", err)
		}
		for _, name := range paused {
			if err := c.pauseTx(ctx, tx, name); err != nil {
				return err
			}
		}
		return nil
	})
}

// Drain has a worker take nothing new until Undrain or its end; what it runs goes on.
// The worker learns it with its next beat. It gives whether that is a change. Errors:
// not_found (worker.not_found), conflict (worker.ended).
func (b *Board) Drain(ctx context.Context, tx *postgres.Tx, worker uuid.UUID, userID int64) (bool, error) {
	return b.setDraining(ctx, tx, worker, WorkerDrained, `UPDATE worker_process
		SET draining_at = now(), draining_by = nullif($2::bigint, 0) WHERE id = $1 AND draining_at IS NULL`, userID)
}

// Undrain lets a worker take work again. Errors: as Drain.
func (b *Board) Undrain(ctx context.Context, tx *postgres.Tx, worker uuid.UUID) (bool, error) {
	return b.setDraining(ctx, tx, worker, WorkerResumed, `UPDATE worker_process
		SET draining_at = NULL, draining_by = NULL WHERE id = $1 AND draining_at IS NOT NULL`)
}

func (b *Board) setDraining(ctx context.Context, tx *postgres.Tx, worker uuid.UUID, what, sql string, args ...any) (bool, error) {
	var ended string
	err := tx.QueryRow(ctx, `SELECT CASE WHEN tombstone_at IS NOT NULL THEN 'was declared dead' WHEN stopped_at IS NOT NULL THEN 'has stopped' ELSE '' END
		FROM worker_process WHERE id = $1 FOR UPDATE`, worker).Scan(&ended)
	if postgres.NotFound(err) {
		return false, errs.Ef(errs.NotFound, "worker.not_found", "There is no worker %s.", worker)
	}
	if err != nil {
		return false, fmt.Errorf("lock worker %s: %w", worker, err)
	}
	if ended != "" {
		return false, errs.Ef(errs.Conflict, "worker.ended", "Worker %s %s; it takes nothing any more.", worker, ended)
	}
	tag, err := tx.Exec(ctx, sql, append([]any{worker}, args...)...)
	if err != nil {
		return false, fmt.Errorf("change worker %s: %w", worker, err)
	}
	if tag.RowsAffected() == 0 {
		return false, nil
	}
	tx.AfterCommit(b.forget)
	return true, announceWorker(b.log, tx, worker, what)
}
