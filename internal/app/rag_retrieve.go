package app

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/observed"
	"github.com/llmctl/studio/internal/periodic"
	"github.com/llmctl/studio/internal/rag/models"
	"github.com/llmctl/studio/internal/rag/retrieve"
	"github.com/llmctl/studio/internal/rag/search"
	"github.com/llmctl/studio/internal/rag/settings"
	"github.com/llmctl/studio/internal/rag/vector"
	"github.com/llmctl/studio/internal/telemetry"
)

// asking is what a process has that asks sources.
type asking struct {
	*retrieve.Service
	pgvector *vector.Pgvector
	exact    *vector.Exact
}

// measure adds the figures of searches.
func (a *asking) measure(m *telemetry.Metrics) {
	stats := func(f func(vector.Stats) float64) func() float64 { return func() float64 { return f(a.exact.Stats()) } }
	m.Gauge("llmctl_vector_memory_bytes", "Memory of the vectors that exact searches compare with: kept, being read or being loaded.",
		stats(func(s vector.Stats) float64 { return float64(s.Held) }))
	m.Gauge("llmctl_vector_memory_limit_bytes", "Bound of that memory.", stats(func(s vector.Stats) float64 { return float64(s.Limit) }))
	m.Gauge("llmctl_vector_indexes", "Indexes whose vectors are kept in memory.", stats(func(s vector.Stats) float64 { return float64(s.Kept) }))
	m.Counter("llmctl_vector_loads_total", "Loadings of an index into memory.", stats(func(s vector.Stats) float64 { return float64(s.Loads) }))
	m.Counter("llmctl_vector_dropped_total", "Indexes that made way for others, or for their successors.",
		stats(func(s vector.Stats) float64 { return float64(s.Dropped) }))
	m.Counter("llmctl_vector_load_waits_total", "Loadings that waited for memory.", stats(func(s vector.Stats) float64 { return float64(s.Waited) }))
	m.Counter("llmctl_vector_reads_without_memory_total", "Sources that a search read from the database for want of memory.",
		stats(func(s vector.Stats) float64 { return float64(s.WithoutIndexes) }))
}

// newAsking makes what answers questions to sources.
func newAsking(s *studio, client *http.Client) *asking {
	pgvector := vector.NewPgvector(vector.PgvectorOptions{DB: s.db, Now: s.now})
	exact := vector.NewExact(s.db, 0)
	find := search.New(search.Options{DB: s.db, Vectors: vector.NewAuto(exact, pgvector), Now: s.now})
	return &asking{pgvector: pgvector, exact: exact, Service: retrieve.New(retrieve.Options{
		DB: s.db, Search: find, Models: retrieveModels{s, client}, Price: s.ragPrices.question, Now: s.now, Logger: s.log,
		Settings: func(ctx context.Context) (retrieve.Settings, error) {
			set, _, err := settings.Load(ctx, s.db)
			out := retrieve.Settings{TopK: set.TopK}
			if set.AuditDays != nil {
				out.AuditDays = *set.AuditDays
			}
			return out, err
		},
	})}
}

// admit implements run.Options.Admit: what asks sources starts only while they can be asked.
func (a *asking) admit(ctx context.Context, g *flowchart.Graph) error {
	if !slices.ContainsFunc(g.Nodes, func(n flowchart.Node) bool { return n.Kind == flowchart.KindRAG }) {
		return nil
	}
	return a.Admit(ctx)
}

// vectorCopies keeps pgvector's table, where the database has the extension.
func (a *asking) vectorCopies() periodic.Task {
	return periodic.Task{Name: "vectors", Period: 30 * time.Second, Limit: 35 * time.Minute, Do: func(ctx context.Context) (any, error) {
		return a.pgvector.Sweep(ctx)
	}}
}

// oldQuestions removes what the audit keeps no longer.
func (a *asking) oldQuestions() periodic.Task {
	return periodic.Task{Name: "retrievals", Period: time.Hour, Limit: 4 * time.Minute, Do: func(ctx context.Context) (any, error) {
		n, err := a.Clean(ctx)
		return map[string]int64{"retrievals": n}, err
	}}
}

// retrieveModels are the models of the settings, as questions need them.
type retrieveModels struct {
	s      *studio
	client *http.Client
}

// Embedder implements retrieve.Models.
func (m retrieveModels) Embedder(ctx context.Context) (retrieve.Embedder, bool, error) {
	e, err := m.s.retrieval.Embedder(ctx)
	if errs.HasReason(err, models.ReasonNoEmbeddingModel) {
		return nil, false, nil
	}
	return e, err == nil, err
}

// Reranker implements retrieve.Models.
func (m retrieveModels) Reranker(ctx context.Context) (llm.Reranker, string, bool, error) {
	r, name, err := m.s.retrieval.Reranker(ctx)
	return r, name, r != nil, err
}

// Writer implements retrieve.Models.
func (m retrieveModels) Writer(ctx context.Context, id int64) (retrieve.Model, bool, error) {
	var none retrieve.Model
	if id == 0 {
		set, _, err := settings.Load(ctx, m.s.db)
		if err != nil || set.SynthesisModelID == nil {
			return none, false, err
		}
		id = *set.SynthesisModelID
	}
	row, p, err := m.s.catalog.GetModel(ctx, id)
	if err != nil {
		return none, false, err
	}
	key, err := m.s.catalog.Key(p)
	if err != nil {
		return none, false, err
	}
	provider, err := m.s.providers.open(p, key)
	if err != nil {
		return none, false, err
	}
	out := retrieve.Model{Name: row.Name, Model: row.Model}
	if len(row.Config) > 0 {
		if err := json.Unmarshal(row.Config, &out.Params); err != nil {
			return none, false, errs.Ef(errs.Precondition, "model.config", "The settings of the model %s cannot be read: %v.", row.Name, err)
		}
	}
	out.Provider = observed.Provider(provider, observed.Target{Kind: p.Kind, BaseURL: p.BaseUrl}, observed.Options{
		Called: m.s.observer.called, Content: m.s.cfg.Telemetry.CaptureContent, Now: m.s.now,
	})
	return out, true, nil
}

// threadPassages implements chat.Retriever.
type threadPassages struct{ *retrieve.Service }

// Retrieve implements chat.Retriever.
func (t threadPassages) Retrieve(ctx context.Context, turn *chat.Turn, sourceIDs []int64, question string, topK int) ([]chat.MessageCitation, error) {
	a, err := t.Ask(ctx, retrieve.Origin{Kind: "thread", ID: &turn.ID, UserID: turn.AppUserID, RequestID: turn.RequestID}, retrieve.Question{
		Question: clipQuestion(question), SourceIDs: sourceIDs, TopK: topK,
	})
	if err != nil {
		return nil, err
	}
	out := make([]chat.MessageCitation, len(a.Results))
	for i := range a.Results {
		r := &a.Results[i]
		out[i] = chat.MessageCitation{
			Number: i + 1, SourceID: r.SourceID, Path: r.Path, Position: retrieve.Place(r.Position), Chunk: r.Key, Text: r.Text, Score: r.Score,
		}
	}
	return out, nil
}

// clipQuestion keeps the beginning of a message that is longer than a question may be:
// what is asked mostly stands before what it is asked about.
func clipQuestion(text string) string {
	if runes := []rune(text); len(runes) > retrieve.MaxQuestion {
		return string(runes[:retrieve.MaxQuestion])
	}
	return text
}
