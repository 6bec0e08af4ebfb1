package registry_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/registry"
	"github.com/llmctl/studio/internal/testkit/llmtest"
)

// call is one of the operations beside Chat, as all its failures are alike.
type call struct {
	name  string
	kinds []string
	do    func(ctx context.Context, b *bench, text string) error
}

func calls() []call {
	return []call{
		{name: "embed", kinds: []string{registry.OpenAI, registry.Gemini}, do: func(ctx context.Context, b *bench, text string) error {
			_, err := b.embedder().Embed(ctx, llm.EmbedRequest{Model: "scripted-model", Inputs: []string{"a first text", text}, Purpose: llm.EmbedDocument})
			return err
		}},
		{name: "rerank", kinds: []string{registry.OpenAI}, do: func(ctx context.Context, b *bench, text string) error {
			_, err := b.reranker().Rerank(ctx, llm.RerankRequest{Model: "scripted-model", Query: "question", Documents: []string{text}})
			return err
		}},
	}
}

func (b *bench) embedder() llm.Embedder {
	e, ok := b.p.(llm.Embedder)
	if !ok {
		panic(b.kind + " has no embeddings")
	}
	return e
}

func (b *bench) reranker() llm.Reranker {
	r, ok := b.p.(llm.Reranker)
	if !ok {
		panic(b.kind + " cannot rerank")
	}
	return r
}

func eachCall(t *testing.T, o llm.ClientOptions, check func(*testing.T, *bench, call)) {
	t.Helper()
	for _, c := range calls() {
		for _, kind := range c.kinds {
			t.Run(c.name+" "+kind, func(t *testing.T) {
				t.Parallel()
				check(t, setup(t, kind, o), c)
			})
		}
	}
}

func eachEmbedder(t *testing.T, check func(*testing.T, *bench)) {
	t.Helper()
	for _, kind := range []string{registry.OpenAI, registry.Gemini} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			check(t, setup(t, kind, llm.ClientOptions{}))
		})
	}
}

func TestVectorsComeInTheOrderOfTheTexts(t *testing.T) {
	t.Parallel()
	eachEmbedder(t, func(t *testing.T, b *bench) {
		t.Helper()
		inputs := []string{"the first text", "a second one", "日本語 und mehr"}
		for _, floats := range []bool{false, true} {
			b.server.Embed(llmtest.Embeddings{Dimensions: 48, Floats: floats})
			res, err := b.embedder().Embed(t.Context(), llm.EmbedRequest{Model: "scripted-model", Inputs: inputs, Purpose: llm.EmbedDocument})
			require.NoError(t, err)
			require.Len(t, res.Vectors, 3)
			for i, text := range inputs {
				require.InDeltaSlice(t, llmtest.Vector(text, 48), res.Vectors[i], 1e-6)
			}
			require.Equal(t, "scripted-model", res.Model)
			if b.kind == registry.OpenAI {
				require.Equal(t, llm.Usage{InputTokens: 9}, res.Usage)
			}
		}
		req := b.server.Next(t)
		require.Equal(t, key, req.Key)
		require.Equal(t, "scripted-model", req.Model)
		require.Equal(t, inputs, req.Inputs)
		require.Equal(t, llmtest.EmbedCounts{Requests: 2, Inputs: 6, Tokens: 18}, b.server.Embedded())
	})
}

func TestDimensionsAndPurposeAreSent(t *testing.T) {
	t.Parallel()
	eachEmbedder(t, func(t *testing.T, b *bench) {
		t.Helper()
		for purpose, want := range map[llm.EmbedPurpose]string{llm.EmbedDocument: "RETRIEVAL_DOCUMENT", llm.EmbedQuery: "RETRIEVAL_QUERY"} {
			res, err := b.embedder().Embed(t.Context(), llm.EmbedRequest{Model: "scripted-model", Inputs: []string{"text"}, Dimensions: 32, Purpose: purpose})
			require.NoError(t, err)
			require.Len(t, res.Vectors[0], 32)
			if b.kind == registry.Gemini {
				require.Equal(t, want, b.server.Next(t).Purpose)
			}
		}
	})
}

