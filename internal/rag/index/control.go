package index

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
	"github.com/llmctl/studio/internal/run"
)

// Waits reports whether a node that asks to be suspended has to wait for a person: for
// a plan to be applied, or for a pause to end.
func (s *Service) Waits(ctx context.Context, q postgres.Querier, nodeRunID int64) (bool, error) {
	waits, err := s.q.NodeWaits(ctx, q, nodeRunID)
	if err != nil {
		return false, fmt.Errorf("look whether node run %d waits: %w", nodeRunID, err)
	}
	return waits, nil
}

// ApplyTx lets a run go on whose plan waits. A run whose plan was applied is left alone.
func (s *Service) ApplyTx(ctx context.Context, tx *postgres.Tx, id int64) (RunDetail, error) {
	return s.decide(ctx, tx, id, func(ctx context.Context, r *Run) (Run, bool, error) {
		if r.AppliedAt != nil {
			return *r, false, nil
		}
		if r.Status != Planned {
			return *r, false, errs.Ef(errs.Conflict, "rag.no_plan", "Index run %d has no plan that waits (%s).", id, r.Status)
		}
		out, err := s.q.Apply(ctx, tx, id)
		return out, out.PauseRequestedAt == nil, err
	})
}

// PauseTx asks a run to pause: its worker lets go of it, in whatever stage it is. One that
// no worker has is paused at once.
func (s *Service) PauseTx(ctx context.Context, tx *postgres.Tx, id int64) (RunDetail, error) {
	return s.decide(ctx, tx, id, func(ctx context.Context, r *Run) (Run, bool, error) {
		if r.PauseRequestedAt != nil {
			return *r, false, nil
		}
		n, err := s.o.Engine.NodeRun(ctx, tx, r.NodeRunID)
		if err != nil {
			return Run{}, false, err
		}
		idle := n.Status == run.Queued || n.Status == run.Pending
		out, err := s.q.RequestPause(ctx, tx, dbsqlc.RequestPauseParams{ID: id, Idle: idle})
		return out, false, err
	})
}

// ResumeTx ends a pause.
func (s *Service) ResumeTx(ctx context.Context, tx *postgres.Tx, id int64) (RunDetail, error) {
	return s.decide(ctx, tx, id, func(ctx context.Context, r *Run) (Run, bool, error) {
		if r.PauseRequestedAt == nil {
			return *r, false, errs.Ef(errs.Conflict, "rag.not_paused", "Index run %d is not paused (%s).", id, r.Status)
		}
		out, err := s.q.ClearPause(ctx, tx, id)
		return out, out.Status != Planned || out.AppliedAt != nil, err
	})
}

// decide changes a run under the lock of its node run, and lets that go on if it waits
// and f says so.
func (s *Service) decide(ctx context.Context, tx *postgres.Tx, id int64, f func(ctx context.Context, r *Run) (Run, bool, error)) (RunDetail, error) {
	seen, err := s.get(ctx, tx, id)
	if err != nil {
		return RunDetail{}, err
	}
	if seen.FinishedAt != nil {
		return RunDetail{}, ended(&seen)
	}
	var view RunDetail
	err = s.o.Engine.DecideTx(ctx, tx, seen.NodeRunID, func(ctx context.Context) (bool, error) {
		r, err := s.q.LockRun(ctx, tx, id)
		if err != nil {
			return false, fmt.Errorf("lock index run %d: %w", id, err)
		}
		if r.FinishedAt != nil {
			return false, ended(&r)
		}
		out, goesOn, err := f(ctx, &r)
		if err != nil {
			return false, err
		}
		view, err = s.announce(ctx, tx, &out, nil, true)
		return goesOn, err
	})
	return view, err
}

