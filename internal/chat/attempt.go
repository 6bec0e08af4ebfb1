package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/chat/dbsqlc"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/postgres"
)

// How an attempt ends before its work is done.
var (
	errStale    = errors.New("another attempt has begun")
	errCancel   = errors.New("asked to stop")
	errHandOver = errors.New("this worker stops")
	errTimeout  = errors.New("the time of the turn is over")
	errNoClaim  = errors.New("nothing to claim")
	errSettled  = errors.New("ended by somebody else")
)

// maxLost is how many workers may die over a turn.
const maxLost = 3

// claim takes a queued turn for a worker: a new attempt. errNoClaim when there is
// nothing to do.
func (s *Service) claim(ctx context.Context, id int64, worker uuid.UUID) (Turn, error) {
	var t Turn
	err := s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		t, err = s.q.ClaimTurn(ctx, tx, dbsqlc.ClaimTurnParams{ID: id, WorkerProcessID: &worker})
		if postgres.NotFound(err) {
			return errNoClaim
		}
		if err != nil {
			return fmt.Errorf("claim turn %d: %w", id, err)
		}
		if err := s.q.InsertTurnAttempt(ctx, tx, dbsqlc.InsertTurnAttemptParams{TurnID: id, Number: t.Attempt, WorkerProcessID: worker}); err != nil {
			return fmt.Errorf("insert attempt %d of turn %d: %w", t.Attempt, id, err)
		}
		return s.announceTurn(tx, &t, nil)
	})
	return t, err
}

// enter notes what an attempt does now. errStale if it does not have the turn any
// more, errCancel if it is to stop.
func (s *Service) enter(ctx context.Context, t *Turn, phase string, c *ContextView, model *Model) error {
	p := dbsqlc.SetPhaseParams{ID: t.ID, Attempt: t.Attempt, WorkerProcessID: t.WorkerProcessID, Phase: phase, ModelID: t.ModelID, ModelName: t.ModelName}
	if c != nil {
		raw, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("encode context of turn %d: %w", t.ID, err)
		}
		p.Context = raw
	}
	if model != nil {
		p.ModelID, p.ModelName = &model.ID, model.Name
	}
	return s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		now, err := s.q.SetPhase(ctx, tx, p)
		if postgres.NotFound(err) {
			return s.whyNot(ctx, tx, t)
		}
		if err != nil {
			return fmt.Errorf("note phase of turn %d: %w", t.ID, err)
		}
		if c != nil && phase == PhaseAnswering {
			err := s.q.NoteAsked(ctx, tx, dbsqlc.NoteAskedParams{TurnID: t.ID, Number: t.Attempt, InputTokens: int64(c.Used.Total)})
			if err != nil {
				return fmt.Errorf("note phase of turn %d: %w", t.ID, err)
			}
		}
		*t = now
		return s.announceTurn(tx, t, nil)
	})
}

// whyNot tells why an attempt may not go on.
func (s *Service) whyNot(ctx context.Context, q postgres.Querier, t *Turn) error {
	now, err := s.q.GetTurn(ctx, q, t.ID)
	if postgres.NotFound(err) {
		return errStale
	}
	if err != nil {
		return fmt.Errorf("load turn %d: %w", t.ID, err)
	}
	if now.Attempt == t.Attempt && now.Status == Cancelling {
		return errCancel
	}
	return errStale
}

// outcome is how an attempt ended, and what it brought.
type outcome struct {
	status     string // of the attempt
	failure    *TurnError
	text       string
	parts      []PlacedPart
	lead       []MessagePart // that stand before the text: what was folded, what was cited
	finish     llm.FinishReason
	usage      llm.Usage
	estimated  bool
	context    *ContextView
	firstToken *time.Time
	checkpoint json.RawMessage
	learned    *learned
	retryIn    time.Duration // of a failure after which the same is worth another try; 0: it is not
}

// learned is a measured ratio.
type learned struct{ before, after float64 }

