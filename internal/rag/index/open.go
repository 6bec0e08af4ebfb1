package index

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
)

// open reads the settings and finds, or makes, the rows of the runs.
func (a *attempt) open(ctx context.Context) error {
	if err := a.s.at("open"); err != nil {
		return err
	}
	if err := a.openTargets(ctx); err != nil {
		return err
	}
	if !slices.ContainsFunc(a.targets, (*target).open) {
		return nil
	}
	for waits := -1; ; {
		open := slices.DeleteFunc(slices.Clone(a.targets), func(t *target) bool { return !t.open() })
		if len(open) == 0 || len(open) == waits {
			return nil
		}
		waits = len(open)
		done := false
		err := a.untilPaused(ctx, open, func(ctx context.Context) error {
			err := a.openSetup(ctx)
			done = err == nil
			return err
		})
		if done || err != nil {
			return err
		}
	}
}

func (a *attempt) openSetup(ctx context.Context) error {
	var setup Setup
	err := a.s.persist(ctx, "read the settings", func(ctx context.Context) (err error) {
		setup, err = a.s.o.Setup(ctx, func(w Wait) { a.waits(ctx, w) })
		return err
	})
	if err != nil {
		return failureOf(err, CodeSettings)
	}
	a.setup = setup.withDefaults()
	a.openEmbedder()
	return nil
}

func (a *attempt) openEmbedder() {
	if a.setup.Embedder == nil {
		a.report.logf("No embedding model is set: the index is searched by words alone.")
		return
	}
	who := a.setup.Embedder.Identity()
	a.embedderID = &who.ID
	a.report.logf("Embedding with %s, %d dimensions.", who.Model, who.Dimensions)
}

// openTargets makes the rows of a node that has none yet: one of a flowchart, or a retry.
// All of them, or none if a source is busy.
func (a *attempt) openTargets(ctx context.Context) error {
	ids := slices.Compact(slices.Sorted(slices.Values(a.req.Config.SourceIDs)))
	switch {
	case len(ids) == 0:
		return failf(CodeSettings, "The node names no source.")
	case len(ids) > maxSources:
		return failf(CodeSettings, "The node names %d sources; at most %d are indexed by one node.", len(ids), maxSources)
	}
	return a.fenced(ctx, "open index runs", func(ctx context.Context, tx *postgres.Tx) error {
		a.targets = nil
		rows, err := a.s.q.RunsOfNode(ctx, tx, a.req.NodeRunID)
		if err != nil {
			return fmt.Errorf("load index runs of node run %d: %w", a.req.NodeRunID, err)
		}
		for _, id := range ids {
			t, err := a.openTarget(ctx, tx, id, rows)
			if err != nil {
				return err
			}
			a.targets = append(a.targets, t)
		}
		return nil
	})
}

func (a *attempt) openTarget(ctx context.Context, tx *postgres.Tx, id int64, rows []Run) (*target, error) {
	src, err := a.s.q.LockSource(ctx, tx, id)
	if postgres.NotFound(err) {
		return nil, failf(CodeGone, "There is no source %d any more.", id)
	}
	if err != nil {
		return nil, fmt.Errorf("lock source %d: %w", id, err)
	}
	t := &target{source: src}
	if i := slices.IndexFunc(rows, func(r Run) bool { return r.RagSourceID == id }); i >= 0 {
		t.run = rows[i]
	} else if t.run, err = a.createRun(ctx, tx, t); err != nil {
		return nil, err
	}
	r := &t.run
	t.waits = r.FinishedAt == nil && (r.PauseRequestedAt != nil || (r.Status == Planned && r.PlanFirst && r.AppliedAt == nil))
	if t.waits && r.PauseRequestedAt != nil && r.Status != Planned && r.Status != Paused {
		t.run, err = a.s.q.SetStatus(ctx, tx, dbsqlc.SetStatusParams{ID: r.ID, Status: Paused})
		if err != nil {
			return nil, fmt.Errorf("pause index run %d: %w", r.ID, err)
		}
		_, err = a.s.announce(ctx, tx, &t.run, nil, true)
	}
	return t, err
}

func (a *attempt) createRun(ctx context.Context, tx *postgres.Tx, t *target) (Run, error) {
	c := a.req.Config
	if err := a.s.refuseActive(ctx, tx, t.source.ID, t.source.Name); err != nil {
		if errs.Is(err, errs.Conflict) {
			return Run{}, &Failure{Code: CodeBusy, Retryable: true, Message: errs.As(err).Message}
		}
		return Run{}, err
	}
	return a.s.insertRun(ctx, tx, t.source.ID, a.req.NodeRunID, StartRequest{
		SourceID: t.source.ID, Mode: c.Mode, PlanFirst: c.PlanFirst, OnlyFailedOf: c.OnlyFailedOf,
	})
}

// status stores and tells how a run stands; f is what it failed with.
func (a *attempt) status(ctx context.Context, t *target, status string, f *Failure) error {
	row, err := a.setStatus(ctx, t.run.ID, status, f)
	if err == nil {
		t.run = row
	}
	return err
}

func (a *attempt) setStatus(ctx context.Context, id int64, status string, f *Failure) (Run, error) {
	var raw json.RawMessage
	if f != nil {
		var err error
		if raw, err = json.Marshal(f); err != nil {
			return Run{}, fmt.Errorf("encode failure: %w", err)
		}
	}
	var row Run
	err := a.fenced(ctx, "note the state of an index run", func(ctx context.Context, tx *postgres.Tx) (err error) {
		row, err = a.s.q.SetStatus(ctx, tx, dbsqlc.SetStatusParams{ID: id, Status: status, Error: raw})
		if err != nil {
			return fmt.Errorf("set index run %d %s: %w", id, status, err)
		}
		_, err = a.s.announce(ctx, tx, &row, nil, true)
		return err
	})
	return row, err
}
