package schedule

import (
	"context"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/postgres"
)

// A start that waits for workers to be updated is tried again; an update takes minutes.
// If they are there for longer, people have to know.
const (
	postponeBy    = 10 * time.Second
	postponeUntil = 10 * time.Minute
)

// postpone has a due time fired a little later; false: that was done for long enough. The
// time itself stays as it is, and does not count as missed.
func (f *Firer) postpone(ctx context.Context, row *Row, due time.Time) (waits bool, err error) {
	err = f.store.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		waits = true
		again, now, err := f.store.lock(ctx, tx, row.ID, 0)
		if err != nil {
			return err
		}
		if again.NextDueAt == nil || !again.NextDueAt.Equal(*row.NextDueAt) {
			return nil // somebody else had it in the meantime
		}
		if now.Sub(due) > postponeUntil {
			waits = false
			return nil
		}
		fire := now.Add(postponeBy)
		return f.store.setNext(ctx, tx, row.ID, again.NextDueAt, &fire)
	})
	if err != nil {
		return false, fmt.Errorf("postpone schedule %d: %w", row.ID, err)
	}
	if waits {
		f.log.InfoContext(ctx, "a scheduled run waits for workers to be updated", "schedule_id", row.ID, "due_at", due)
	}
	return waits, nil
}
