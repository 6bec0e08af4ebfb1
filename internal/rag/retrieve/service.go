package retrieve

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/retrieve/dbsqlc"
	"github.com/llmctl/studio/internal/rag/scope"
	"github.com/llmctl/studio/internal/rag/search"
)

// Limits of a question.
const (
	MaxQuestion = 8000 // characters
	MaxTopK     = 50
	maxAsked    = 500 // sources
)

// Searcher finds passages; see package search.
type Searcher interface {
	Search(ctx context.Context, req search.Request) (search.Response, error)
}

// Embedder makes the vectors of questions. Key tells embedders apart, whose vectors
// cannot be compared.
type Embedder interface {
	Key() string
	Model() string
	Query(ctx context.Context, text string) (vector []float32, tokens int64, err error)
}

// Model is a model that can be asked: the provider, and its name there.
type Model struct {
	Name     string // the user's name for it
	Model    string
	Provider llm.Provider
	Params   llm.Params
}

// Models are the models that the settings name. ok is false when none is set.
type Models interface {
	Embedder(ctx context.Context) (e Embedder, ok bool, err error)
	Reranker(ctx context.Context) (r llm.Reranker, model string, ok bool, err error)
	// Writer writes answers; id 0 is the one of the settings.
	Writer(ctx context.Context, id int64) (m Model, ok bool, err error)
}

// Settings are what the section "rag" says of searches.
type Settings struct {
	TopK      int
	AuditDays int
}

// Options wire a Service.
type Options struct {
	DB       *postgres.DB
	Search   Searcher
	Models   Models
	Settings func(ctx context.Context) (Settings, error)
	Price    Pricer // nil: costs are not known
	Now      func() time.Time
	Logger   *slog.Logger
}

// Service answers questions. It is safe for concurrent use.
type Service struct {
	o Options
	q *dbsqlc.Queries
	// probe is what was last learned of the embedding model.
	probe probe
}

// New makes a service.
func New(o Options) *Service { return &Service{o: o, q: dbsqlc.New()} }

// Origin is who asks.
type Origin struct {
	Kind      string // "api", "thread", "node" or "mcp"
	ID        *int64 // the turn or node run
	UserID    *int64
	RequestID string
}

// Question is what is asked.
type Question struct {
	Question  string
	SourceIDs []int64 // empty: all sources that there are
	TopK      int     // 0: the setting
	Mode      string  // of package search; "": hybrid
	Filter    scope.Filter
	Rerank    bool
	Explain   bool
	// Synthesize asks a model for an answer in words. ModelID names it; 0: that of the
	// settings.
	Synthesize bool
	ModelID    int64
}

// Answer is what was found.
type Answer struct {
	Results   []search.Result
	Lists     *search.Lists // with Explain: what was joined
	Answer    string
	Citations []Citation
	// SynthesisError is why there is no answer in words; the results stand.
	SynthesisError *Unanswered
	Usage          llm.Usage
	Stats          QueryStats
}

// Citation is a passage that the answer refers to by number.
type Citation struct {
	Number      int `json:"number" doc:"As the answer refers to it: [1]"`
	ResultIndex int `json:"result_index" doc:"Position in results, from 0"`
}

// Unanswered is why a part could not be done. Message is for people.
type Unanswered struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// EmbedderInfo says what made the vectors.
type EmbedderInfo struct {
	Model      string `json:"model"`
	Dimensions int    `json:"dimensions"`
}

// QueryStats say how it was found. Times are milliseconds.
type QueryStats struct {
	Mode          string        `json:"mode" enum:"hybrid,lexical,vector" doc:"What was done, which is less than what was asked for when there are no vectors"`
	TopK          int           `json:"top_k"`
	Candidates    int           `json:"candidates" doc:"Passages that either list had"`
	LexicalMS     float64       `json:"lexical_ms"`
	VectorMS      float64       `json:"vector_ms"`
	EmbedMS       float64       `json:"embed_ms"`
	RerankMS      float64       `json:"rerank_ms"`
	SynthesisMS   float64       `json:"synthesis_ms"`
	TotalMS       float64       `json:"total_ms"`
	Embedder      *EmbedderInfo `json:"embedder"`
	VectorBackend string        `json:"vector_backend" enum:"exact,pgvector,none"`
	Warnings      []string      `json:"warnings" doc:"What was left out, and why"`

	Usage       QueryUsage          `json:"usage" doc:"What the question used of models"`
	Corrections []search.Correction `json:"corrections" doc:"Words that the sources do not have, and what was searched instead"`
}

