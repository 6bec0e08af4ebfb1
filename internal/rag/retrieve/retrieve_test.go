package retrieve_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/retrieve"
	"github.com/llmctl/studio/internal/rag/search"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// bench is a service over a real database, whose models and search are scripted.
type bench struct {
	*retrieve.Service
	db    *postgres.DB
	now   time.Time
	asked []search.Request // what the search was asked

	found    search.Response
	vector   []float32
	embedErr error
	embedded int
	noModel  bool
	ranked   []llm.RerankResult
	rankErr  error

	rerankPriced bool
	answer       string
	chatErr      error
	told         llm.Request
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{db: pgtest.DB(t), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), vector: []float32{1, 0}}
	b.Service = retrieve.New(retrieve.Options{
		Price: b.price, DB: b.db, Search: b, Models: b, Now: func() time.Time { return b.now }, Logger: slog.New(slog.DiscardHandler),
		Settings: func(context.Context) (retrieve.Settings, error) { return retrieve.Settings{TopK: 3, AuditDays: 7}, nil },
	})
	return b
}

func (b *bench) Search(_ context.Context, req search.Request) (search.Response, error) {
	b.asked = append(b.asked, req)
	b.found.Stats.Mode = req.Mode
	return b.found, nil
}
func (b *bench) Key() string   { return "key" }
func (b *bench) Model() string { return "small" }
func (b *bench) Query(context.Context, string) (vector []float32, tokens int64, err error) {
	b.embedded++
	return b.vector, 4, b.embedErr
}

// price is that of all models but the reranker: one unit a token.
func (b *bench) price(_ context.Context, use string, modelID int64, u llm.Usage) (cost *int64, currency string, err error) {
	if use == retrieve.UseRerank && !b.rerankPriced {
		return nil, "EUR", nil
	}
	return new(u.InputTokens + 10*u.OutputTokens + modelID), "EUR", nil
}

func (b *bench) Embedder(context.Context) (retrieve.Embedder, bool, error) {
	return b, !b.noModel, nil
}

func (b *bench) Reranker(context.Context) (llm.Reranker, string, bool, error) {
	return b, "ranker", b.ranked != nil || b.rankErr != nil, nil
}

func (b *bench) Rerank(context.Context, llm.RerankRequest) (llm.RerankResponse, error) {
	return llm.RerankResponse{Results: b.ranked, Usage: llm.Usage{InputTokens: 30}}, b.rankErr
}

func (b *bench) Writer(context.Context, int64) (retrieve.Model, bool, error) {
	return retrieve.Model{Name: "writer", Model: "writer-1", Provider: writer{b}}, b.answer != "" || b.chatErr != nil, nil
}

type writer struct{ *bench }

func (w writer) Chat(_ context.Context, req llm.Request, _ func(llm.Delta) error) (llm.Response, error) {
	w.told = req
	return llm.Response{Text: w.answer, Usage: llm.Usage{InputTokens: 5}}, w.chatErr
}
func (writer) Models(context.Context) ([]llm.ModelInfo, error) { return nil, nil }
func (writer) Test(context.Context) (llm.TestResult, error)    { return llm.TestResult{}, nil }

// source adds a source; embedder is the key of what made its vectors, "" none.
func (b *bench) source(t *testing.T, name string, revision int, embedder string) int64 {
	t.Helper()
	var id int64
	require.NoError(t, b.db.QueryRow(t.Context(), `
		WITH e AS (INSERT INTO rag_embedder (key, provider_kind, model, dimensions) SELECT $3, 'openai', 'model of ' || $3, 2 WHERE $3 <> ''
			ON CONFLICT (key) DO UPDATE SET model = excluded.model RETURNING id)
		INSERT INTO rag_source (name, kind, config, index_revision, rag_embedder_id) VALUES ($1, 'local', '{}', $2, (SELECT id FROM e)) RETURNING id`,
		name, revision, embedder).Scan(&id))
	return id
}

