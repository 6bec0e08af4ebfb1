package demo_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/demo"
	"github.com/llmctl/studio/internal/llm/featurehash"
)

func embed(t *testing.T, inputs ...string) llm.EmbedResponse {
	t.Helper()
	res, err := demo.New("Demo", 0).Embed(t.Context(), llm.EmbedRequest{Model: demo.EmbeddingModelID, Inputs: inputs, Purpose: llm.EmbedDocument})
	require.NoError(t, err)
	return res
}

func TestEmbeddingsBringTextsWithTheSameWordsTogether(t *testing.T) {
	t.Parallel()
	res := embed(t, "How do I restart a failed worker?", "Failed workers are restarted by the supervisor.", "Invoices go out at the end of the month.")
	require.Len(t, res.Vectors, 3)
	require.Len(t, res.Vectors[0], demo.Dimensions)
	near, far := featurehash.Cosine(res.Vectors[0], res.Vectors[1]), featurehash.Cosine(res.Vectors[0], res.Vectors[2])
	require.Greater(t, near, far+0.2)
	require.EqualValues(t, 23, res.Usage.InputTokens)
	require.Equal(t, res, embed(t, "How do I restart a failed worker?", "Failed workers are restarted by the supervisor.", "Invoices go out at the end of the month."))
}

func TestEmbeddingsHaveLimitsLikeThoseOfARealModel(t *testing.T) {
	t.Parallel()
	p := demo.New("Demo", 0)
	kind := func(req llm.EmbedRequest) llm.Kind {
		_, err := p.Embed(t.Context(), req)
		var e *llm.Error
		require.ErrorAs(t, err, &e)
		return e.Kind
	}
	require.Equal(t, llm.KindUnknownModel, kind(llm.EmbedRequest{Model: demo.ModelID, Inputs: []string{"x"}}))
	require.Equal(t, llm.KindContextLength, kind(llm.EmbedRequest{Model: demo.EmbeddingModelID, Inputs: []string{strings.Repeat("word ", 100_001)}}))
	require.Equal(t, llm.KindInvalidRequest, kind(llm.EmbedRequest{Model: demo.EmbeddingModelID, Inputs: []string{"x", ""}}))
	require.Equal(t, llm.KindInvalidRequest, kind(llm.EmbedRequest{Model: demo.EmbeddingModelID}))
	require.Equal(t, llm.KindInvalidRequest, kind(llm.EmbedRequest{Model: demo.EmbeddingModelID, Inputs: []string{"x"}, Dimensions: 20_000}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Embed(ctx, llm.EmbedRequest{Model: demo.EmbeddingModelID, Inputs: []string{"x"}})
	var e *llm.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, llm.KindCancelled, e.Kind)
	res, err := p.Embed(t.Context(), llm.EmbedRequest{Model: demo.EmbeddingModelID, Inputs: []string{"x"}, Dimensions: 32})
	require.NoError(t, err)
	require.Len(t, res.Vectors[0], 32)
}

func TestRerankingPutsTheAnswerFirst(t *testing.T) {
	t.Parallel()
	p := demo.New("Demo", 0)
	res, err := p.Rerank(t.Context(), llm.RerankRequest{Model: demo.EmbeddingModelID, Query: "restart a failed worker", TopN: 2, Documents: []string{
		"Invoices go out monthly.", "A failed worker restarts by itself.", "Workers are listed on the page.",
	}})
	require.NoError(t, err)
	require.Len(t, res.Results, 2)
	require.Equal(t, 1, res.Results[0].Index)
	require.Equal(t, 2, res.Results[1].Index)
	_, err = p.Rerank(t.Context(), llm.RerankRequest{Model: demo.ModelID, Query: "q", Documents: []string{"d"}})
	require.Error(t, err)
}
