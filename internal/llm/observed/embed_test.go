package observed_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/observed"
)

func TestSpansOfEmbeddingsFollowTheConventionsAndHoldNoTexts(t *testing.T) {
	t.Parallel()
	seen := tracetest.NewSpanRecorder()
	ctx, root := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(seen)).Tracer("test").Start(t.Context(), "root")
	at := observed.Target{Kind: "openai", BaseURL: "http://127.0.0.1:8000/v1"}
	answer := llm.EmbedResponse{Model: "e-2026", Vectors: [][]float32{{1, 0}, {0, 1}}, Usage: llm.Usage{InputTokens: 3}}
	_, err := observed.Embedder(scriptedVectors{res: answer}, at, observed.Options{Content: true}).
		Embed(ctx, llm.EmbedRequest{Model: "e", Inputs: []string{"secret one", "secret two"}})
	require.NoError(t, err)
	_, err = observed.Reranker(scriptedVectors{err: &llm.Error{Kind: llm.KindAuth, Message: "no"}}, at, observed.Options{}).
		Rerank(ctx, llm.RerankRequest{Model: "r", Documents: []string{"secret"}})
	require.Error(t, err)
	root.End()

	spans := seen.Ended()
	require.Len(t, spans, 3)
	attributes := func(i int) map[string]string {
		out := map[string]string{}
		for _, a := range spans[i].Attributes() {
			out[string(a.Key)] = a.Value.String()
			require.NotContains(t, a.Value.String(), "secret")
		}
		return out
	}
	require.Equal(t, "embeddings e", spans[0].Name())
	require.Equal(t, map[string]string{
		"gen_ai.operation.name": "embeddings", "gen_ai.provider.name": "openai", "gen_ai.request.model": "e", "gen_ai.response.model": "e-2026",
		"gen_ai.usage.input_tokens": "3", "gen_ai.embeddings.dimension.count": "2", "llmctl.inputs.count": "2",
		"server.address": "127.0.0.1", "server.port": "8000",
	}, attributes(0))
	require.Equal(t, "rerank r", spans[1].Name())
	require.Equal(t, "auth", attributes(1)["error.type"])
	require.Equal(t, codes.Error, spans[1].Status().Code)

	_, err = observed.Embedder(scriptedVectors{err: errors.New("odd")}, at, observed.Options{}).Embed(t.Context(), llm.EmbedRequest{Model: "e"})
	require.Error(t, err, "without a trace there is no span, and no harm")
}