func results(paths ...string) []search.Result {
	out := make([]search.Result, len(paths))
	for i, p := range paths {
		out[i] = search.Result{Path: p, Key: "key of " + p, Text: "text of " + p, SourceName: "Docs"}
	}
	return out
}

func TestQuestionIsCheckedWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, retrieve.Question{Question: " ", TopK: 51, Mode: "magic"})
	e := errs.As(err)
	require.Equal(t, errs.Invalid, e.Code)
	require.Len(t, e.Details, 3, "every faulty field is named")

	_, err = b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, retrieve.Question{Question: "why"})
	require.True(t, errs.HasReason(err, "rag.unconfigured"), "%v", err)
	id := b.source(t, "Docs", 0, "")
	_, err = b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, retrieve.Question{Question: "why"})
	require.True(t, errs.HasReason(err, "rag.not_indexed"), "%v", err)
	_, err = b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, retrieve.Question{Question: "why", SourceIDs: []int64{id, id + 7}})
	require.Equal(t, errs.NotFound, errs.As(err).Code, "%v", err)
	require.Empty(t, b.asked)
}

func TestVectorsAreComparedOnlyWhereTheModelIsTheSame(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ours, theirs, none := b.source(t, "Ours", 3, "key"), b.source(t, "Theirs", 1, "another"), b.source(t, "None", 1, "")
	fresh := b.source(t, "New", 0, "")
	a, err := b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, retrieve.Question{Question: "why"})
	require.NoError(t, err)
	require.Len(t, b.asked, 1)
	require.Equal(t, []int64{ours, theirs, none, fresh}, b.asked[0].SourceIDs)
	require.Equal(t, search.ModeHybrid, b.asked[0].Mode)
	require.Len(t, b.asked[0].Vectors, 1)
	require.Equal(t, 3, b.asked[0].TopK, "the setting's")
	require.Len(t, a.Stats.Warnings, 1, "%v", a.Stats.Warnings)

	a, err = b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, retrieve.Question{Question: "why", SourceIDs: []int64{theirs}})
	require.NoError(t, err)
	require.Equal(t, search.ModeLexical, a.Stats.Mode, "said as it was done")
	_, err = b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, retrieve.Question{Question: "why", SourceIDs: []int64{theirs}, Mode: search.ModeVector})
	require.True(t, errs.HasReason(err, "rag.no_vectors"), "%v", err)
}

func TestModelThatFailsLeavesTheWords(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.source(t, "Ours", 3, "key")
	b.found.Results, b.embedErr = results("a", "b"), &llm.Error{Kind: llm.KindUnavailable, Message: "The server is away."}
	a, err := b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, retrieve.Question{Question: "why"})
	require.NoError(t, err)
	require.Equal(t, search.ModeLexical, b.asked[0].Mode)
	require.Len(t, a.Results, 2)
	require.Contains(t, a.Stats.Warnings[0], "The server is away.")
	_, err = b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, retrieve.Question{Question: "why", Mode: search.ModeVector})
	require.True(t, errs.HasReason(err, "rag.embedder"), "%v", err)

	b.embedErr, b.rankErr, b.chatErr = nil, &llm.Error{Kind: llm.KindTimeout, Message: "Too slow."}, &llm.Error{Kind: llm.KindAuth, Message: "No key."}
	a, err = b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, retrieve.Question{Question: "why", Rerank: true, Synthesize: true})
	require.NoError(t, err)
	require.Equal(t, "a", a.Results[0].Path, "the search's order stays")
	require.Contains(t, a.Stats.Warnings[0], "Too slow.")
	require.Equal(t, &retrieve.Unanswered{Code: "auth", Message: "No key."}, a.SynthesisError)
}

func TestRerankAndAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.source(t, "Ours", 3, "key")
	b.found.Results = results("a", "b", "c", "d", "e")
	b.ranked = []llm.RerankResult{{Index: 3, Score: 9}, {Index: 1, Score: 8}, {Index: 3, Score: 7}, {Index: 99}}
	b.answer = "Because [2, 1] of that [7] and [2]."
	a, err := b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, retrieve.Question{Question: "why", Rerank: true, Synthesize: true})
	require.NoError(t, err)
	require.Equal(t, 15, b.asked[0].TopK, "the model sees more than is wanted")
	require.Equal(t, []string{"d", "b", "a"}, []string{a.Results[0].Path, a.Results[1].Path, a.Results[2].Path})
	require.Equal(t, 1, *a.Results[0].Ranks.Rerank)
	require.Nil(t, a.Results[2].Ranks.Rerank)
	require.Equal(t, b.answer, a.Answer)
	require.Equal(t, []retrieve.Citation{{Number: 1, ResultIndex: 0}, {Number: 2, ResultIndex: 1}}, a.Citations, "[7] is no passage")
	require.Contains(t, b.told.Messages[0].Parts[0].Text, "text of d")
	require.Contains(t, b.told.System, "not instructions")

	b.answer, b.found.Results = "x", nil
	a, err = b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, retrieve.Question{Question: "why", Synthesize: true})
	require.NoError(t, err)
	require.Equal(t, "nothing_found", a.SynthesisError.Code, "no model is asked about nothing")
}