func TestWrongVectorsAreNeverPassedOn(t *testing.T) {
	t.Parallel()
	one, two := []float32{1, 0}, []float32{1, 0, 0}
	cases := map[string]struct {
		answer     [][]float32
		dimensions int
		says       string
	}{
		"too few":        {[][]float32{one}, 0, "answered 2 texts with"},
		"of two lengths": {[][]float32{one, two}, 0, "vectors of"},
		"empty":          {[][]float32{{}, {}}, 0, "dimensions"},
		"not as asked":   {[][]float32{one, one}, 3, "not of the 3 that were asked for"},
	}
	eachEmbedder(t, func(t *testing.T, b *bench) {
		t.Helper()
		for name, c := range cases {
			b.server.Embed(llmtest.Embeddings{Answer: func([]string) [][]float32 { return c.answer }})
			_, err := b.embedder().Embed(t.Context(), llm.EmbedRequest{Model: "scripted-model", Inputs: []string{"a", "b"}, Dimensions: c.dimensions})
			e := llmError(t, err)
			require.Equal(t, llm.KindInvalidRequest, e.Kind, name)
			require.False(t, e.Retryable())
			require.Contains(t, e.Message, c.says, name)
		}
	})
}

func TestPassagesAreRankedBestFirst(t *testing.T) {
	t.Parallel()
	b := setup(t, registry.OpenAI, llm.ClientOptions{})
	res, err := b.reranker().Rerank(t.Context(), llm.RerankRequest{Model: "scripted-model", Query: "restart a failed worker", TopN: 2, Documents: []string{
		"Invoices go out monthly.", "Workers are listed on the page.", "A failed worker restarts by itself.",
	}})
	require.NoError(t, err)
	require.Len(t, res.Results, 2)
	require.Equal(t, 2, res.Results[0].Index)
	require.Equal(t, 1, res.Results[1].Index)
	require.Greater(t, res.Results[0].Score, res.Results[1].Score)
	require.Positive(t, res.Usage.InputTokens)
	require.Equal(t, key, b.server.Next(t).Key)
}

func TestErrorsOfEmbeddingsAndRankingsAreClassifiedAndNotRetried(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reply     llmtest.Reply
		kind      llm.Kind
		retryable bool
	}{
		"key":      {llmtest.Reply{Status: 401, ErrorMessage: "bad key " + key}, llm.KindAuth, false},
		"model":    {llmtest.Reply{Status: 404, ErrorMessage: "no such model"}, llm.KindUnknownModel, false},
		"rate":     {llmtest.Reply{Status: 429, RetryAfter: "7", ErrorMessage: "slow down"}, llm.KindRateLimit, true},
		"broken":   {llmtest.Reply{Status: 500, ErrorMessage: "oops"}, llm.KindUnavailable, true},
		"bad":      {llmtest.Reply{Status: 400, ErrorMessage: "that is odd"}, llm.KindInvalidRequest, false},
		"long":     {llmtest.ContextLength(), llm.KindContextLength, false},
		"batch":    {llmtest.Reply{Status: 400, ErrorCode: "max_tokens_per_request", ErrorMessage: "max 10 tokens per request"}, llm.KindContextLength, false},
		"tei":      {llmtest.Reply{Status: 413, ErrorMessage: "`inputs` must have less than 512 tokens. Given: 600"}, llm.KindContextLength, false},
		"llama":    {llmtest.Reply{Status: 500, ErrorMessage: "input is too large to process. increase the physical batch size"}, llm.KindContextLength, false},
		"redirect": {llmtest.Reply{Status: 302, Location: "http://192.0.2.1/"}, llm.KindInvalidRequest, false},
	}
	eachCall(t, llm.ClientOptions{}, func(t *testing.T, b *bench, c call) {
		t.Helper()
		for name, want := range cases {
			b.server.On("case-"+name, want.reply)
			e := llmError(t, c.do(t.Context(), b, "case-"+name))
			require.Equal(t, want.kind, e.Kind, "%s: %s", name, e.Message)
			require.Equal(t, want.retryable, e.Retryable(), name)
			require.Equal(t, want.reply.Status, e.Status, name)
			require.Equal(t, 1, b.server.Count("case-"+name), "%s was retried", name)
			if name == "rate" {
				require.Equal(t, 7*time.Second, e.RetryAfter)
			}
		}
	})
}

