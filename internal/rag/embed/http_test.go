package embed_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/featurehash"
	"github.com/llmctl/studio/internal/llm/registry"
	"github.com/llmctl/studio/internal/rag/embed"
	"github.com/llmctl/studio/internal/testkit/llmtest"
)

// overHTTP runs check for each protocol with an embedder and its server.
func overHTTP(t *testing.T, o embed.Options, check func(t *testing.T, s *llmtest.Server, e *embed.Embedder)) {
	t.Helper()
	for _, kind := range []string{registry.OpenAI, registry.Gemini} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := llmtest.New(t)
			client := llm.NewClient(llm.ClientOptions{})
			t.Cleanup(client.CloseIdleConnections)
			p, err := registry.Embedder(registry.Spec{Kind: kind, Name: "Acme", BaseURL: s.BaseURL(kind), APIKey: "sk-0123456789"}, client)
			require.NoError(t, err)
			own := o
			own.Provider, own.Model = p, "scripted-model"
			check(t, s, embed.New(own))
		})
	}
}

func nearest(q []float32, vectors [][]float32) int {
	best := 0
	for i, v := range vectors {
		if featurehash.Cosine(q, v) > featurehash.Cosine(q, vectors[best]) {
			best = i
		}
	}
	return best
}

func TestAQuestionFindsItsPassageThroughARealServerWithLimits(t *testing.T) {
	t.Parallel()
	overHTTP(t, embed.Options{MaxItems: 16, Parallel: 4}, func(t *testing.T, s *llmtest.Server, e *embed.Embedder) {
		t.Helper()
		s.Embed(llmtest.Embeddings{MaxItems: 20, MaxInputWords: 40, MaxRequestWords: 100})
		texts := make([]string, 200)
		for i := range texts {
			texts[i] = fmt.Sprintf("Chapter %d tells about subject%d and about nothing else of interest.", i, i)
		}
		for i := range 60 {
			texts[7] += fmt.Sprintf(" padding%d", i) // more than the server takes
		}
		res, err := e.Documents(t.Context(), texts)
		require.NoError(t, err)
		require.Len(t, res.Vectors, len(texts))
		require.Equal(t, 1, res.Cut)
		got := s.Embedded()
		require.Equal(t, len(texts), got.Inputs)
		require.Equal(t, got.Requests, res.Requests)
		for _, i := range []int{0, 42, 199} {
			q, _, err := e.Query(t.Context(), fmt.Sprintf("What is told about subject%d?", i))
			require.NoError(t, err)
			require.Equal(t, i, nearest(q, res.Vectors))
		}
	})
}

func TestFailuresOfARealServerAreOutlived(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]llmtest.Reply{
		"rate limit": {Status: 429, RetryAfter: "0.05", ErrorMessage: "slow down"},
		"broken":     {Status: 500, ErrorMessage: "oops"},
		"dropped":    {CutAfter: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var waits atomic.Int64
			tell := func(time.Duration, llm.Kind) { waits.Add(1) }
			overHTTP(t, embed.Options{OnWait: tell}, func(t *testing.T, s *llmtest.Server, e *embed.Embedder) {
				t.Helper()
				s.On("", reply, llmtest.Reply{})
				res, err := e.Documents(t.Context(), []string{"some text", "another text"})
				require.NoError(t, err)
				require.Len(t, res.Vectors, 2)
				require.Equal(t, 2, s.Count("another text"))
				require.Positive(t, waits.Load())
			})
		})
	}
}

func TestACancelledJobLeavesNoConnectionOpen(t *testing.T) {
	t.Parallel()
	overHTTP(t, embed.Options{MaxItems: 1, Parallel: 3}, func(t *testing.T, s *llmtest.Server, e *embed.Embedder) {
		t.Helper()
		s.On("", llmtest.Reply{Hang: true})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := e.Documents(ctx, numbered(30))
			done <- err
		}()
		var requests []*llmtest.Request
		for range 3 {
			requests = append(requests, s.Next(t))
		}
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		for _, r := range requests {
			<-r.ClientGone()
		}
		require.Len(t, s.Requests(), 3, "nothing else was asked")
	})
}
