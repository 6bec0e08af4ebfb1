package models_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/llm/featurehash"
	"github.com/llmctl/studio/internal/llm/observed"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/models"
	"github.com/llmctl/studio/internal/rag/settings"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/testkit/llmtest"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

type bench struct {
	db       *postgres.DB
	catalog  *catalog.Catalog
	server   *llmtest.Server
	models   *models.Models
	provider int64
	calls    chan observed.Call
}

func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{db: pgtest.DB(t), server: llmtest.New(t), calls: make(chan observed.Call, 100)}
	box, err := secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
	require.NoError(t, err)
	b.catalog = catalog.New(b.db, event.NewLog(bus.NewMemory(), time.Now), box, secret.Fingerprint)
	client := llm.NewClient(llm.ClientOptions{})
	t.Cleanup(client.CloseIdleConnections)
	b.models = models.New(models.Options{
		DB: b.db, Catalog: b.catalog, Client: client, Observe: observed.Options{Called: func(c observed.Call) { b.calls <- c }},
	})
	b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		p, err := b.catalog.CreateProvider(ctx, tx, catalog.ProviderFields{Name: "Acme", Kind: "openai", BaseURL: b.server.OpenAIURL(), APIKey: new("sk-0123456789")})
		b.provider = p.ID
		return err
	})
	return b
}

func (b *bench) tx(t *testing.T, do func(ctx context.Context, tx *postgres.Tx) error) {
	t.Helper()
	require.NoError(t, b.db.InTx(t.Context(), do))
}

func (b *bench) model(t *testing.T, name string) (id int64) {
	t.Helper()
	b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		m, err := b.catalog.CreateModel(ctx, tx, catalog.ModelFields{Name: name, ProviderID: b.provider, Model: name, Config: json.RawMessage(`{"purpose":"embedding"}`)})
		id = m.ID
		return err
	})
	return id
}

func (b *bench) configure(t *testing.T, id int64, config string) {
	t.Helper()
	b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		_, err := b.catalog.UpdateModel(ctx, tx, id, 0, func(f *catalog.ModelFields) { f.Config = json.RawMessage(config) })
		return err
	})
}

func (b *bench) set(t *testing.T, change func(*settings.Settings)) {
	t.Helper()
	b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		_, _, err := settings.Save(ctx, tx, 0, change)
		return err
	})
}

func TestTheModelOfTheSettingsEmbedsAndKeepsWhatItMade(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.model(t, "vectors")
	b.set(t, func(s *settings.Settings) { s.EmbeddingModelID, s.EmbeddingDimensions = &id, new(32) })
	e, err := b.models.Embedder(t.Context())
	require.NoError(t, err)
	res, err := e.Documents(t.Context(), []string{"one", "two"})
	require.NoError(t, err)
	require.Len(t, res.Vectors[0], 32)
	require.Equal(t, "sk-0123456789", b.server.Next(t).Key)
	require.Equal(t, "embeddings", (<-b.calls).Operation)
	found, err := e.Store.Get(t.Context(), e.Key(), [][]byte{[]byte("x")})
	require.NoError(t, err)
	require.Empty(t, found)

	again, err := b.models.Embedder(t.Context())
	require.NoError(t, err)
	require.Same(t, e, again, "all of a process share its limits")
	b.set(t, func(s *settings.Settings) { s.TopK = 9 })
	again, err = b.models.Embedder(t.Context())
	require.NoError(t, err)
	require.Same(t, e, again, "it is not about the model")
	b.set(t, func(s *settings.Settings) { s.EmbeddingDimensions = nil })
	again, err = b.models.Embedder(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, e.Key(), again.Key())
	res, err = again.Documents(t.Context(), []string{"one"})
	require.NoError(t, err)
	require.Equal(t, 0, res.Cached)
	require.Len(t, res.Vectors[0], llmtest.DefaultDimensions)
}

func TestWhatKeepsAModelFromEmbeddingIsSaid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.models.Embedder(t.Context())
	require.Equal(t, "rag.no_embedding_model", errs.As(err).Reason)
	f, err := b.models.Test(t.Context())
	require.NoError(t, err)
	require.False(t, f.OK)
	require.Equal(t, "rag.no_embedding_model", f.Kind)

	id := b.model(t, "vectors")
	b.set(t, func(s *settings.Settings) { s.EmbeddingModelID = &id })
	f, err = b.models.Test(t.Context())
	require.NoError(t, err)
	require.True(t, f.OK, f.Message)
	require.Equal(t, llmtest.DefaultDimensions, f.Dimensions)
	b.server.On("", llmtest.Reply{Status: http.StatusUnauthorized, ErrorMessage: "bad key sk-0123456789"})
	f, err = b.models.Test(t.Context())
	require.NoError(t, err)
	require.False(t, f.OK)
	require.Equal(t, "auth", f.Kind)
	require.Contains(t, f.Message, "Check it under Models -> Acme")
	require.NotContains(t, f.Message, "sk-0123456789")

	b.tx(t, func(ctx context.Context, tx *postgres.Tx) error { return b.catalog.DeleteModel(ctx, tx, id) })
	_, err = b.models.Embedder(t.Context())
	require.Equal(t, "rag.model_deleted", errs.As(err).Reason)
	f, err = b.models.Test(t.Context())
	require.NoError(t, err)
	require.Contains(t, f.Message, "was deleted")
}

func TestTheRerankerOfTheSettings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, _, err := b.models.Reranker(t.Context())
	require.NoError(t, err)
	require.Nil(t, r, "none is set")
	id := b.model(t, "ranker")
	b.set(t, func(s *settings.Settings) { s.RerankModelID = &id })
	r, name, err := b.models.Reranker(t.Context())
	require.NoError(t, err)
	require.Equal(t, "ranker", name)
	res, err := r.Rerank(t.Context(), llm.RerankRequest{Model: name, Query: "failed worker", Documents: []string{"invoices", "a worker that failed"}})
	require.NoError(t, err)
	require.Equal(t, 1, res.Results[0].Index)
	require.Equal(t, "rerank", (<-b.calls).Operation)
}

func TestPrefixesOfTheModelAreAskedWithAndTheOneOfDocumentsMakesOtherVectors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.model(t, "e5")
	b.set(t, func(s *settings.Settings) { s.EmbeddingModelID = &id })
	plain, err := b.models.Embedder(t.Context())
	require.NoError(t, err)

	b.configure(t, id, `{"purpose": "embedding", "query_prefix": "query: "}`)
	asked, err := b.models.Embedder(t.Context())
	require.NoError(t, err)
	require.NotSame(t, plain, asked)
	require.Equal(t, plain.Key(), asked.Key(), "documents have the vectors that they had")
	v, _, err := asked.Query(t.Context(), "harbour")
	require.NoError(t, err)
	require.InDelta(t, 1, featurehash.Cosine(v, llmtest.Vector("query: harbour", llmtest.DefaultDimensions)), 1e-5)

	b.configure(t, id, `{"purpose": "embedding", "query_prefix": "query: ", "document_prefix": "passage: "}`)
	documents, err := b.models.Embedder(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, plain.Key(), documents.Key(), "what is indexed is stale")
	res, err := documents.Documents(t.Context(), []string{"harbour"})
	require.NoError(t, err)
	require.InDelta(t, 1, featurehash.Cosine(res.Vectors[0], llmtest.Vector("passage: harbour", llmtest.DefaultDimensions)), 1e-5)
}
