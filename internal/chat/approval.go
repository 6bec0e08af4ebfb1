package chat

import (
	"context"
	"fmt"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// TurnIn gives a turn as a transaction sees it. Error: not_found.
func (s *Service) TurnIn(ctx context.Context, q postgres.Querier, id int64) (Turn, error) {
	t, err := s.q.GetTurn(ctx, q, id)
	if postgres.NotFound(err) {
		return t, noTurn(id)
	}
	if err != nil {
		return t, fmt.Errorf("load turn %d: %w", id, err)
	}
	return t, nil
}

// DecideTx locks a turn, lets f decide about it, and lets it go on if it waits and f
// says so. Errors: those of f; not_found; conflict (turn.finished).
func (s *Service) DecideTx(ctx context.Context, tx *postgres.Tx, id int64, f func(ctx context.Context) (goesOn bool, err error)) error {
	seen, err := s.TurnIn(ctx, tx, id)
	if err != nil {
		return err
	}
	if _, err := s.lock(ctx, tx, seen.ThreadID, 0); err != nil {
		return err
	}
	t, err := s.q.LockTurn(ctx, tx, id)
	if postgres.NotFound(err) {
		return noTurn(id)
	}
	if err != nil {
		return fmt.Errorf("lock turn %d: %w", id, err)
	}
	if t.FinishedAt != nil || t.Status == Cancelling {
		return errs.Ef(errs.Conflict, "turn.finished", "Turn %d has ended or is ending (%s); there is nothing to decide any more.", id, t.Status)
	}
	goesOn, err := f(ctx)
	if err != nil || !goesOn || t.Status != Waiting {
		return err
	}
	_, err = s.resume(ctx, tx, id)
	return err
}

// resume enqueues a turn that waits. The caller holds the locks of thread and turn.
func (s *Service) resume(ctx context.Context, tx *postgres.Tx, id int64) (Turn, error) {
	t, err := s.q.ResumeTurn(ctx, tx, id)
	if err != nil {
		return t, fmt.Errorf("resume turn %d: %w", id, err)
	}
	if err := s.o.Queue.Enqueue(ctx, tx, []Pointer{{ID: id}}); err != nil {
		return t, err
	}
	return t, s.announceTurn(tx, &t, nil)
}

// waitsOrGoesOn tells what becomes of a turn that was suspended.
func (s *Service) waitsOrGoesOn(ctx context.Context, tx *postgres.Tx, id int64) (Status, error) {
	if s.o.ToolCalls == nil {
		return Waiting, nil
	}
	waits, err := s.o.ToolCalls.Waits(ctx, tx, id)
	if err != nil {
		return "", err
	}
	if waits {
		return Waiting, nil
	}
	return Queued, nil
}