func (s *QueryStats) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}

// Ask searches, and answers in words if asked to. Errors: invalid (every faulty field);
// not_found for sources that do not exist; unavailable (rag.unconfigured: there is no
// source; rag.embedder: only vectors were wanted and the model fails).
func (s *Service) Ask(ctx context.Context, by Origin, q Question) (Answer, error) {
	began := s.o.Now()
	set, err := s.o.Settings(ctx)
	if err != nil {
		return Answer{}, err
	}
	if err := q.check(set); err != nil {
		return Answer{}, err
	}
	asked, err := s.asked(ctx, q.SourceIDs)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Results: []search.Result{}, Citations: []Citation{}, Stats: QueryStats{Mode: q.Mode, TopK: q.TopK, VectorBackend: "none", Warnings: []string{}, Corrections: []search.Correction{}, Usage: QueryUsage{Calls: []Use{}}}}
	req, err := s.request(ctx, &q, asked, &a.Stats)
	if err != nil {
		return Answer{}, err
	}
	found, err := s.o.Search.Search(ctx, req)
	if err != nil {
		return Answer{}, err
	}
	a.take(&found)
	s.rerank(ctx, &q, &a)
	a.Results = a.Results[:min(len(a.Results), q.TopK)]
	s.synthesize(ctx, &q, &a)
	a.Stats.TotalMS = s.since(began)
	return a, s.note(ctx, by, &q, asked, &a)
}

// take copies what a search found.
func (a *Answer) take(found *search.Response) {
	a.Results, a.Lists = found.Results, found.Lists
	a.Stats.Mode, a.Stats.Candidates = found.Stats.Mode, found.Stats.Candidates
	a.Stats.LexicalMS, a.Stats.VectorMS = found.Stats.LexicalMS, found.Stats.VectorMS
	a.Stats.VectorBackend = found.Stats.VectorBackend
	a.Stats.Corrections = append(a.Stats.Corrections, found.Stats.Corrections...)
	a.Stats.Warnings = append(a.Stats.Warnings, found.Stats.Warnings...)
}

// check reports everything that is wrong with a question, and fills in what it left out.
func (q *Question) check(set Settings) error {
	var details []errs.Detail
	wrong := func(name, format string, args ...any) {
		details = append(details, errs.Detail{Location: "body." + name, Message: fmt.Sprintf(format, args...)})
	}
	q.Question = strings.TrimSpace(strings.ToValidUTF8(strings.ReplaceAll(q.Question, "\x00", " "), "\uFFFD"))
	if n := utf8.RuneCountInString(q.Question); n == 0 || n > MaxQuestion {
		wrong("question", "has %d characters; accepted are 1 to %d", n, MaxQuestion)
	}
	if q.TopK == 0 {
		q.TopK = set.TopK
	}
	if q.TopK < 1 || q.TopK > MaxTopK {
		wrong("top_k", "is %d; accepted are 1 to %d", q.TopK, MaxTopK)
	}
	if q.Mode == "" {
		q.Mode = search.ModeHybrid
	}
	if !slices.Contains([]string{search.ModeHybrid, search.ModeLexical, search.ModeVector}, q.Mode) {
		wrong("mode", "is %q; accepted are %s, %s and %s", q.Mode, search.ModeHybrid, search.ModeLexical, search.ModeVector)
	}
	if len(q.SourceIDs) > maxAsked {
		wrong("source_ids", "names %d sources; accepted are at most %d", len(q.SourceIDs), maxAsked)
	}
	if len(details) > 0 {
		return errs.E(errs.Invalid, "rag.invalid_question", "The question cannot be put.", details...)
	}
	return nil
}

