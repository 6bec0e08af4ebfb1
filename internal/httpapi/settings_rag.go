package httpapi

import (
	"context"
	"net/http"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/postgres"
	retrieval "github.com/llmctl/studio/internal/rag/settings"
)

// Embeddings asks the embedding model of the stored settings.
type Embeddings interface {
	// Test embeds a text. That it fails is a result, not an error.
	Test(ctx context.Context) (EmbeddingTest, error)
}

// EmbeddingTest is what a test of the embedding model found.
type EmbeddingTest struct {
	OK         bool   `json:"ok"`
	Dimensions int    `json:"dimensions" doc:"Of the model's vectors; 0: there was none"`
	LatencyMS  int64  `json:"latency_ms"`
	Message    string `json:"message"`
	Kind       string `json:"kind,omitempty" doc:"Of a failure: rag.no_embedding_model, auth, rate_limit, unavailable, ..."`
}

type retrievalView struct{ retrieval.Settings }

type retrievalOutput struct {
	ETag string `header:"ETag"`
	Body retrievalView
}

type updateRetrievalInput struct {
	IfMatch string `header:"If-Match"`
	Body    struct {
		EmbeddingModelID      optional[int64] `json:"embedding_model_id,omitzero"`
		EmbeddingDimensions   optional[int]   `json:"embedding_dimensions,omitzero"`
		RerankModelID         optional[int64] `json:"rerank_model_id,omitzero"`
		SynthesisModelID      optional[int64] `json:"synthesis_model_id,omitzero"`
		TopK                  *int            `json:"top_k,omitempty"`
		AuditDays             optional[int]   `json:"audit_days,omitzero"`
		MaxFileBytes          *int64          `json:"max_file_bytes,omitempty"`
		PDFMaxFileBytes       *int64          `json:"pdf_max_file_bytes,omitempty"`
		ChunkTargetTokens     *int            `json:"chunk_target_tokens,omitempty"`
		ChunkMaxTokens        *int            `json:"chunk_max_tokens,omitempty"`
		IndexParallelFiles    *int            `json:"index_parallel_files,omitempty"`
		EmbedMaxItems         *int            `json:"embed_max_items,omitempty"`
		EmbedMaxRequestTokens *int            `json:"embed_max_request_tokens,omitempty"`
		EmbedMaxInputTokens   *int            `json:"embed_max_input_tokens,omitempty"`
		EmbedParallel         *int            `json:"embed_parallel,omitempty"`
	}
}

type embeddingTestOutput struct{ Body EmbeddingTest }

func (s *server) registerRetrievalSettings() {
	handle(s, route{
		method: http.MethodGet, path: "/settings/rag", id: "get-rag-settings", tag: "settings", permission: auth.Read,
		summary: "The models of retrieval, and the limits of indexing and of searches",
	}, func(ctx context.Context, _ *struct{}) (*retrievalOutput, error) {
		v, revision, err := retrieval.Load(ctx, s.deps.DB)
		if err != nil {
			return nil, err
		}
		return &retrievalOutput{ETag: etag(revision), Body: retrievalView{v}}, nil
	})
	handle(s, route{
		method: http.MethodPatch, path: "/settings/rag", id: "update-rag-settings", tag: "settings", permission: auth.Manage,
		audit: true, summary: "Change them; what is left out stays. They hold from the next index run and search on",
	}, s.updateRetrieval)
	handle(s, route{
		method: http.MethodPost, path: "/settings/rag/test", id: "test-rag-settings", tag: "settings", permission: auth.Manage,
		summary: "Ask the stored embedding model for a vector",
	}, func(ctx context.Context, _ *struct{}) (*embeddingTestOutput, error) {
		t, err := s.deps.Embeddings.Test(ctx)
		return &embeddingTestOutput{Body: t}, err
	})
}

func (s *server) updateRetrieval(ctx context.Context, in *updateRetrievalInput) (*retrievalOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	return change(ctx, s, "setting.updated", "setting", 0, func(ctx context.Context, tx *postgres.Tx) (*retrievalOutput, error) {
		v, now, err := retrieval.Save(ctx, tx, revision, in.apply)
		if err != nil {
			return nil, err
		}
		return &retrievalOutput{ETag: etag(now), Body: retrievalView{v}}, nil
	})
}

func (in *updateRetrievalInput) apply(to *retrieval.Settings) {
	b := &in.Body
	setNullable(&to.EmbeddingModelID, b.EmbeddingModelID)
	setNullable(&to.EmbeddingDimensions, b.EmbeddingDimensions)
	setNullable(&to.RerankModelID, b.RerankModelID)
	setNullable(&to.SynthesisModelID, b.SynthesisModelID)
	setNullable(&to.AuditDays, b.AuditDays)
	setGiven(&to.TopK, b.TopK)
	setGiven(&to.MaxFileBytes, b.MaxFileBytes)
	setGiven(&to.PDFMaxFileBytes, b.PDFMaxFileBytes)
	setGiven(&to.ChunkTargetTokens, b.ChunkTargetTokens)
	setGiven(&to.ChunkMaxTokens, b.ChunkMaxTokens)
	setGiven(&to.IndexParallelFiles, b.IndexParallelFiles)
	setGiven(&to.EmbedMaxItems, b.EmbedMaxItems)
	setGiven(&to.EmbedMaxRequestTokens, b.EmbedMaxRequestTokens)
	setGiven(&to.EmbedMaxInputTokens, b.EmbedMaxInputTokens)
	setGiven(&to.EmbedParallel, b.EmbedParallel)
}

func setNullable[T any](to **T, given optional[T]) {
	if given.Set {
		*to = given.Value
	}
}

func setGiven[T any](to, given *T) {
	if given != nil {
		*to = *given
	}
}