// finish ends an attempt and settles its turn. worker nil: of whoever has it; that is
// the sweep's. last writes what is left of the text. errSettled when the attempt does
// not have the turn any more.
func (s *Service) finish(ctx context.Context, threadID, id int64, number int32, worker *uuid.UUID, o outcome, last func(tx *postgres.Tx) error) error {
	return s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		thread, err := s.q.LockThread(ctx, tx, threadID)
		if postgres.NotFound(err) {
			return errSettled
		}
		if err != nil {
			return fmt.Errorf("lock thread %d: %w", threadID, err)
		}
		t, err := s.q.LockTurn(ctx, tx, id)
		if postgres.NotFound(err) {
			return errSettled
		}
		if err != nil {
			return fmt.Errorf("lock turn %d: %w", id, err)
		}
		if t.FinishedAt != nil || t.Attempt != number || t.WorkerProcessID == nil || worker != nil && *t.WorkerProcessID != *worker {
			return errSettled
		}
		if last != nil {
			if err := last(tx); err != nil {
				return err
			}
		} else if err := s.recollect(ctx, tx, &t, &o); err != nil {
			return err
		}
		if err := s.endAttempt(ctx, tx, &t, &o); err != nil {
			return err
		}
		if o.learned != nil && t.ModelID != nil {
			if err := s.keepRatio(ctx, tx, *t.ModelID, o.learned.before, o.learned.after); err != nil {
				return err
			}
		}
		if o.retryIn > 0 {
			failed, err := s.q.CountFailedAttempts(ctx, tx, id)
			if err != nil {
				return fmt.Errorf("count attempts of turn %d: %w", id, err)
			}
			o.retryIn = patience(o.retryIn, id, failed)
		}
		to := decide(&t, o)
		if to.status == Waiting {
			// People may have decided before it came to that. They hold the turn's lock as well,
			// so one of both sees the other.
			if to.status, err = s.waitsOrGoesOn(ctx, tx, id); err != nil {
				return err
			}
		}
		_, err = s.settle(ctx, tx, &thread, t, to)
		return err
	})
}

func (s *Service) endAttempt(ctx context.Context, tx *postgres.Tx, t *Turn, o *outcome) error {
	p := dbsqlc.EndTurnAttemptParams{
		TurnID: t.ID, Number: t.Attempt, Status: o.status, InputTokens: o.usage.InputTokens, OutputTokens: o.usage.OutputTokens,
		CachedTokens: o.usage.CachedTokens, TokensEstimated: o.estimated, Characters: int64(len([]rune(o.text))),
	}
	var err error
	if p.Error, err = encodeFailure(o.failure); err != nil {
		return err
	}
	if _, err := s.q.EndTurnAttempt(ctx, tx, p); err != nil {
		return fmt.Errorf("end attempt %d of turn %d: %w", t.Attempt, t.ID, err)
	}
	return nil
}

func encodeFailure(f *TurnError) (json.RawMessage, error) {
	if f == nil {
		return nil, nil
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode failure: %w", err)
	}
	return raw, nil
}

// decide tells what becomes of a turn whose attempt has ended. Pure.
func decide(t *Turn, o outcome) settlement {
	to := settlement{outcome: o, lost: t.Lost}
	switch {
	case o.status == attemptSucceeded:
		to.status = Succeeded
	case t.Status == Cancelling:
		// Whatever became of the attempt: it is over, as was asked.
		to.status, to.reason, to.failure = Cancelled, CodeCancelled, nil
	case o.status == attemptSuspended:
		to.status = Waiting
	case o.status == attemptHandedOver:
		to.status = Queued
	case o.retryIn > 0:
		to.status, to.reason = Queued, o.failure.Code
	case o.status == attemptLost:
		to.lost++
		to.status = Queued
		if to.lost >= maxLost {
			to.status, to.reason = Failed, CodeWorkerLost
			to.failure = &TurnError{Code: CodeWorkerLost, Message: fmt.Sprintf(
				"%d workers died while they worked on this answer, so it is not tried again by itself. Look at their logs, then regenerate it.", to.lost)}
		}
	default:
		to.status = Failed
		if o.failure != nil {
			to.reason = o.failure.Code
		}
	}
	return to
}