// asked loads the sources that are meant.
func (s *Service) asked(ctx context.Context, ids []int64) ([]dbsqlc.ListAskedRow, error) {
	if ids == nil {
		ids = []int64{}
	}
	rows, err := s.q.ListAsked(ctx, s.o.DB, dbsqlc.ListAskedParams{Ids: ids, MaxRows: maxAsked})
	if err != nil {
		return nil, fmt.Errorf("list sources: %w", err)
	}
	for _, id := range ids {
		if !slices.ContainsFunc(rows, func(r dbsqlc.ListAskedRow) bool { return r.ID == id }) {
			return nil, errs.E(errs.NotFound, "rag.source_not_found", fmt.Sprintf("There is no source %d.", id),
				errs.Detail{Location: "body.source_ids", Message: fmt.Sprintf("there is no source %d", id)})
		}
	}
	if len(rows) == 0 {
		return nil, errs.E(errs.Unavailable, "rag.unconfigured", "There are no sources yet. Add one under Sources, and index it.")
	}
	return rows, nil
}

// request makes a search of a question: with a vector, where the sources have such.
func (s *Service) request(ctx context.Context, q *Question, asked []dbsqlc.ListAskedRow, stats *QueryStats) (search.Request, error) {
	req := search.Request{Question: q.Question, TopK: q.TopK, Mode: q.Mode, Filter: q.Filter, Explain: q.Explain}
	if q.Rerank {
		req.TopK = min(q.TopK*rerankOf, MaxTopK)
	}
	indexed := false
	for _, source := range asked {
		req.SourceIDs = append(req.SourceIDs, source.ID)
		indexed = indexed || source.IndexRevision > 0
	}
	if !indexed {
		return req, errs.E(errs.Unavailable, "rag.not_indexed", "None of the sources was indexed yet. Index one under Sources first.")
	}
	if q.Mode == search.ModeLexical {
		return req, nil
	}
	err := s.embed(ctx, &req, asked, stats)
	if err != nil && q.Mode == search.ModeVector {
		return req, err
	}
	if err != nil {
		stats.warn("%s Only words were compared.", errs.As(err).Message)
	}
	if len(req.Vectors) == 0 {
		if q.Mode == search.ModeVector && err == nil {
			return req, errs.E(errs.Unavailable, "rag.no_vectors",
				"The sources have no vectors of the embedding model that is set under Settings → Retrieval. Set one, and index the sources anew.")
		}
		req.Mode = search.ModeLexical
	}
	return req, nil
}

// embed makes the question's vector, if a source has vectors of the model that is set.
func (s *Service) embed(ctx context.Context, req *search.Request, asked []dbsqlc.ListAskedRow, stats *QueryStats) error {
	model, ok, err := s.o.Models.Embedder(ctx)
	if err != nil {
		return err
	}
	if !ok {
		return nil
	}
	fits := map[int64]int32{}
	for _, source := range asked {
		switch {
		case source.IndexRevision == 0 || source.RagEmbedderID == nil: // the search tells
		case source.EmbedderKey != model.Key():
			stats.warn("%s was indexed with the model %s, which is not the one that is set. Index it anew to compare meanings there.", source.Name, source.EmbedderModel)
		default:
			fits[*source.RagEmbedderID] = source.Dimensions
		}
	}
	if len(fits) == 0 {
		return nil
	}
	began := s.o.Now()
	vector, tokens, err := model.Query(ctx, req.Question)
	stats.EmbedMS = s.since(began)
	s.used(ctx, &stats.Usage, UseEmbed, model.Model(), 0, llm.Usage{InputTokens: tokens})
	s.probe.learned(s.o.Now(), model.Key(), err)
	if err != nil {
		return modelFailed("rag.embedder", "The embedding model "+model.Model()+" does not answer.", err)
	}
	req.Vectors = map[int64][]float32{}
	for id, dimensions := range fits {
		if int(dimensions) != len(vector) {
			stats.warn("The embedding model gives %d dimensions; the index has %d. Index the sources anew.", len(vector), dimensions)
			continue
		}
		req.Vectors[id] = vector
		stats.Embedder = &EmbedderInfo{Model: model.Model(), Dimensions: len(vector)}
	}
	return nil
}

func (s *Service) since(t time.Time) float64 {
	return float64(s.o.Now().Sub(t).Microseconds()) / 1000
}