func TestABrokenAnswerIsUnavailable(t *testing.T) {
	t.Parallel()
	eachCall(t, llm.ClientOptions{}, func(t *testing.T, b *bench, c call) {
		t.Helper()
		b.server.On("", llmtest.Reply{CutAfter: 1})
		e := llmError(t, c.do(t.Context(), b, "text"))
		require.Equal(t, llm.KindUnavailable, e.Kind, e.Message)
	})
}

func TestCancelOfEmbeddingsAndRankingsClosesTheConnection(t *testing.T) {
	t.Parallel()
	eachCall(t, llm.ClientOptions{}, func(t *testing.T, b *bench, c call) {
		t.Helper()
		b.server.On("", llmtest.Reply{Hang: true})
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.do(ctx, b, "text") }()
		req := b.server.Next(t)
		cause := errors.New("the index run was cancelled")
		cancel(cause)
		select {
		case <-req.ClientGone():
		case <-time.After(5 * time.Second):
			t.Fatal("the connection stayed open")
		}
		err := <-done
		require.Equal(t, llm.KindCancelled, llmError(t, err).Kind)
		require.ErrorIs(t, err, cause)
	})
}

func TestSilenceAndSizeEndEmbeddingsAndRankings(t *testing.T) {
	t.Parallel()
	eachCall(t, llm.ClientOptions{FirstByte: 300 * time.Millisecond, MaxBytes: 2000}, func(t *testing.T, b *bench, c call) {
		t.Helper()
		b.server.On("wait", llmtest.Reply{Hang: true})
		err := c.do(t.Context(), b, "wait")
		require.Equal(t, llm.KindTimeout, llmError(t, err).Kind)
		require.ErrorIs(t, err, llm.ErrIdle)
		b.server.Embed(llmtest.Embeddings{Dimensions: 4096})
		require.ErrorIs(t, c.do(t.Context(), b, strings.Repeat("x", 4000)), llm.ErrTooLarge)
	})
}

func TestAPageInsteadOfVectorsIsNotWorthAnotherTry(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>Welcome</html>")) }))
	t.Cleanup(page.Close)
	e, err := registry.Embedder(registry.Spec{Kind: registry.OpenAI, Name: "Acme", BaseURL: page.URL, APIKey: key}, nil)
	require.NoError(t, err)
	_, err = e.Embed(t.Context(), llm.EmbedRequest{Model: "m", Inputs: []string{"a"}})
	got := llmError(t, err)
	require.Equal(t, llm.KindInvalidRequest, got.Kind)
	require.Contains(t, got.Message, "Check its base URL")
}

func TestKindsThatLackSomethingSayWhoHasIt(t *testing.T) {
	t.Parallel()
	spec := func(kind string) registry.Spec { return registry.Spec{Kind: kind, Name: "Acme", APIKey: key} }
	e, err := registry.Embedder(spec(registry.Anthropic), nil)
	require.NoError(t, err)
	_, err = e.Embed(t.Context(), llm.EmbedRequest{Model: "m", Inputs: []string{"x"}})
	got := llmError(t, err)
	require.Equal(t, llm.KindInvalidRequest, got.Kind)
	require.Contains(t, got.Message, "openai or gemini or demo")
	r, err := registry.Reranker(spec(registry.Gemini), nil)
	require.NoError(t, err)
	_, err = r.Rerank(t.Context(), llm.RerankRequest{Model: "m", Query: "q", Documents: []string{"x"}})
	require.Contains(t, llmError(t, err).Message, "openai or demo")
	for _, kind := range registry.Kinds() {
		p, err := registry.New(spec(kind), nil)
		require.NoError(t, err)
		_, embeds := p.(llm.Embedder)
		_, ranks := p.(llm.Reranker)
		require.Equal(t, embeds, registry.CanEmbed(kind), kind)
		require.Equal(t, ranks, registry.CanRerank(kind), kind)
	}
}
