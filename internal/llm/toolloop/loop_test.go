package toolloop_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/registry"
	"github.com/llmctl/studio/internal/llm/toolloop"
	"github.com/llmctl/studio/internal/testkit/llmtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// notebook is a recorder in memory. What it holds is what another process would
// find.
type notebook struct {
	mu      sync.Mutex
	cycles  []toolloop.Cycle
	starts  []string
	failEnd error // the process dies before the result is stored
}

func (n *notebook) Load(context.Context) ([]toolloop.Cycle, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]toolloop.Cycle, len(n.cycles))
	for i, c := range n.cycles {
		out[i] = c
		out[i].Calls = append([]toolloop.Call{}, c.Calls...)
	}
	return out, nil
}

func (n *notebook) Begin(_ context.Context, c *toolloop.Cycle) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range c.Calls {
		c.Calls[i].ID = int64(len(n.cycles)*100 + i + 1)
	}
	kept := *c
	kept.Calls = append([]toolloop.Call{}, c.Calls...)
	n.cycles = append(n.cycles, kept)
	return nil
}

func (n *notebook) Start(_ context.Context, c *toolloop.Call) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.starts = append(n.starts, c.Ref.Tool)
	n.find(c.ID).Status = toolloop.Running
	return nil
}

func (n *notebook) End(_ context.Context, c *toolloop.Call) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failEnd != nil {
		return n.failEnd
	}
	*n.find(c.ID) = *c
	return nil
}

func (n *notebook) find(id int64) *toolloop.Call {
	for i := range n.cycles {
		for k := range n.cycles[i].Calls {
			if n.cycles[i].Calls[k].ID == id {
				return &n.cycles[i].Calls[k]
			}
		}
	}
	panic("no such call")
}

func (n *notebook) statuses() string {
	var out []string
	for _, c := range n.cycles {
		for _, call := range c.Calls {
			out = append(out, string(call.Status))
		}
	}
	return strings.Join(out, " ")
}

// kit is a set of tools made of functions.
type kit map[string]kitTool

type kitTool struct {
	run                  func(ctx context.Context, args string) (string, error)
	schema               string
	repeatable, approval bool
	timeout              time.Duration
}

func (k kit) Tools(context.Context) ([]toolloop.Tool, error) {
	var out []toolloop.Tool
	for _, name := range []string{"add", "slow", "broken", "pay", "read"} {
		t, ok := k[name]
		if !ok {
			continue
		}
		if t.schema == "" {
			t.schema = `{"type":"object"}`
		}
		out = append(out, toolloop.Tool{
			Tool: llm.Tool{Name: name, Description: name, Schema: json.RawMessage(t.schema)}, Ref: toolloop.Ref{Tool: name},
			Repeatable: t.repeatable, NeedsApproval: t.approval, Timeout: t.timeout,
		})
	}
	return out, nil
}

func (k kit) Call(ctx context.Context, t toolloop.Tool, args json.RawMessage, tell func(string)) toolloop.Outcome {
	tell("working")
	text, err := k[t.Ref.Tool].run(ctx, string(args))
	if err != nil {
		return toolloop.Outcome{IsError: true, Code: toolloop.CodeTool, Content: err.Error()}
	}
	return toolloop.Outcome{Content: text}
}

func gives(text string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) { return text, nil }
}

func provider(t *testing.T, kind string, s *llmtest.Server) llm.Provider {
	t.Helper()
	client := llm.NewClient(llm.ClientOptions{})
	t.Cleanup(client.CloseIdleConnections)
	p, err := registry.New(registry.Spec{Kind: kind, Name: "Scripted", BaseURL: s.BaseURL(kind), APIKey: "sk-loop-key-1"}, client)
	require.NoError(t, err)
	return p
}

func ask(text string) llm.Request {
	return llm.Request{Model: "scripted-model", Messages: []llm.Message{llm.Text(llm.RoleUser, text)}}
}

func call(id, name, args string) llmtest.ToolCall {
	return llmtest.ToolCall{ID: id, Name: name, Arguments: args}
}