// settlement is what a turn is when nobody works it any more.
type settlement struct {
	outcome
	status Status
	reason string
	lost   int32
	by     Origin // of an order that ended it
}

// settle writes it, fills the answer, counts what was used, and lets the next turn of
// the thread go. The caller holds the locks of thread and turn.
func (s *Service) settle(ctx context.Context, tx *postgres.Tx, thread *Thread, t Turn, to settlement) (Turn, error) {
	if !TurnStates().Allows(t.Status, to.status) {
		return t, fmt.Errorf("turn %d cannot go from %s to %s", t.ID, t.Status, to.status)
	}
	final := TurnStates().Final(to.status)
	p, err := s.settleParams(ctx, tx, &t, to, final)
	if err != nil {
		return t, err
	}
	waited := t.Checkpoint
	if t, err = s.q.SettleTurn(ctx, tx, p); err != nil {
		return t, fmt.Errorf("settle turn %d: %w", t.ID, err)
	}
	if !final {
		if to.status == Queued {
			next := Pointer{ID: t.ID}
			if to.retryIn > 0 {
				next.At = t.RunAfter
			}
			if err := s.o.Queue.Enqueue(ctx, tx, []Pointer{next}); err != nil {
				return t, err
			}
		}
		return t, s.announceTurn(tx, &t, nil)
	}
	if s.o.ToolCalls != nil {
		if err := s.o.ToolCalls.Ended(ctx, tx, &t); err != nil {
			return t, err
		}
	}
	m, err := s.answerWith(ctx, tx, &t, to, waited)
	if err != nil {
		return t, err
	}
	if err := s.account(ctx, tx, thread, &t, m); err != nil {
		return t, err
	}
	if err := s.noteEnd(ctx, tx, thread, &t, to); err != nil {
		return t, err
	}
	next, err := s.q.NextTurn(ctx, tx, t.ThreadID)
	if err == nil {
		err = s.o.Queue.Enqueue(ctx, tx, []Pointer{{ID: next.ID}})
	} else if postgres.NotFound(err) {
		err = nil
	}
	if err != nil {
		return t, fmt.Errorf("let the next turn of thread %d go: %w", t.ThreadID, err)
	}
	return t, s.announceTurn(tx, &t, thread, m)
}

func (s *Service) settleParams(ctx context.Context, tx *postgres.Tx, t *Turn, to settlement, final bool) (dbsqlc.SettleTurnParams, error) {
	p := dbsqlc.SettleTurnParams{
		ID: t.ID, Status: to.status, Lost: to.lost, ReasonCode: to.reason, FinishReason: string(to.finish), InputTokens: to.usage.InputTokens,
		OutputTokens: to.usage.OutputTokens, CachedTokens: to.usage.CachedTokens, TokensEstimated: to.estimated, FirstTokenAt: to.firstToken, Final: final,
	}
	if to.status == Queued {
		p.RetrySeconds = to.retryIn.Seconds()
	}
	var err error
	if p.Error, err = encodeFailure(to.failure); err != nil {
		return p, err
	}
	if to.context != nil {
		if p.Context, err = json.Marshal(to.context); err != nil {
			return p, fmt.Errorf("encode context of turn %d: %w", t.ID, err)
		}
	}
	switch {
	case to.outcome.status == attemptSuspended && !final:
		p.Checkpoint, err = encodeCheckpoint(checkpoint{State: to.checkpoint, Text: to.text, Parts: to.parts, Lead: to.lead})
	case to.status == Queued:
		p.Checkpoint = t.Checkpoint // a worker that died takes nothing of it along
	}
	if err != nil || !final {
		return p, err
	}
	set, _, err := LoadSettings(ctx, tx)
	if err != nil {
		return p, err
	}
	p.CostMicros = set.Cost(t.ModelID, t.InputTokens+p.InputTokens, t.CachedTokens+p.CachedTokens, t.OutputTokens+p.OutputTokens)
	return p, nil
}

