package chat

import (
	"context"
	"errors"
	"fmt"

	"github.com/llmctl/studio/internal/chat/dbsqlc"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/postgres"
)

// cancelGrace is how long a living worker may take to confirm a cancel.
const cancelGrace = 30.0

// Recover ends the attempts whose worker is gone, so that their turns get new ones,
// and cancels for which a living worker gave no answer; it returns how many. One that
// fails does not keep back the others.
func (s *Service) Recover(ctx context.Context) (int, error) {
	lost, err := s.q.ListLostTurns(ctx, s.o.DB)
	if err != nil {
		return 0, fmt.Errorf("list lost turns: %w", err)
	}
	var failures []error
	n := 0
	for _, l := range lost {
		err := s.finish(ctx, l.ThreadID, l.ID, l.Attempt, nil, outcome{status: attemptLost, failure: &TurnError{
			Code: CodeWorkerLost, Message: fmt.Sprintf("Attempt %d ended with the death of its worker.", l.Attempt), Retryable: true,
		}}, nil)
		if err == nil {
			n++
		} else if !errors.Is(err, errSettled) {
			failures = append(failures, err)
		}
	}
	stuck, err := s.q.ListStuckTurnCancels(ctx, s.o.DB, cancelGrace)
	if err != nil {
		return n, errors.Join(append(failures, fmt.Errorf("list stuck cancels: %w", err))...)
	}
	for _, l := range stuck {
		err := s.finish(ctx, l.ThreadID, l.ID, l.Attempt, nil, outcome{status: attemptCancelled}, nil)
		if err != nil && !errors.Is(err, errSettled) {
			failures = append(failures, err)
		}
	}
	if err := s.purge(ctx); err != nil {
		failures = append(failures, err)
	}
	return n, errors.Join(failures...)
}

// Due lists turns that are due for some seconds and that nobody works, the oldest
// first.
func (s *Service) Due(ctx context.Context) ([]Pointer, error) {
	ids, err := s.q.ListDueTurns(ctx, s.o.DB)
	if err != nil {
		return nil, fmt.Errorf("list due turns: %w", err)
	}
	out := make([]Pointer, len(ids))
	for i, id := range ids {
		out[i] = Pointer{ID: id}
	}
	return out, nil
}

// recollect gives an outcome what its attempt streamed and was asked, from the log:
// its worker cannot tell any more.
func (s *Service) recollect(ctx context.Context, tx *postgres.Tx, t *Turn, o *outcome) error {
	a, err := s.q.GetTurnAttempt(ctx, tx, dbsqlc.GetTurnAttemptParams{TurnID: t.ID, Number: t.Attempt})
	if err != nil {
		return fmt.Errorf("load attempt %d of turn %d: %w", t.Attempt, t.ID, err)
	}
	if o.text, o.parts, err = s.streamed(ctx, tx, t.ID, t.Attempt); err != nil {
		return err
	}
	o.usage, o.estimated = llm.Usage{InputTokens: a.InputTokens, OutputTokens: int64(estimate(o.text))}, true
	return nil
}
