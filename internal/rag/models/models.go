// Package models opens the models that the settings of retrieval name: for vectors and
// for rankings. It must not know sources, indexes or HTTP.
package models

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/llm/observed"
	"github.com/llmctl/studio/internal/llm/registry"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/embed"
	"github.com/llmctl/studio/internal/rag/embed/store"
	"github.com/llmctl/studio/internal/rag/settings"
)

// ReasonNoEmbeddingModel is the reason of Embedder's error when none is set.
const ReasonNoEmbeddingModel = "rag.no_embedding_model"

// Options of Models.
type Options struct {
	DB      *postgres.DB
	Catalog *catalog.Catalog
	Client  *http.Client // of llm.NewClient
	Observe observed.Options
	Now     func() time.Time
	Logger  *slog.Logger
}

// Models opens models. It is safe for concurrent use.
type Models struct {
	o Options

	mu      sync.Mutex
	current *Embedder
}

// New makes a Models.
func New(o Options) *Models {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Models{o: o}
}

// Embedder is the embedding model in use, and where its vectors are kept. All of a
// process share it, so that its limits and pauses hold for them together.
type Embedder struct {
	*embed.Embedder
	Store *store.Store

	made string // of what: another value makes another one
}

// Embedder gives the embedding model of the settings as they are now. Errors: precondition
// with the reason rag.no_embedding_model when none is set, or another one when it cannot be used.
func (m *Models) Embedder(ctx context.Context) (*Embedder, error) {
	s, _, err := settings.Load(ctx, m.o.DB)
	if err != nil {
		return nil, err
	}
	n, err := m.embedding(ctx, s)
	if err != nil {
		return nil, err
	}
	key := embed.KeyOf(n.spec.Kind, n.spec.BaseURL, n.model, n.dimensions, n.config.DocumentPrefix)
	made := fmt.Sprintf("%s %q %v", key, n.config.QueryPrefix, []any{n.providerID, n.revision, s.EmbedMaxItems, s.EmbedMaxRequestTokens, s.EmbedMaxInputTokens, s.EmbedParallel})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil || m.current.made != made {
		cache := store.New(m.o.DB, store.Model{ProviderKind: n.spec.Kind, Model: n.model})
		m.current = &Embedder{made: made, Store: cache, Embedder: embed.New(embed.Options{
			Provider: n.embedder, Model: n.model, Key: key, Dimensions: n.dimensions, Cache: cache, Prefixes: embed.Prefixes{Query: n.config.QueryPrefix, Document: n.config.DocumentPrefix}, Now: m.o.Now, Logger: m.o.Logger,
			MaxItems: s.EmbedMaxItems, MaxRequestTokens: s.EmbedMaxRequestTokens, MaxInputTokens: s.EmbedMaxInputTokens, Parallel: s.EmbedParallel,
		})}
	}
	return m.current, nil
}

// Reranker gives the reranking model of the settings and its name; nil: none is set.
// Error: precondition when it cannot be used.
func (m *Models) Reranker(ctx context.Context) (llm.Reranker, string, error) {
	s, _, err := settings.Load(ctx, m.o.DB)
	if err != nil || s.RerankModelID == nil {
		return nil, "", err
	}
	n, err := m.named(ctx, *s.RerankModelID, "reranking model")
	if err != nil {
		return nil, "", err
	}
	r, err := registry.Reranker(n.spec, m.o.Client)
	if err != nil {
		return nil, "", err
	}
	return observed.Reranker(r, n.target(), m.o.Observe), n.model, nil
}

// named is a model of the catalog with what it takes to ask it.
type named struct {
	spec       registry.Spec
	providerID int64
	revision   int64 // of the provider
	model      string
	dimensions int // 0: the model's own
	config     catalog.EmbeddingConfig
	embedder   llm.Embedder
}

func (n *named) target() observed.Target {
	return observed.Target{Kind: n.spec.Kind, BaseURL: n.spec.BaseURL}
}

func (m *Models) named(ctx context.Context, id int64, role string) (*named, error) {
	row, p, err := m.o.Catalog.GetModel(ctx, id)
	if errs.Is(err, errs.NotFound) {
		return nil, errs.Ef(errs.Precondition, "rag.model_deleted", "The %s of the settings, number %d, was deleted. Choose another one under Settings -> Retrieval.", role, id).With(err)
	}
	if err != nil {
		return nil, err
	}
	key, err := m.o.Catalog.Key(p)
	if err != nil {
		return nil, err
	}
	config, err := catalog.EmbeddingConfigOf(row.Config)
	if err != nil {
		return nil, errs.Ef(errs.Precondition, "model.config", "The settings of the model %s cannot be read: %v.", row.Name, err)
	}
	return &named{
		config: config,
		spec:   registry.Spec{Kind: p.Kind, Name: p.Name, BaseURL: p.BaseUrl, APIKey: key}, providerID: p.ID, revision: p.Revision, model: row.Model,
	}, nil
}

func (m *Models) embedding(ctx context.Context, s settings.Settings) (*named, error) {
	if s.EmbeddingModelID == nil {
		return nil, errs.E(errs.Precondition, ReasonNoEmbeddingModel, "There is no embedding model, so searches are lexical. Choose one under Settings -> Retrieval.")
	}
	n, err := m.named(ctx, *s.EmbeddingModelID, "embedding model")
	if err != nil {
		return nil, err
	}
	if d := s.EmbeddingDimensions; d != nil {
		n.dimensions = *d
	}
	raw, err := registry.Embedder(n.spec, m.o.Client)
	if err != nil {
		return nil, err
	}
	n.embedder = observed.Embedder(raw, n.target(), m.o.Observe)
	return n, nil
}