// answerWith fills the message of the answer with what came; waited is the checkpoint of
// a turn that nobody worked.
func (s *Service) answerWith(ctx context.Context, tx *postgres.Tx, t *Turn, to settlement, waited json.RawMessage) (*Message, error) {
	text, placed, lead := to.text, to.parts, to.lead
	if text == "" && len(placed) == 0 && waited != nil {
		c, err := decodeCheckpoint(waited)
		if err != nil {
			return nil, err
		}
		text, placed, lead = c.Text, c.Parts, c.Lead
	}
	status := messageComplete
	if to.status != Succeeded {
		status = messagePartial
		if text == "" && len(placed) == 0 {
			status = messageFailed
		}
	}
	parts := append(append([]MessagePart{}, lead...), assemble(text, closeCalls(placed))...)
	return s.fill(ctx, tx, t.AssistantMessageID, status, parts, partTokens(parts))
}

// account adds what a turn used to its thread and to the day.
func (s *Service) account(ctx context.Context, tx *postgres.Tx, thread *Thread, t *Turn, answer *Message) error {
	title, source := thread.Title, thread.TitleSource
	if source == "default" && t.Status == Succeeded {
		m, err := s.message(ctx, tx, t.UserMessageID)
		if err != nil {
			return err
		}
		if made := titleOf(m.Content); made != "" {
			title, source = made, "auto"
		}
	}
	cost, unpriced, failed := int64(0), int64(1), int64(0)
	if t.CostMicros != nil {
		cost, unpriced = *t.CostMicros, 0
	}
	if t.Status == Failed {
		failed = 1
	}
	var err error
	*thread, err = s.q.AddThreadUsage(ctx, tx, dbsqlc.AddThreadUsageParams{
		ID: thread.ID, InputTokens: t.InputTokens, OutputTokens: t.OutputTokens, CachedTokens: t.CachedTokens, CostMicros: cost,
		Title: title, TitleSource: source,
	})
	if err != nil {
		return fmt.Errorf("count usage of thread %d: %w", thread.ID, err)
	}
	_ = answer
	// Last, since all threads meet at this row.
	tx.BeforeCommit(func(ctx context.Context) error {
		err := s.q.AddDayUsage(ctx, tx, dbsqlc.AddDayUsageParams{
			ModelName: t.ModelName, Failed: failed, InputTokens: t.InputTokens, OutputTokens: t.OutputTokens, CachedTokens: t.CachedTokens,
			CostMicros: cost, Unpriced: unpriced,
		})
		if err != nil {
			return fmt.Errorf("count usage of the day: %w", err)
		}
		return nil
	})
	return nil
}

func (s *Service) noteEnd(ctx context.Context, tx *postgres.Tx, thread *Thread, t *Turn, to settlement) error {
	d := deed{class: classTurn, turnID: &t.ID, by: Origin{UserID: t.AppUserID, RequestID: t.RequestID, CorrelationID: t.CorrelationID}, detail: map[string]any{
		"model": t.ModelName, "attempts": t.Attempt, "input_tokens": t.InputTokens, "output_tokens": t.OutputTokens, "cost_micros": t.CostMicros,
	}}
	switch t.Status {
	case Succeeded:
		d.action = "turn_responded"
	case Cancelled:
		d.action, d.reason = "turn_cancelled", t.ReasonCode
		if to.by.UserID != nil {
			d.by = to.by
		}
	default:
		d.class, d.action, d.reason = classFailure, "failed", t.ReasonCode
		if to.failure != nil {
			d.message = to.failure.Message
		}
	}
	return s.note(ctx, tx, thread, d)
}
