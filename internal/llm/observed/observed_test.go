package observed_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/observed"
)

// scripted answers with a piece, and then as it is told.
type scripted struct {
	llm.Provider
	res llm.Response
	err error
}

func (s scripted) Chat(_ context.Context, _ llm.Request, onDelta func(llm.Delta) error) (llm.Response, error) {
	if err := onDelta(llm.Delta{Text: "x"}); err != nil {
		return s.res, err
	}
	return s.res, s.err
}

func TestCallsAreCountedWithTheirTimesAndErrors(t *testing.T) {
	t.Parallel()
	var got []observed.Call
	at := time.Unix(0, 0)
	o := observed.Options{Called: func(c observed.Call) { got = append(got, c) }, Now: func() time.Time {
		at = at.Add(time.Second)
		return at
	}}
	answer := llm.Response{Model: "m-2026", Text: "x", Finish: llm.FinishStop, Usage: llm.Usage{InputTokens: 3, OutputTokens: 1}}
	res, err := observed.Provider(scripted{res: answer}, observed.Target{Kind: "gemini"}, o).Chat(t.Context(), llm.Request{Model: "m"}, nil)
	require.NoError(t, err)
	require.Equal(t, answer, res)
	require.Equal(t, observed.Call{
		Operation: "chat", Provider: "gcp.gemini", RequestModel: "m", ResponseModel: "m-2026", FirstChunk: time.Second, Took: 2 * time.Second, Usage: answer.Usage,
	}, got[0])

	refused := &llm.Error{Kind: llm.KindRateLimit}
	_, err = observed.Provider(scripted{err: refused}, observed.Target{Kind: "openai"}, o).Chat(t.Context(), llm.Request{Model: "m"}, func(llm.Delta) error { return nil })
	require.ErrorIs(t, err, refused)
	require.Equal(t, "rate_limit", got[1].ErrorType)

	gone := errors.New("the reader is gone")
	_, err = observed.Provider(scripted{}, observed.Target{Kind: "openai"}, o).Chat(t.Context(), llm.Request{Model: "m"}, func(llm.Delta) error { return gone })
	require.ErrorIs(t, err, gone)
	require.Equal(t, "_OTHER", got[2].ErrorType)
}

// scriptedVectors answers as it is told.
type scriptedVectors struct {
	res llm.EmbedResponse
	err error
}

func (s scriptedVectors) Embed(context.Context, llm.EmbedRequest) (llm.EmbedResponse, error) {
	return s.res, s.err
}

func (s scriptedVectors) Rerank(context.Context, llm.RerankRequest) (llm.RerankResponse, error) {
	return llm.RerankResponse{Model: "r-2026"}, s.err
}

func TestEmbeddingsAndRankingsAreCounted(t *testing.T) {
	t.Parallel()
	var got []observed.Call
	at := time.Unix(0, 0)
	o := observed.Options{Called: func(c observed.Call) { got = append(got, c) }, Now: func() time.Time {
		at = at.Add(time.Second)
		return at
	}}
	answer := llm.EmbedResponse{Model: "e-2026", Vectors: [][]float32{{1}}, Usage: llm.Usage{InputTokens: 3}}
	res, err := observed.Embedder(scriptedVectors{res: answer}, observed.Target{Kind: "gemini"}, o).Embed(t.Context(), llm.EmbedRequest{Model: "e"})
	require.NoError(t, err)
	require.Equal(t, answer, res)
	refused := &llm.Error{Kind: llm.KindRateLimit}
	_, err = observed.Reranker(scriptedVectors{err: refused}, observed.Target{Kind: "openai"}, o).Rerank(t.Context(), llm.RerankRequest{Model: "r"})
	require.ErrorIs(t, err, refused)
	require.Equal(t, []observed.Call{
		{Operation: "embeddings", Provider: "gcp.gemini", RequestModel: "e", ResponseModel: "e-2026", Took: time.Second, Usage: answer.Usage},
		{Operation: "rerank", Provider: "openai", RequestModel: "r", ResponseModel: "r-2026", Took: time.Second, ErrorType: "rate_limit"},
	}, got)
}
