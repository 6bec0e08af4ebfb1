package index

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
)

// plan says what is to be done, as rows. A run that was planned before goes on with its
// plan; what is open of it is read as the source has it now.
func (a *attempt) plan(ctx context.Context) error {
	return a.eachUntilPaused(ctx, CodeUnreachable, func(ctx context.Context, t *target) error {
		if err := a.s.at("plan"); err != nil {
			return err
		}
		if err := a.status(ctx, t, Planning, nil); err != nil {
			return err
		}
		if t.run.PlannedAt != nil {
			return a.refresh(ctx, t)
		}
		if err := a.tidy(ctx, t); err != nil {
			return err
		}
		d, skipped, err := a.draft(ctx, t)
		if err != nil {
			return err
		}
		if err := a.keepPlan(ctx, t, d, skipped); err != nil {
			return err
		}
		a.tellFailed(t, d)
		return nil
	})
}

// keepPlan stores the plan: all of it or nothing.
func (a *attempt) keepPlan(ctx context.Context, t *target, d *draft, skipped fetch.Skipped) error {
	raw, err := json.Marshal(skipped)
	if err != nil {
		return fmt.Errorf("encode what was skipped: %w", err)
	}
	status := Indexing
	if t.run.PlanFirst && len(d.lines) > 0 {
		status = Planned
	}
	return a.fenced(ctx, "store the plan", func(ctx context.Context, tx *postgres.Tx) error {
		// A commit whose answer was lost comes here again.
		if err := a.s.q.DropJournal(ctx, tx, t.run.ID); err != nil {
			return fmt.Errorf("drop journal of index run %d: %w", t.run.ID, err)
		}
		if err := copyJournal(ctx, tx, t.run.ID, d.lines, a.s.o.Now()); err != nil {
			return err
		}
		row, err := a.s.q.SetPlan(ctx, tx, dbsqlc.SetPlanParams{
			ID: t.run.ID, Status: status, Found: d.found, Added: d.added, Changed: d.changed, Removed: d.removed, Kept: d.kept, Failed: d.failed,
			Skipped: raw, RemoteRevision: t.tree.Revision(), RagEmbedderID: a.embedderID,
		})
		if err != nil {
			return fmt.Errorf("store plan of index run %d: %w", t.run.ID, err)
		}
		_, err = a.s.announce(ctx, tx, &row, nil, true)
		t.run = row
		return err
	})
}

// tellFailed logs what the plan could not plan.
func (a *attempt) tellFailed(t *target, d *draft) {
	shown := 0
	for i := range d.lines {
		l := &d.lines[i]
		if l.failed == nil {
			continue
		}
		if shown++; shown > maxLoggedFiles {
			a.report.logf("%s: %d files and folders failed already; the journal of the run names them all.", t.source.Name, d.failed)
			return
		}
		a.report.logf("%s failed: %s", l.item.Path, l.failed.Message)
	}
}

func copyJournal(ctx context.Context, tx *postgres.Tx, id int64, lines []line, ended time.Time) error {
	columns := []string{"rag_index_run_id", "path", "action", "fingerprint", "size", "modified_at", "status", "error_code", "error", "finished_at"}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"rag_index_file"}, columns, pgx.CopyFromSlice(len(lines), func(i int) ([]any, error) {
		l := &lines[i]
		var modified *time.Time
		if !l.item.ModifiedAt.IsZero() {
			modified = &l.item.ModifiedAt
		}
		row := []any{id, l.item.Path, l.action, l.item.Fingerprint, l.item.Size, modified}
		if l.failed == nil {
			return append(row, "pending", nil, nil, nil), nil
		}
		return append(row, "failed", l.failed.Code, clip(l.failed.Message, longestError), ended), nil
	}))
	if err != nil {
		return fmt.Errorf("store journal of index run %d: %w", id, err)
	}
	return nil
}

// refresh brings the open lines of a plan up to what the source has now. A file that is
// gone stays in the plan and fails when its turn comes; one that came since is for the
// next run.
func (a *attempt) refresh(ctx context.Context, t *target) error {
	pending := map[string]bool{}
	err := a.s.persist(ctx, "load the plan", func(ctx context.Context) error {
		rows, err := a.s.q.PendingPaths(ctx, a.s.o.DB, t.run.ID)
		if err != nil {
			return fmt.Errorf("load plan of index run %d: %w", t.run.ID, err)
		}
		for _, r := range rows {
			pending[r.Path] = r.Action != actionRemove
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(pending) == 0 {
		return a.status(ctx, t, Indexing, nil)
	}
	p := dbsqlc.RefreshParams{RagIndexRunID: t.run.ID}
	if _, err := t.tree.Walk(ctx, func(item fetch.Item) error {
		a.beat()
		if pending[item.Path] {
			p.Paths, p.Fingerprints = append(p.Paths, item.Path), append(p.Fingerprints, item.Fingerprint)
			p.Sizes, p.Times = append(p.Sizes, item.Size), append(p.Times, item.ModifiedAt)
		}
		return nil
	}); err != nil {
		return err
	}
	changed := int64(0)
	err = a.fenced(ctx, "refresh the plan", func(ctx context.Context, tx *postgres.Tx) error {
		changed, err = a.s.q.Refresh(ctx, tx, p)
		if err != nil {
			return fmt.Errorf("refresh plan of index run %d: %w", t.run.ID, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.report.logf("Going on with the plan of before: %d files are open, %d of them have changed since.", len(pending), changed)
	return a.status(ctx, t, Indexing, nil)
}

// apply tells the plan, and lets the run wait if somebody wants to see it first.
func (a *attempt) apply(ctx context.Context) error {
	return a.each(ctx, CodeInfra, func(_ context.Context, t *target) error {
		r := &t.run
		a.report.logf("%s: %d added, %d changed, %d removed, %d kept.", t.source.Name, r.Added, r.Changed, r.Removed, r.Kept)
		if t.waits = r.Status == Planned; t.waits {
			a.report.logf("The plan waits until somebody applies it.")
		}
		return a.s.at("apply")
	})
}