func TestAModelUsesToolsUntilItAnswers(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{registry.OpenAI, registry.Anthropic, registry.Gemini} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, book := llmtest.New(t), &notebook{}
			s.On("", llmtest.Reply{Text: "Let me see. ", Input: 10, Output: 3, ToolCalls: []llmtest.ToolCall{call("a", "add", `{"x":1}`), call("b", "read", `{}`)}},
				llmtest.Reply{Input: 20, Output: 2, ToolCalls: []llmtest.ToolCall{call("c", "add", `{"x":2}`)}},
				llmtest.Reply{Text: "It is three.", Input: 30, Output: 5})
			var streamed strings.Builder
			var told []string
			res, err := toolloop.Run(t.Context(), ask("sum?"), toolloop.Options{
				Provider: provider(t, kind, s), Recorder: book,
				Tools: kit{"add": {run: func(_ context.Context, args string) (string, error) { return "sum of " + args, nil }}, "read": {run: gives("page")}},
				Emit: func(e toolloop.Event) error {
					switch e.Kind {
					case toolloop.EventText:
						streamed.WriteString(e.Text)
					case toolloop.EventCall:
						told = append(told, e.Call.Name+":"+string(e.Call.Status))
					case toolloop.EventAnswer, toolloop.EventProgress:
					}
					return nil
				},
			})
			require.NoError(t, err)
			require.Equal(t, "It is three.", res.Response.Text)
			require.Equal(t, 2, res.Cycles)
			require.Equal(t, llm.Usage{InputTokens: 60, OutputTokens: 10}, res.Total)
			require.Equal(t, res.Total, res.Used)
			require.Equal(t, "Let me see. It is three.", streamed.String())
			require.Equal(t, "succeeded succeeded succeeded", book.statuses())
			require.Subset(t, told, []string{"add:pending", "add:running", "add:succeeded", "read:succeeded"})

			asked := s.Requests()
			require.Len(t, asked, 3)
			require.Equal(t, []string{"add", "read"}, asked[0].Tools)
			last := asked[2].Results
			require.Len(t, last, 3, "%s", asked[2].Body)
			for i, want := range []string{`sum of {"x":1}`, "page", `sum of {"x":2}`} {
				require.Equal(t, want, last[i].Content)
				require.False(t, last[i].IsError)
			}
		})
	}
}

func TestWhatGoesWrongWithACallIsToldToTheModel(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{registry.OpenAI, registry.Anthropic, registry.Gemini} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, book := llmtest.New(t), &notebook{}
			s.On("", llmtest.Reply{ToolCalls: []llmtest.ToolCall{
				call("a", "nothing", `{}`), call("b", "add", `{"x":"one"}`), call("c", "broken", `{}`), call("d", "slow", `{}`),
			}}, llmtest.Reply{Text: "I see."})
			res, err := toolloop.Run(t.Context(), ask("try"), toolloop.Options{Provider: provider(t, kind, s), Recorder: book, Tools: kit{
				"add":    {run: gives("never"), schema: `{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]}`},
				"broken": {run: func(context.Context, string) (string, error) { return "", errors.New("the disk is full") }},
				"slow": {timeout: 20 * time.Millisecond, run: func(ctx context.Context, _ string) (string, error) {
					<-ctx.Done()
					return "", ctx.Err()
				}},
			}})
			require.NoError(t, err)
			require.Equal(t, "I see.", res.Response.Text)
			told := s.Requests()[1].Results
			require.Len(t, told, 4)
			require.Contains(t, told[0].Content, `There is no tool "nothing". Available are: add, slow, broken.`)
			require.Contains(t, told[1].Content, "/x")
			require.Contains(t, told[1].Content, "do not satisfy the tool's schema")
			require.Equal(t, "the disk is full", told[2].Content)
			require.Contains(t, told[3].Content, "did not answer within 20ms")
			if kind != registry.OpenAI { // it has no word for it
				for _, r := range told {
					require.True(t, r.IsError, r.Content)
				}
			}
			require.NotContains(t, book.starts, "add", "a call with wrong arguments is not made")
		})
	}
}

