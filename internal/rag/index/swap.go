package index

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
)

// swap makes what was written the visible revision, in the transaction that ends the run.
func (a *attempt) swap(ctx context.Context) error {
	return a.each(ctx, CodeInfra, func(ctx context.Context, t *target) error {
		if err := a.s.at("swap"); err != nil {
			return err
		}
		r := &t.run
		if r.Failed > 0 && r.Done == 0 && r.Kept == 0 {
			return failf(CodeAllFailed, "Each of the %d files failed; what was indexed before stays. The errors are listed with the index run.", r.Failed)
		}
		if err := a.swapTarget(ctx, t); err != nil {
			return err
		}
		a.tokens += t.run.Tokens
		a.report.logf("%s: done. %d files indexed, %d removed, %d kept, %d failed; %d chunks, %d with a vector (%d of them known before).",
			t.source.Name, r.Done-min(r.Removed, r.Done), r.Removed, r.Kept, r.Failed, r.Chunks, r.Embedded, r.Cached)
		return nil
	})
}

func (a *attempt) swapTarget(ctx context.Context, t *target) error {
	return a.fenced(ctx, "end an index run", func(ctx context.Context, tx *postgres.Tx) error {
		// The commit may have come through although its answer was lost.
		row, err := a.s.q.LockRun(ctx, tx, t.run.ID)
		if err != nil {
			return fmt.Errorf("lock index run %d: %w", t.run.ID, err)
		}
		if row.FinishedAt != nil {
			t.run = row
			return nil
		}
		if open, err := a.s.q.HasPending(ctx, tx, row.ID); err != nil || open {
			if err == nil {
				err = &Failure{Code: CodeInfra, Retryable: true, Message: "Files of the plan are still open; the index is not shown before they are done."}
			}
			return err
		}
		binaries, err := a.show(ctx, tx, t, &row)
		if err != nil {
			return err
		}
		skipped, err := addBinaries(row.Skipped, binaries)
		if err != nil {
			return err
		}
		row, err = a.s.q.EndRun(ctx, tx, dbsqlc.EndRunParams{ID: row.ID, Status: Succeeded, Skipped: skipped})
		if err != nil {
			return fmt.Errorf("end index run %d: %w", t.run.ID, err)
		}
		t.run = row
		_, err = a.s.announce(ctx, tx, &row, nil, true)
		return err
	})
}

// show makes the run's revision the visible one, and tells how many files of it nothing
// reads. A run that changed nothing leaves the revision: what others keep by its number
// stays good.
func (a *attempt) show(ctx context.Context, tx *postgres.Tx, t *target, r *Run) (binaries int32, err error) {
	src, err := a.s.q.LockSource(ctx, tx, t.source.ID)
	if postgres.NotFound(err) {
		return 0, failf(CodeGone, "The source was deleted.")
	}
	if err != nil {
		return 0, fmt.Errorf("lock source %d: %w", t.source.ID, err)
	}
	if err := a.s.q.AdoptCarried(ctx, tx, dbsqlc.AdoptCarriedParams{RagIndexRunID: r.ID, RagSourceID: src.ID, Revision: r.IndexRevision}); err != nil {
		return 0, fmt.Errorf("keep what did not change of source %d: %w", src.ID, err)
	}
	if !same(src.RagEmbedderID, r.RagEmbedderID) {
		if err := a.s.q.ForgetCuts(ctx, tx, dbsqlc.ForgetCutsParams{RagSourceID: src.ID, Revision: r.IndexRevision}); err != nil {
			return 0, fmt.Errorf("have files of source %d indexed again: %w", src.ID, err)
		}
	}
	revision := r.IndexRevision
	if r.Done == 0 && src.IndexRevision > 0 && same(src.RagEmbedderID, r.RagEmbedderID) {
		revision = src.IndexRevision
	}
	sums, err := a.s.q.Totals(ctx, tx, dbsqlc.TotalsParams{RagSourceID: src.ID, Revision: revision})
	if err != nil {
		return 0, fmt.Errorf("count the index of source %d: %w", src.ID, err)
	}
	err = a.s.q.Swap(ctx, tx, dbsqlc.SwapParams{
		ID: src.ID, IndexRevision: revision, RagEmbedderID: r.RagEmbedderID, Files: sums.Files, Chunks: sums.Chunks, Bytes: sums.Bytes,
		RemoteRevision: r.RemoteRevision,
	})
	if err != nil {
		return 0, fmt.Errorf("show revision %d of source %d: %w", revision, src.ID, err)
	}
	return sums.Binaries, nil
}

// addBinaries adds to what was skipped by its name what was skipped by its content.
func addBinaries(raw json.RawMessage, n int32) (json.RawMessage, error) {
	var s fetch.Skipped
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("read what was skipped: %w", err)
	}
	s.Binary += int(n)
	out, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode what was skipped: %w", err)
	}
	return out, nil
}
