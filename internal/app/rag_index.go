package app

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/llmctl/studio/internal/document"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/node/kind"
	"github.com/llmctl/studio/internal/periodic"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/chunk"
	"github.com/llmctl/studio/internal/rag/embed"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/rag/models"
	"github.com/llmctl/studio/internal/rag/search"
	"github.com/llmctl/studio/internal/rag/settings"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/schedule"
)

// newIndexing makes what works index runs, and has it decide about their nodes.
func newIndexing(s *studio) *index.Service {
	svc := index.New(index.Options{
		DB: s.db, Log: s.events, Engine: s.engine, Sources: indexSources{s}, Setup: s.indexSetup, Prices: s.ragPrices.index, Words: search.Words, Now: s.now, Logger: s.log,
	})
	for _, k := range []string{kind.RAG, kind.RAGIndex} {
		s.hooks.queue[k] = func(ctx context.Context, q postgres.Querier, config json.RawMessage) (string, error) {
			return indexQueue(ctx, q, svc, config)
		}
		s.hooks.waits[k] = func(ctx context.Context, q postgres.Querier, n *run.NodeRun) (bool, error) {
			return svc.Waits(ctx, q, n.ID)
		}
		s.hooks.ended[k] = svc.EndedTx
		s.hooks.further[k] = func(ctx context.Context, tx *postgres.Tx, n *run.NodeRun) (bool, error) {
			return svc.GotFurther(ctx, tx, n.ID)
		}
	}
	s.hooks.retried[kind.RAGIndex] = svc.RetriedTx
	return svc
}

// indexQueue names the queue of a node that indexes; one that asks has none of its own.
func indexQueue(ctx context.Context, q postgres.Querier, svc *index.Service, config json.RawMessage) (string, error) {
	var c struct {
		Mode      string  `json:"mode"`
		SourceIDs []int64 `json:"source_ids"`
	}
	if json.Unmarshal(config, &c) != nil || c.Mode == "query" {
		return "", nil //nolint:nilerr // the handler says what is wrong with a config
	}
	return svc.QueueOfSources(ctx, q, c.SourceIDs)
}

// indexSources implements index.Sources.
type indexSources struct{ s *studio }

// Fetcher implements index.Sources.
func (i indexSources) Fetcher(ctx context.Context, q postgres.Querier, id int64) (fetch.Fetcher, error) {
	f, _, err := i.s.sources.Open(ctx, q, id)
	return f, err
}

// indexSetup makes of the settings what an attempt of an index run works with.
func (s *studio) indexSetup(ctx context.Context, tell func(index.Wait)) (index.Setup, error) {
	set, _, err := settings.Load(ctx, s.db)
	if err != nil {
		return index.Setup{}, err
	}
	out := index.Setup{
		Parallel: set.IndexParallelFiles, MaxFileBytes: set.MaxFileBytes, MaxPDFBytes: set.PDFMaxFileBytes,
		Batch: set.EmbedMaxItems, Embeds: set.EmbedParallel,
		Cutter: index.Documents{
			Parser:  s.documents.Parser,
			Limits:  document.Limits{MaxBytes: max(set.MaxFileBytes, set.PDFMaxFileBytes)},
			Options: chunk.Options{TargetTokens: set.ChunkTargetTokens, MaxTokens: set.ChunkMaxTokens},
		},
	}
	e, err := s.retrieval.Embedder(ctx)
	if errs.HasReason(err, models.ReasonNoEmbeddingModel) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.Embedder, err = s.indexEmbedder(ctx, e, tell)
	return out, err
}

// indexEmbedder implements index.Embedder.
type indexEmbedder struct {
	*embed.Embedder
	who    index.Identity
	prices *ragPrices
}

// indexEmbedder makes the embedder of an attempt, which is told what that waits for. How
// long its vectors are is asked of the provider only once ever.
func (s *studio) indexEmbedder(ctx context.Context, e *models.Embedder, tell func(index.Wait)) (*indexEmbedder, error) {
	out := &indexEmbedder{prices: s.ragPrices, Embedder: e.Telling(func(d time.Duration, reason llm.Kind) {
		tell(index.Wait{For: d, Reason: string(reason)})
	})}
	var known bool
	var err error
	if out.who, known, err = s.indexing.Embedder(ctx, s.db, e.Key()); err != nil || known {
		return out, err
	}
	dimensions, err := out.Dimensions(ctx)
	if err != nil {
		return out, err
	}
	if _, err := e.Store.Embedder(ctx, s.db, e.Key(), dimensions); err != nil {
		return out, err
	}
	out.who, _, err = s.indexing.Embedder(ctx, s.db, e.Key())
	return out, err
}

// Identity implements index.Embedder.
func (e *indexEmbedder) Identity() index.Identity { return e.who }

// Embed implements index.Embedder.
func (e *indexEmbedder) Embed(ctx context.Context, texts []string) (index.Embedded, error) {
	res, err := e.Documents(ctx, texts)
	e.prices.indexed(ctx, e.who.Model, res.Tokens)
	if changed, ok := errors.AsType[*errs.Error](err); ok && changed.Code == errs.Conflict {
		return index.Embedded{}, &index.Failure{Code: index.CodeVectors, Message: changed.Message}
	}
	return index.Embedded{Cached: res.Cached, Tokens: res.Tokens}, err
}

// scheduledIndexing implements schedule.IndexStarter.
type scheduledIndexing struct{ *index.Service }

// StartIndexTx implements schedule.IndexStarter.
func (i scheduledIndexing) StartIndexTx(ctx context.Context, tx *postgres.Tx, sourceID int64, mode string, by schedule.Origin) (int64, error) {
	return i.Service.StartIndexTx(ctx, tx, sourceID, mode, index.Origin{UserID: by.UserID, CorrelationID: by.CorrelationID})
}

// indexSweep removes what no revision of an index shows any more.
func indexSweep(s *studio) periodic.Task {
	return periodic.Task{Name: "index_cleanup", Period: 30 * time.Second, Limit: 4 * time.Minute, Do: func(ctx context.Context) (any, error) {
		return s.indexing.Sweep(ctx)
	}}
}

// unusedVectors removes vectors of texts that no index has any more.
func unusedVectors(s *studio) periodic.Task {
	return periodic.Task{Name: "unused_vectors", Period: time.Hour, Limit: 4 * time.Minute, Do: func(ctx context.Context) (any, error) {
		n, err := s.indexing.DropVectors(ctx)
		return map[string]int64{"vectors": n}, err
	}}
}