// CancelTx asks the node run of an index run to stop. The visible index stays as it is.
func (s *Service) CancelTx(ctx context.Context, tx *postgres.Tx, id int64) (RunDetail, error) {
	r, err := s.get(ctx, tx, id)
	if err != nil {
		return RunDetail{}, err
	}
	if r.FinishedAt != nil {
		return RunDetail{}, ended(&r)
	}
	if _, err := s.o.Engine.CancelNodeTx(ctx, tx, r.NodeRunID); err != nil {
		return RunDetail{}, err
	}
	return s.View(ctx, tx, id)
}

func (s *Service) get(ctx context.Context, q postgres.Querier, id int64) (Run, error) {
	r, err := s.q.GetRun(ctx, q, id)
	if postgres.NotFound(err) {
		return r, notFound(id)
	}
	if err != nil {
		return r, fmt.Errorf("load index run %d: %w", id, err)
	}
	return r, nil
}

func notFound(id int64) error {
	return errs.Ef(errs.NotFound, "rag.index_run_not_found", "There is no index run %d.", id)
}

func ended(r *Run) error {
	return errs.Ef(errs.Conflict, "rag.index_run_finished", "Index run %d has ended already (%s).", r.ID, r.Status)
}

// GotFurther reports whether the attempt of a node run that is about to be counted as
// lost got further than the one before: then the run does not die of what it is at.
func (s *Service) GotFurther(ctx context.Context, q postgres.Querier, nodeRunID int64) (bool, error) {
	further, err := s.q.GotFurther(ctx, q, nodeRunID)
	if err != nil {
		return false, fmt.Errorf("look how far node run %d got: %w", nodeRunID, err)
	}
	return further, nil
}

// EndedTx is told, in the transaction that ends a node run, how that went. Runs that are
// still open end with it; what they wrote is never shown.
func (s *Service) EndedTx(ctx context.Context, tx *postgres.Tx, n *run.NodeRun) error {
	open, err := s.q.LockOpenRunsOfNode(ctx, tx, n.ID)
	if err != nil {
		return fmt.Errorf("lock index runs of node run %d: %w", n.ID, err)
	}
	for i := range open {
		if err := s.endOpen(ctx, tx, &open[i], n); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) endOpen(ctx context.Context, tx *postgres.Tx, r *Run, n *run.NodeRun) error {
	end := dbsqlc.EndRunParams{ID: r.ID, Status: Failed, Error: n.Error}
	switch {
	case n.Status == run.Cancelled:
		end.Status, end.Error = Cancelled, nil
	case len(n.Error) == 0:
		end.Error = json.RawMessage(`{"code":"infra","message":"The node ended without having finished this index run."}`)
	case ownError(r.Error) != nil:
		end.Error = r.Error // this source's own, not another one's
	}
	row, err := s.q.EndRun(ctx, tx, end)
	if err != nil {
		return fmt.Errorf("end index run %d: %w", r.ID, err)
	}
	if end.Status == Failed {
		if err := s.noteError(ctx, tx, &row); err != nil {
			return err
		}
	}
	_, err = s.announce(ctx, tx, &row, &Origin{RequestID: n.RequestID, CorrelationID: n.CorrelationID}, true)
	return err
}

// ownError reads the error of a run, if it has one that ended it.
func ownError(raw json.RawMessage) *RunProblem {
	p := problemOf(raw)
	if p == nil || p.Code == codeWaiting {
		return nil
	}
	return p
}

// noteError keeps with the source why its last run failed.
func (s *Service) noteError(ctx context.Context, tx *postgres.Tx, r *Run) error {
	p := problemOf(r.Error)
	if p == nil {
		return nil
	}
	raw, err := json.Marshal(map[string]any{"code": p.Code, "message": p.Message, "at": s.o.Now().UTC()})
	if err != nil {
		return fmt.Errorf("encode error of source %d: %w", r.RagSourceID, err)
	}
	if err := s.q.SetSourceError(ctx, tx, dbsqlc.SetSourceErrorParams{ID: r.RagSourceID, Error: raw}); err != nil {
		return fmt.Errorf("note error of source %d: %w", r.RagSourceID, err)
	}
	return nil
}