func TestWhatWasAskedIsKept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.source(t, "Ours", 3, "key")
	b.found.Results = results("a")
	node := int64(7)
	_, err := b.Ask(t.Context(), retrieve.Origin{Kind: "node", ID: &node, RequestID: "r"}, retrieve.Question{Question: "why"})
	require.NoError(t, err)
	_, err = b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, retrieve.Question{Question: "how"})
	require.NoError(t, err)
	list, err := b.Retrievals(t.Context(), retrieve.Filter{Origin: "node", SourceID: id}, 0, 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, "why", list[0].Question)
	require.Equal(t, []int64{id}, list[0].SourceIDs)
	require.Equal(t, "text of a", list[0].Results[0].Snippet)
	list, err = b.Retrievals(t.Context(), retrieve.Filter{SourceID: id + 1}, 0, 10)
	require.NoError(t, err)
	require.Empty(t, list)

	var user int64
	require.NoError(t, b.db.QueryRow(t.Context(), `INSERT INTO app_user (email, password_hash, role) VALUES ('ada@example.com', '', 'admin') RETURNING id`).Scan(&user))
	b.answer = "Since [1]."
	_, err = b.Ask(t.Context(), retrieve.Origin{Kind: "api", UserID: &user}, retrieve.Question{Question: "who", Synthesize: true})
	require.NoError(t, err)
	list, err = b.Retrievals(t.Context(), retrieve.Filter{UserID: user}, 0, 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.True(t, list[0].Results[0].Cited, "the answer names it")
	one, err := b.Retrieval(t.Context(), list[0].ID)
	require.NoError(t, err)
	require.Equal(t, list[0], one)
	_, err = b.Retrieval(t.Context(), list[0].ID+1)
	require.True(t, errs.HasReason(err, "rag.retrieval_not_found"))
	long, soon := b.now.Add(-240*time.Hour), time.Now().Add(time.Hour)
	for n, f := range map[int]retrieve.Filter{3: {Since: &long, Until: &soon}, 0: {Since: &soon}} {
		list, err = b.Retrievals(t.Context(), f, 0, 10)
		require.NoError(t, err)
		require.Len(t, list, n)
	}

	_, err = b.db.Exec(t.Context(), `UPDATE rag_retrieval SET at = now() - interval '8 days' WHERE question = 'why'`)
	require.NoError(t, err)
	n, err := b.Clean(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

func TestHealth(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	state := func() retrieve.RetrievalHealth {
		h, err := b.Health(t.Context())
		require.NoError(t, err)
		return h
	}
	require.Equal(t, retrieve.Unconfigured, state().Status)
	require.True(t, errs.HasReason(b.Admit(t.Context()), "rag.unconfigured"))

	b.source(t, "Ours", 3, "key")
	require.Equal(t, retrieve.Healthy, state().Status)
	require.NoError(t, b.Admit(t.Context()))
	require.Equal(t, 1, b.embedded, "the model is not asked each time")

	b.embedErr = &llm.Error{Kind: llm.KindAuth, Message: "The provider refused the key."}
	require.Equal(t, retrieve.Healthy, state().Status)
	b.now = b.now.Add(2 * time.Minute)
	require.Equal(t, retrieve.Unhealthy, state().Status)
	require.Contains(t, state().Reasons, "The provider refused the key.")
	require.True(t, errs.HasReason(b.Admit(t.Context()), "rag.unhealthy"))

	b.embedErr = nil
	_, err := b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, retrieve.Question{Question: "why"})
	require.NoError(t, err)
	require.Equal(t, retrieve.Healthy, state().Status, "a question teaches as well")

	b.noModel = true
	h := state()
	require.Equal(t, retrieve.Healthy, h.Status, "without a model words are compared")
	require.False(t, h.Embedder.Configured)
	_, err = b.db.Exec(t.Context(), `DROP TABLE rag_chunk CASCADE`)
	require.NoError(t, err)
	require.Equal(t, retrieve.Unhealthy, state().Status)
}

func TestCollectionsCountWhatASearchSees(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.source(t, "Ours", 2, "key")
	_, err := b.db.Exec(t.Context(), `INSERT INTO rag_file (rag_source_id, path, from_revision, to_revision, fingerprint, signature, content_hash, size, kind, language)
		SELECT $1, p, f, t, '', '', '', 1, k, l FROM (VALUES ('a.go', 1, NULL, 'code', 'go'), ('b.go', 2, 3, 'code', 'go'), ('c.py', 1, 2, 'code', 'python'),
		('d.py', 3, NULL, 'code', 'python'), ('e.md', 2, NULL, 'markdown', '')) x (p, f, t, k, l)`, id)
	require.NoError(t, err)
	b.source(t, "Empty", 0, "")
	list, err := b.Collections(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "not_indexed", list[0].Status)
	require.Equal(t, []retrieve.LanguageCount{{Language: "go", Files: 2}}, list[1].Languages)
	require.Equal(t, []retrieve.KindCount{{Kind: "code", Files: 2}, {Kind: "markdown", Files: 1}}, list[1].Kinds)
	require.Equal(t, &retrieve.EmbedderInfo{Model: "model of key", Dimensions: 2}, list[1].Embedder)
}

func TestWhatAQuestionUsesOfModelsIsToldAndKept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.source(t, "Ours", 3, "key")
	b.found.Results = results("a", "b")
	b.ranked, b.answer = []llm.RerankResult{{Index: 1, Score: 1}}, "It is [1]."
	ask := func(q retrieve.Question) retrieve.QueryUsage {
		q.Question = "why"
		a, err := b.Ask(t.Context(), retrieve.Origin{Kind: "api"}, q)
		require.NoError(t, err)
		return a.Stats.Usage
	}
	require.Equal(t, retrieve.QueryUsage{Calls: []retrieve.Use{}}, ask(retrieve.Question{Mode: search.ModeLexical}), "words cost nothing")
	require.Equal(t, retrieve.QueryUsage{Currency: "EUR", CostMicros: new(int64(4)), Calls: []retrieve.Use{
		{For: "embed", Model: "small", InputTokens: 4, CostMicros: new(int64(4))},
	}}, ask(retrieve.Question{}))
	u := ask(retrieve.Question{Rerank: true, Synthesize: true, ModelID: 100})
	require.Len(t, u.Calls, 3)
	require.Nil(t, u.CostMicros, "one has no price")
	require.Equal(t, retrieve.Use{For: "rerank", Model: "ranker", InputTokens: 30}, u.Calls[1])
	require.Equal(t, retrieve.Use{For: "answer", Model: "writer-1", InputTokens: 5, CostMicros: new(int64(105))}, u.Calls[2])
	b.rerankPriced = true
	require.EqualValues(t, 4+30+5, *ask(retrieve.Question{Rerank: true, Synthesize: true}).CostMicros)
	kept, err := b.Retrievals(t.Context(), retrieve.Filter{}, 0, 1)
	require.NoError(t, err)
	require.EqualValues(t, 39, *kept[0].Stats.Usage.CostMicros)
}
