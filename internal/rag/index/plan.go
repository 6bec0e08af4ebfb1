package index

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
)

// visibleFile is what the plan knows of a file that is indexed.
type visibleFile struct{ fingerprint, signature string }

// line is a line of the journal in the making.
type line struct {
	action string
	item   fetch.Item
}

// draft is a plan in the making.
type draft struct {
	visible map[string]visibleFile
	fresh   bool
	all     bool // what is indexed was made otherwise: each file counts as changed
	only    map[string]bool
	cutter  string

	lines                                []line
	found, added, changed, removed, kept int32
}

// plan says what is to be done, as rows. A run that was planned before goes on with its
// plan; what is open of it is read as the source has it now.
func (a *attempt) plan(ctx context.Context) error {
	return a.each(ctx, CodeUnreachable, func(ctx context.Context, t *target) error {
		if err := a.s.at("plan"); err != nil {
			return err
		}
		if t.run.PlannedAt != nil {
			return a.refresh(ctx, t)
		}
		if err := a.status(ctx, t, Planning, nil); err != nil {
			return err
		}
		if err := a.tidy(ctx, t); err != nil {
			return err
		}
		d, skipped, err := a.draft(ctx, t)
		if err != nil {
			return err
		}
		return a.keepPlan(ctx, t, d, skipped)
	})
}

// draft compares what the source has with what is indexed.
func (a *attempt) draft(ctx context.Context, t *target) (*draft, fetch.Skipped, error) {
	d := &draft{fresh: t.run.Mode == rag.Fresh, cutter: a.setup.Cutter.Signature()}
	d.all = !same(t.source.RagEmbedderID, a.embedderID)
	err := a.s.persist(ctx, "load what is indexed", func(ctx context.Context) error {
		files, err := a.s.q.VisibleFiles(ctx, a.s.o.DB, dbsqlc.VisibleFilesParams{RagSourceID: t.source.ID, IndexRevision: t.source.IndexRevision})
		if err != nil {
			return fmt.Errorf("load files of source %d: %w", t.source.ID, err)
		}
		d.visible = make(map[string]visibleFile, len(files))
		for _, f := range files {
			d.visible[f.Path] = visibleFile{f.Fingerprint, f.Signature}
		}
		return a.loadFailed(ctx, t, d)
	})
	if err != nil {
		return nil, fetch.Skipped{}, err
	}
	if d.all && len(d.visible) > 0 && !d.fresh {
		d.only = nil // what is kept would have no vectors of the new one
		a.report.logf("The embedding model is another one than before: every file is indexed again.")
	}
	skipped, err := t.tree.Walk(ctx, d.add)
	if err != nil {
		return nil, skipped, err
	}
	d.rest()
	return d, skipped, nil
}

func (a *attempt) loadFailed(ctx context.Context, t *target, d *draft) error {
	if t.run.OnlyFailedOf == nil {
		return nil
	}
	paths, err := a.s.q.FailedPaths(ctx, a.s.o.DB, *t.run.OnlyFailedOf)
	if err != nil {
		return fmt.Errorf("load what failed in index run %d: %w", *t.run.OnlyFailedOf, err)
	}
	d.only = make(map[string]bool, len(paths))
	for _, p := range paths {
		d.only[p] = true
	}
	return nil
}

// add is told each file of the source.
func (d *draft) add(item fetch.Item) error {
	if item.Path == "" || !utf8.ValidString(item.Path) || strings.ContainsRune(item.Path, 0) {
		return failf(CodeUnreachable, "The source has a file with a name that cannot be stored: %q.", item.Path)
	}
	if d.found++; d.found > maxFiles {
		return failf(CodeTooMany, "The source has more than %d files. Leave some out by patterns, or divide it.", maxFiles)
	}
	seen, known := d.visible[item.Path]
	delete(d.visible, item.Path)
	switch {
	case d.only != nil && !d.only[item.Path]:
		d.kept++
	case !known:
		d.added++
		d.lines = append(d.lines, line{actionAdd, item})
	case d.only != nil || d.fresh || d.all || item.Fingerprint == "" || seen.fingerprint != item.Fingerprint || seen.signature != d.cutter:
		d.changed++
		d.lines = append(d.lines, line{actionChange, item})
	default:
		d.kept++
	}
	return nil
}

// rest plans the removal of what the source does not have any more.
func (d *draft) rest() {
	for path := range d.visible {
		if d.only != nil && !d.only[path] {
			continue
		}
		d.removed++
		d.lines = append(d.lines, line{actionRemove, fetch.Item{Path: path}})
	}
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
	return a.s.fenced(ctx, "store the plan", a.req, func(ctx context.Context, tx *postgres.Tx) error {
		// A commit whose answer was lost comes here again.
		if err := a.s.q.DropJournal(ctx, tx, t.run.ID); err != nil {
			return fmt.Errorf("drop journal of index run %d: %w", t.run.ID, err)
		}
		if err := copyJournal(ctx, tx, t.run.ID, d.lines); err != nil {
			return err
		}
		row, err := a.s.q.SetPlan(ctx, tx, dbsqlc.SetPlanParams{
			ID: t.run.ID, Status: status, Found: d.found, Added: d.added, Changed: d.changed, Removed: d.removed, Kept: d.kept,
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

func copyJournal(ctx context.Context, tx *postgres.Tx, id int64, lines []line) error {
	columns := []string{"rag_index_run_id", "path", "action", "fingerprint", "size", "modified_at"}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"rag_index_file"}, columns, pgx.CopyFromSlice(len(lines), func(i int) ([]any, error) {
		l := &lines[i]
		var modified *time.Time
		if !l.item.ModifiedAt.IsZero() {
			modified = &l.item.ModifiedAt
		}
		return []any{id, l.item.Path, l.action, l.item.Fingerprint, l.item.Size, modified}, nil
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
	if err != nil || len(pending) == 0 {
		return err
	}
	p := dbsqlc.RefreshParams{RagIndexRunID: t.run.ID}
	if _, err := t.tree.Walk(ctx, func(item fetch.Item) error {
		if pending[item.Path] {
			p.Paths, p.Fingerprints = append(p.Paths, item.Path), append(p.Fingerprints, item.Fingerprint)
			p.Sizes, p.Times = append(p.Sizes, item.Size), append(p.Times, item.ModifiedAt)
		}
		return nil
	}); err != nil {
		return err
	}
	changed := int64(0)
	err = a.s.fenced(ctx, "refresh the plan", a.req, func(ctx context.Context, tx *postgres.Tx) error {
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