func TestCallsOfOneAnswerAreMadeAtTheSameTimeButNotTooMany(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now, most := 0, 0
	both := make(chan struct{})
	tool := func(ctx context.Context, _ string) (string, error) {
		mu.Lock()
		now++
		most = max(most, now)
		if now == 2 {
			select {
			case <-both:
			default:
				close(both)
			}
		}
		mu.Unlock()
		defer func() { mu.Lock(); now--; mu.Unlock() }()
		select {
		case <-both:
			return "ok", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	s := llmtest.New(t)
	var calls []llmtest.ToolCall
	for id := range strings.SplitSeq("abcdefgh", "") {
		calls = append(calls, call(id, "add", `{}`))
	}
	s.On("", llmtest.Reply{ToolCalls: calls}, llmtest.Reply{Text: "done"})
	_, err := toolloop.Run(t.Context(), ask("all"), toolloop.Options{
		Provider: provider(t, registry.OpenAI, s), Recorder: &notebook{}, Parallel: 2, Tools: kit{"add": {run: tool, timeout: 10 * time.Second}},
	})
	require.NoError(t, err)
	require.Equal(t, 2, most, "two met, and never more")
}

func TestAModelThatNeverAnswersIsStopped(t *testing.T) {
	t.Parallel()
	s := llmtest.New(t)
	s.On("", llmtest.Reply{ToolCalls: []llmtest.ToolCall{call("a", "read", `{}`)}})
	for limit, want := range map[int]int{3: 4, 1000: toolloop.MaxCycles + 1} {
		before := s.Count("again and again")
		_, err := toolloop.Run(t.Context(), ask("again and again"), toolloop.Options{
			Provider: provider(t, registry.OpenAI, s), Recorder: &notebook{}, Cycles: limit, Tools: kit{"read": {run: gives("x")}},
		})
		e, ok := errors.AsType[*toolloop.CyclesError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, want-1, e.Limit)
		require.Equal(t, want, s.Count("again and again")-before)
	}
}

func TestAModelThatHasUsedUpItsCyclesIsMadeToAnswer(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{registry.OpenAI, registry.Anthropic, registry.Gemini} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := llmtest.New(t)
			again := llmtest.Reply{ToolCalls: []llmtest.ToolCall{call("a", "read", `{}`)}}
			// The last one asks for a tool all the same; what it says counts.
			s.On("", again, again, llmtest.Reply{Text: "As far as I know.", ToolCalls: again.ToolCalls})
			book, req := &notebook{}, ask("look it up")
			req.System = "Be brief."
			res, err := toolloop.Run(t.Context(), req, toolloop.Options{
				Provider: provider(t, kind, s), Recorder: book, Cycles: 2, Tools: kit{"read": {run: gives("x")}},
			})
			require.NoError(t, err)
			require.Equal(t, "As far as I know.", res.Response.Text)
			require.True(t, res.Forced)
			require.Equal(t, "succeeded succeeded", book.statuses(), "the third call is not made")
			requests := s.Requests()
			require.Len(t, requests, 3)
			require.NotContains(t, string(requests[1].Body), "as often as you may")
			require.Contains(t, string(requests[2].Body), "as often as you may")
			require.Regexp(t, `(?i)"none"`, string(requests[2].Body), "no tool may be chosen")
			require.Contains(t, string(requests[2].Body), `"read"`, "but its description is there, as the conversation has calls of it")
		})
	}
}

// dark is a kit whose tools are away for some lists.
type dark struct {
	kit
	away atomic.Int32
}

func (d *dark) Tools(ctx context.Context) ([]toolloop.Tool, error) {
	if d.away.Add(-1) >= 0 {
		return nil, nil
	}
	return d.kit.Tools(ctx)
}

func TestAnApprovedCallWaitsForItsServerAndIsNotLostSilently(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		away int32
		want string
		told string
	}{
		"it comes back": {away: 2, want: "succeeded", told: "paid"},
		"it does not":   {away: 100, want: "failed", told: "was not called, although the call was approved: The server shop cannot be reached. Nothing was done"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, book := llmtest.New(t), &notebook{}
			s.On("", llmtest.Reply{ToolCalls: []llmtest.ToolCall{call("a", "pay", `{}`)}}, llmtest.Reply{Text: "Done."})
			tools := &dark{kit: kit{"pay": {approval: true, run: gives("paid")}}}
			o := toolloop.Options{
				Provider: provider(t, registry.OpenAI, s), Recorder: book, Tools: tools, Patience: time.Millisecond,
				Absent: func(toolloop.Ref) string { return "The server shop cannot be reached." },
			}
			res, err := toolloop.Run(t.Context(), ask("buy"), o)
			require.NoError(t, err)
			require.True(t, res.Suspended)
			book.cycles[0].Calls[0].Status = toolloop.Approved
			tools.away.Store(c.away)
			_, err = toolloop.Run(t.Context(), ask("buy"), o)
			require.NoError(t, err)
			require.Equal(t, c.want, book.statuses())
			require.Contains(t, s.Requests()[1].Results[0].Content, c.told)
		})
	}
}

