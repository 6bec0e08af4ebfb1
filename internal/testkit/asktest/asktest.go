// Package asktest asks sources without models. It is apart from ragtest, whose users include the tests of searches.
package asktest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/retrieve"
	"github.com/llmctl/studio/internal/rag/search"
	"github.com/llmctl/studio/internal/rag/vector"
)

// New answers questions by words: there are no models.
func New(tb testing.TB, db *postgres.DB) *retrieve.Service {
	tb.Helper()
	return retrieve.New(retrieve.Options{
		DB: db, Models: noModels{}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Search:   search.New(search.Options{DB: db, Vectors: vector.NewExact(db, 0), Now: time.Now}),
		Settings: func(context.Context) (retrieve.Settings, error) { return retrieve.Settings{TopK: 5}, nil },
	})
}

type noModels struct{}

func (noModels) Embedder(context.Context) (retrieve.Embedder, bool, error) { return nil, false, nil }

func (noModels) Reranker(context.Context) (llm.Reranker, string, bool, error) {
	return nil, "", false, nil
}

func (noModels) Writer(context.Context, int64) (retrieve.Model, bool, error) {
	return retrieve.Model{}, false, nil
}
