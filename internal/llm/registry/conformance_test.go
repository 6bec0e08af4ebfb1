package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/registry"
	"github.com/llmctl/studio/internal/testkit/llmtest"
)

const key = "sk-conformance-0123456789"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is one provider kind against a server of its own.
type bench struct {
	kind   string
	server *llmtest.Server
	p      llm.Provider
}

func setup(t *testing.T, kind string, o llm.ClientOptions) *bench {
	t.Helper()
	s := llmtest.New(t)
	client := llm.NewClient(o)
	t.Cleanup(client.CloseIdleConnections)
	p, err := registry.New(registry.Spec{Kind: kind, Name: "Acme", BaseURL: s.BaseURL(kind), APIKey: key}, client)
	require.NoError(t, err)
	return &bench{kind: kind, server: s, p: p}
}

// each runs check for every kind that speaks to a server.
func each(t *testing.T, check func(*testing.T, *bench)) {
	t.Helper()
	for _, kind := range []string{registry.OpenAI, registry.Anthropic, registry.Gemini} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			check(t, setup(t, kind, llm.ClientOptions{}))
		})
	}
}

func ask(prompt string) llm.Request {
	return llm.Request{Model: "scripted-model", System: "Be brief.", Messages: []llm.Message{llm.Text(llm.RoleUser, prompt)}}
}

func llmError(t *testing.T, err error) *llm.Error {
	t.Helper()
	var e *llm.Error
	require.ErrorAs(t, err, &e)
	require.NotContains(t, e.Error()+e.Message, key, "no error carries the key")
	return e
}

func TestChatStreamsPiecesAndCountsUsage(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		t.Helper()
		b.server.On("weather", llmtest.Reply{Chunks: []string{"Sun", "ny – ", "18 °C"}, Input: 12, Output: 5, Cached: 4})
		var got []string
		res, err := b.p.Chat(t.Context(), ask("How is the weather?"), func(d llm.Delta) error {
			got = append(got, d.Text)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, []string{"Sun", "ny – ", "18 °C"}, got)
		require.Equal(t, "Sunny – 18 °C", res.Text)
		require.Equal(t, llm.FinishStop, res.Finish)
		require.Equal(t, llm.Usage{InputTokens: 12, OutputTokens: 5, CachedTokens: 4}, res.Usage)
		require.Equal(t, "scripted-model", res.Model)
		req := b.server.Next(t)
		require.Equal(t, key, req.Key)
		require.Equal(t, "scripted-model", req.Model)
		require.Contains(t, req.Prompt, "Be brief.")
		require.Contains(t, req.Prompt, "How is the weather?")
	})
}

func TestPiecesArriveBeforeTheAnswerIsComplete(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		t.Helper()
		gate := make(chan struct{})
		b.server.On("", llmtest.Reply{Chunks: []string{"first ", "second"}, Gate: gate, GateAt: 1})
		opened := false
		res, err := b.p.Chat(t.Context(), ask("x"), func(d llm.Delta) error {
			if d.Text == "first " && !opened { // the server waits for exactly this
				opened = true
				close(gate)
			}
			return nil
		})
		require.NoError(t, err)
		require.True(t, opened)
		require.Equal(t, "first second", res.Text)
	})
}

