package index

import (
	"context"
	"fmt"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
)

// sync brings the sources here.
func (a *attempt) sync(ctx context.Context) error {
	return a.eachUntilPaused(ctx, CodeUnreachable, func(ctx context.Context, t *target) error {
		if err := a.begin(ctx, t); err != nil {
			return err
		}
		if err := a.s.at("sync"); err != nil {
			return err
		}
		var fetcher fetch.Fetcher
		err := a.s.persist(ctx, "open the source", func(ctx context.Context) (err error) {
			fetcher, err = a.s.o.Sources.Fetcher(ctx, a.s.o.DB, t.source.ID)
			return err
		})
		if err != nil {
			return err
		}
		t.tree, err = fetcher.Sync(ctx, func(message string) { a.report.logf("%s", message) })
		if err != nil {
			return err
		}
		if revision := t.tree.Revision(); revision != "" {
			a.report.logf("%s is at %s.", t.source.Name, revision)
		}
		return nil
	})
}

// begin says that the run works. The embedder of a run that was planned stays: what it
// has written has its vectors.
func (a *attempt) begin(ctx context.Context, t *target) error {
	embedder := a.embedderID
	if t.run.PlannedAt != nil {
		if !same(t.run.RagEmbedderID, embedder) {
			return failf(CodeVectors, "The embedding model was changed after this index run was planned. Cancel the run and start a fresh one.")
		}
		embedder = t.run.RagEmbedderID
	}
	return a.fenced(ctx, "begin an index run", func(ctx context.Context, tx *postgres.Tx) error {
		row, err := a.s.q.BeginRun(ctx, tx, dbsqlc.BeginRunParams{ID: t.run.ID, Status: Syncing, RagEmbedderID: embedder})
		if err != nil {
			return fmt.Errorf("begin index run %d: %w", t.run.ID, err)
		}
		_, err = a.s.announce(ctx, tx, &row, nil, true)
		t.run = row
		return err
	})
}

func same(a, b *int64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