func TestALoopThatWaitsGoesOnElsewhereWithWhatPeopleDecided(t *testing.T) {
	t.Parallel()
	s, book := llmtest.New(t), &notebook{}
	s.On("", llmtest.Reply{Text: "I will pay.", Input: 5, Output: 1, ToolCalls: []llmtest.ToolCall{call("a", "pay", `{"n":1}`), call("b", "pay", `{"n":2}`), call("c", "read", `{}`)}},
		llmtest.Reply{Text: "Paid once.", Input: 9, Output: 2})
	paid := []string{}
	tools := kit{"pay": {approval: true, run: func(_ context.Context, args string) (string, error) {
		paid = append(paid, args)
		return "paid", nil
	}}, "read": {run: gives("page")}}
	o := toolloop.Options{Provider: provider(t, registry.Anthropic, s), Recorder: book, Tools: tools}
	res, err := toolloop.Run(t.Context(), ask("buy"), o)
	require.NoError(t, err)
	require.True(t, res.Suspended)
	require.Equal(t, "waiting waiting succeeded", book.statuses(), "what needs nobody is done meanwhile")
	require.Empty(t, paid)
	require.Len(t, s.Requests(), 1)

	again, err := toolloop.Run(t.Context(), ask("buy"), o)
	require.NoError(t, err)
	require.True(t, again.Suspended, "nobody has decided")
	require.Len(t, s.Requests(), 1, "and the model was not asked")

	book.cycles[0].Calls[0].Status = toolloop.Approved
	denied := &book.cycles[0].Calls[1]
	denied.Status, denied.Error, denied.Content = toolloop.Denied, toolloop.CodeDenied, "A person denied this call; the tool was not called. They said: too much"
	res, err = toolloop.Run(t.Context(), ask("buy"), o)
	require.NoError(t, err)
	require.Equal(t, "Paid once.", res.Response.Text)
	require.Equal(t, []string{`{"n":1}`}, paid)
	require.Equal(t, llm.Usage{InputTokens: 9, OutputTokens: 2}, res.Used)
	require.Equal(t, llm.Usage{InputTokens: 14, OutputTokens: 3}, res.Total)
	told := s.Requests()[1].Results
	require.Equal(t, []string{"paid", denied.Content, "page"}, []string{told[0].Content, told[1].Content, told[2].Content})
	require.True(t, told[1].IsError)
}

func TestASideEffectIsNeverRepeatedSilently(t *testing.T) {
	t.Parallel()
	s, book := llmtest.New(t), &notebook{failEnd: errors.New("the process died")}
	s.On("", llmtest.Reply{ToolCalls: []llmtest.ToolCall{call("a", "pay", `{}`), call("b", "read", `{}`)}}, llmtest.Reply{Text: "Careful now."})
	var mu sync.Mutex
	done := map[string]int{}
	count := func(name string) func(context.Context, string) (string, error) {
		return func(context.Context, string) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			done[name]++
			return name, nil
		}
	}
	o := toolloop.Options{
		Provider: provider(t, registry.Gemini, s), Recorder: book, Parallel: 2,
		Tools: kit{"pay": {run: count("pay")}, "read": {run: count("read"), repeatable: true}},
	}
	_, err := toolloop.Run(t.Context(), ask("go"), o)
	require.ErrorIs(t, err, book.failEnd)
	// Both had begun when the process died, whichever was first.
	for i := range book.cycles[0].Calls {
		book.cycles[0].Calls[i].Status = toolloop.Running
	}
	before := done["pay"]
	book.failEnd = nil
	res, err := toolloop.Run(t.Context(), ask("go"), o)
	require.NoError(t, err)
	require.Equal(t, "Careful now.", res.Response.Text)
	require.Equal(t, before, done["pay"], "not again")
	require.GreaterOrEqual(t, done["read"], 1, "what only reads is done again")
	require.Equal(t, "unknown succeeded", book.statuses())
	told := s.Requests()[1].Results
	require.Contains(t, told[0].Content, "outcome of this call is unknown")
	require.True(t, told[0].IsError)
}

func TestACancelledCallIsRecordedAsUnknownUnlessItMayBeRepeated(t *testing.T) {
	t.Parallel()
	s, book := llmtest.New(t), &notebook{}
	s.On("", llmtest.Reply{ToolCalls: []llmtest.ToolCall{call("a", "pay", `{}`), call("b", "read", `{}`)}})
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	var begun sync.WaitGroup
	begun.Add(2)
	hang := func(ctx context.Context, _ string) (string, error) {
		begun.Done()
		<-ctx.Done()
		return "", ctx.Err()
	}
	go func() { begun.Wait(); cancel(stop) }()
	_, err := toolloop.Run(ctx, ask("go"), toolloop.Options{
		Provider: provider(t, registry.OpenAI, s), Recorder: book, Parallel: 2, Tools: kit{"pay": {run: hang}, "read": {run: hang, repeatable: true}},
	})
	require.ErrorIs(t, err, stop)
	require.Equal(t, "unknown running", book.statuses(), "whoever goes on reads again and does not pay again")
}

func TestAModelIsToldAsMuchAsItCanUse(t *testing.T) {
	t.Parallel()
	require.Equal(t, "(nothing)", toolloop.Shown(""))
	long := strings.Repeat("ü", toolloop.MaxContent)
	shown := toolloop.Shown(long)
	require.Contains(t, shown, "[cut here: the first 131072 of 262144 bytes]")
	require.True(t, strings.HasPrefix(shown, "üüü"))
}