func TestToolCallsAreAssembled(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		t.Helper()
		b.server.On("", llmtest.Reply{Chunks: []string{"Looking."}, ToolCalls: []llmtest.ToolCall{
			{ID: "a", Name: "weather", Arguments: `{"city":"Ulm"}`}, {ID: "b", Name: "clock", Arguments: `{}`},
		}})
		req := ask("tools")
		req.Tools = []llm.Tool{{Name: "weather", Description: "Looks outside", Schema: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`)}}
		req.ToolChoice = "required"
		res, err := b.p.Chat(t.Context(), req, nil)
		require.NoError(t, err)
		require.Equal(t, llm.FinishTools, res.Finish)
		require.Equal(t, "Looking.", res.Text)
		require.Len(t, res.ToolCalls, 2)
		require.Equal(t, "a", res.ToolCalls[0].ID)
		require.Equal(t, "weather", res.ToolCalls[0].Name)
		require.JSONEq(t, `{"city":"Ulm"}`, res.ToolCalls[0].Arguments)
		require.JSONEq(t, `{}`, res.ToolCalls[1].Arguments)
		require.Contains(t, string(b.server.Next(t).Body), `"city"`, "the schema is sent")
	})
}

func TestToolResultsAndParamsAreSent(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		t.Helper()
		temp := 0.25
		req := ask("go on")
		req.Params = llm.Params{Temperature: &temp, MaxTokens: 77, Stop: []string{"HALT"}}
		req.Output = &llm.OutputSchema{Name: "answer", Schema: json.RawMessage(`{"type":"object","properties":{"marker_field":{"type":"string"}}}`)}
		req.Messages = append(req.Messages,
			llm.Message{Role: llm.RoleAssistant, ToolCalls: []llm.ToolCall{{ID: "a", Name: "weather", Arguments: `{"city":"Ulm"}`}}},
			llm.Message{Role: llm.RoleTool, ToolResult: &llm.ToolResult{CallID: "a", Name: "weather", Content: "rain-result"}},
			llm.Message{Role: llm.RoleUser, Parts: []llm.Part{{Text: "and this?"}, {MediaType: "image/png", Data: []byte("png-bytes")}}})
		_, err := b.p.Chat(t.Context(), req, nil)
		require.NoError(t, err)
		body := string(b.server.Next(t).Body)
		for _, want := range []string{"0.25", "77", "HALT", "marker_field", "rain-result", "Ulm", "cG5nLWJ5dGVz"} {
			require.Contains(t, body, want)
		}
	})
}

func TestFinishReasons(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		t.Helper()
		for word, want := range map[string]llm.FinishReason{"length": llm.FinishLength, "content_filter": llm.FinishFilter} {
			b.server.On(word, llmtest.Reply{Text: "x", Finish: word})
			res, err := b.p.Chat(t.Context(), ask(word), nil)
			require.NoError(t, err)
			require.Equal(t, want, res.Finish)
		}
	})
}

func TestErrorAnswersAreClassifiedAndNotRetried(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reply     llmtest.Reply
		kind      llm.Kind
		retryable bool
	}{
		"key":      {llmtest.Reply{Status: 401, ErrorMessage: "bad key " + key}, llm.KindAuth, false},
		"forbid":   {llmtest.Reply{Status: 403, ErrorMessage: "no"}, llm.KindAuth, false},
		"model":    {llmtest.Reply{Status: 404, ErrorMessage: "no such model"}, llm.KindUnknownModel, false},
		"rate":     {llmtest.Reply{Status: 429, RetryAfter: "7", ErrorMessage: "slow down"}, llm.KindRateLimit, true},
		"broken":   {llmtest.Reply{Status: 500, ErrorMessage: "oops"}, llm.KindUnavailable, true},
		"down":     {llmtest.Reply{Status: 503, ErrorMessage: "down"}, llm.KindUnavailable, true},
		"bad":      {llmtest.Reply{Status: 400, ErrorMessage: "temperature is odd"}, llm.KindInvalidRequest, false},
		"long":     {llmtest.ContextLength(), llm.KindContextLength, false},
		"redirect": {llmtest.Reply{Status: 302, Location: "http://192.0.2.1/"}, llm.KindInvalidRequest, false},
	}
	each(t, func(t *testing.T, b *bench) {
		t.Helper()
		for name, c := range cases {
			b.server.On("case-"+name, c.reply)
			_, err := b.p.Chat(t.Context(), ask("case-"+name), nil)
			e := llmError(t, err)
			require.Equal(t, c.kind, e.Kind, "%s: %s", name, e.Message)
			require.Equal(t, c.retryable, e.Retryable(), name)
			require.Equal(t, c.reply.Status, e.Status, name)
			require.Equal(t, 1, b.server.Count("case-"+name), "%s was retried", name)
			if name == "rate" {
				require.Equal(t, 7*time.Second, e.RetryAfter)
			}
			if name == "key" {
				require.Contains(t, e.Message, "The provider refused the key (401). Check it under Models -> Acme.")
			}
		}
	})
}

func TestErrorsInsideAStreamAreClassified(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		t.Helper()
		b.server.On("", llmtest.Reply{Chunks: []string{"partial"}, Status: 429, InStream: true, ErrorMessage: "slow down"})
		res, err := b.p.Chat(t.Context(), ask("x"), nil)
		require.Equal(t, llm.KindRateLimit, llmError(t, err).Kind)
		require.Equal(t, "partial", res.Text, "what had arrived is kept")
	})
}

func TestABrokenStreamIsNeverAShortAnswer(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		t.Helper()
		b.server.On("", llmtest.Reply{Chunks: []string{"half of ", "the answer"}, CutAfter: 1})
		res, err := b.p.Chat(t.Context(), ask("x"), nil)
		e := llmError(t, err)
		require.Equal(t, llm.KindUnavailable, e.Kind)
		require.True(t, e.Retryable())
		require.Equal(t, "half of ", res.Text)
	})
}

func TestCancelClosesTheProvidersConnection(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]llmtest.Reply{
		"before the first byte": {Hang: true},
		"amid the stream":       {Chunks: []string{"a", "b"}, Hang: true, HangAt: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, b *bench) {
				t.Helper()
				b.server.On("", reply)
				ctx, cancel := context.WithCancelCause(t.Context())
				done := make(chan error, 1)
				seen := make(chan struct{}, 8)
				go func() {
					_, err := b.p.Chat(ctx, ask("x"), func(llm.Delta) error { seen <- struct{}{}; return nil })
					done <- err
				}()
				req := b.server.Next(t)
				if reply.HangAt > 0 {
					<-seen
				}
				cause := errors.New("user pressed cancel")
				start := time.Now()
				cancel(cause)
				select {
				case <-req.ClientGone():
				case <-time.After(5 * time.Second):
					t.Fatal("the connection stayed open")
				}
				require.Less(t, time.Since(start), time.Second)
				err := <-done
				require.Equal(t, llm.KindCancelled, llmError(t, err).Kind)
				require.ErrorIs(t, err, cause)
			})
		})
	}
}

func TestSilenceEndsTheRequest(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]llmtest.Reply{
		"before the first byte": {Hang: true},
		"amid the stream":       {Chunks: []string{"a", "b"}, Hang: true, HangAt: 1},
	} {
		for _, kind := range []string{registry.OpenAI, registry.Anthropic, registry.Gemini} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				b := setup(t, kind, llm.ClientOptions{FirstByte: 300 * time.Millisecond, Idle: 300 * time.Millisecond})
				b.server.On("", reply)
				_, err := b.p.Chat(t.Context(), ask("x"), nil)
				e := llmError(t, err)
				require.Equal(t, llm.KindTimeout, e.Kind, e.Message)
				require.ErrorIs(t, err, llm.ErrIdle)
				<-b.server.Next(t).ClientGone()
			})
		}
	}
}

func TestADeadlineIsATimeout(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		t.Helper()
		b.server.On("", llmtest.Reply{Chunks: []string{"a", "b"}, Hang: true, HangAt: 1})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := b.p.Chat(ctx, ask("x"), nil)
		require.Equal(t, llm.KindTimeout, llmError(t, err).Kind)
	})
}

func TestOversizedAnswersEnd(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{registry.OpenAI, registry.Anthropic, registry.Gemini} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			b := setup(t, kind, llm.ClientOptions{MaxBytes: 10_000})
			b.server.On("", llmtest.Reply{Chunks: []string{strings.Repeat("x", 20_000)}})
			_, err := b.p.Chat(t.Context(), ask("x"), nil)
			require.ErrorIs(t, err, llm.ErrTooLarge)
		})
	}
}

func TestAnErrorOfTheReceiverEndsTheRequestUnchanged(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		t.Helper()
		b.server.On("", llmtest.Reply{Chunks: []string{"a", "b"}, Hang: true, HangAt: 1})
		mine := errors.New("disk full")
		_, err := b.p.Chat(t.Context(), ask("x"), func(llm.Delta) error { return mine })
		require.ErrorIs(t, err, mine)
		<-b.server.Next(t).ClientGone()
	})
}

func TestModelsAndTest(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bench) {
		t.Helper()
		models, err := b.p.Models(t.Context())
		require.NoError(t, err)
		require.Len(t, models, 2)
		require.Equal(t, "scripted-model", models[0].ID)
		res, err := b.p.Test(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, res.Models)
		b.server.On("GET ", llmtest.Reply{Status: 401, ErrorMessage: "no"})
		_, err = b.p.Test(t.Context())
		require.Equal(t, llm.KindAuth, llmError(t, err).Kind)
	})
}

func TestUnreachableServersAreUnavailable(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{registry.OpenAI, registry.Anthropic, registry.Gemini} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := llmtest.Start()
			base := s.BaseURL(kind)
			s.Close()
			p, err := registry.New(registry.Spec{Kind: kind, Name: "Acme", BaseURL: base, APIKey: key}, nil)
			require.NoError(t, err)
			_, err = p.Chat(t.Context(), ask("x"), nil)
			e := llmError(t, err)
			require.Equal(t, llm.KindUnavailable, e.Kind)
			require.True(t, e.Retryable())
		})
	}
}

// The SDKs have loaders of their own; nothing of the environment may reach a
// request.
func TestTheEnvironmentOfTheProcessIsIgnored(t *testing.T) { //nolint:paralleltest // it changes the environment
	for _, name := range []string{"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_ORG_ID"} {
		t.Setenv(name, "leaked-from-environment")
	}
	for _, name := range []string{"OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL"} {
		t.Setenv(name, "http://192.0.2.1:9")
	}
	for _, kind := range []string{registry.OpenAI, registry.Anthropic, registry.Gemini} {
		for _, k := range []string{key, ""} {
			s := llmtest.New(t)
			client := llm.NewClient(llm.ClientOptions{})
			p, err := registry.New(registry.Spec{Kind: kind, Name: "Acme", BaseURL: s.BaseURL(kind), APIKey: k}, client)
			require.NoError(t, err)
			_, err = p.Chat(t.Context(), ask("x"), nil)
			require.NoError(t, err, kind)
			for name, values := range s.Next(t).Header {
				require.NotContains(t, strings.Join(values, " "), "leaked", "%s: %s", kind, name)
			}
			client.CloseIdleConnections()
		}
	}
}

func TestWrongSpecsAreRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []registry.Spec{
		{Kind: "unknown"}, {Kind: registry.OpenAI, BaseURL: "no url"}, {Kind: registry.Anthropic, BaseURL: "::"}, {Kind: registry.Gemini, BaseURL: "host-only"},
	} {
		_, err := registry.New(s, nil)
		require.Error(t, err, "%+v", s.Kind)
	}
	require.Len(t, registry.Kinds(), 4)
}
