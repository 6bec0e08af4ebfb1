package mcp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/llmtest"
)

// thread begins one with some servers.
func (s *studio) thread(servers ...int64) int64 {
	s.t.Helper()
	return id(s.do(http.StatusCreated, "POST", "/api/threads", object{"model_id": s.model, "mcp_server_ids": servers}))
}

// post sends a message and gives the turn.
func (s *studio) post(thread int64, message string) int64 {
	s.t.Helper()
	turn, _ := s.do(http.StatusAccepted, "POST", fmt.Sprintf("/api/threads/%d/turns", thread), object{"message": message})["turn"].(object)
	return id(turn)
}

func (s *studio) turn(thread, turn int64) object {
	s.t.Helper()
	t, _ := s.do(http.StatusOK, "GET", fmt.Sprintf("/api/threads/%d/turns/%d", thread, turn), nil)["turn"].(object)
	return t
}

// turnIs waits for a turn to be in a state.
func (s *studio) turnIs(thread, turn int64, status string) object {
	s.t.Helper()
	var t object
	require.Eventually(s.t, func() bool {
		t = s.turn(thread, turn)
		return t["status"] == status
	}, patience, 20*time.Millisecond, "the turn is not %s: %v", status, &t)
	return t
}

func (s *studio) turnCalls(turn int64) []object {
	s.t.Helper()
	return items(s.do(http.StatusOK, "GET", fmt.Sprintf("/api/tool-calls?owner_kind=turn&owner_id=%d", turn), nil))
}

// parts gives the parts of the newest message, and its text.
func (s *studio) parts(thread int64) (parts []object, text string) {
	s.t.Helper()
	list, _ := s.do(http.StatusOK, "GET", fmt.Sprintf("/api/threads/%d", thread), nil)["messages"].([]any)
	last, _ := list[len(list)-1].(object)
	raw, err := json.Marshal(last["parts"])
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal(raw, &parts))
	text, _ = last["content"].(string)
	return parts, text
}

func types(parts []object) (out []any) {
	for _, p := range parts {
		out = append(out, p["type"])
	}
	return out
}

func member(o object, name string) object {
	m, _ := o[name].(object)
	return m
}

func TestATurnCallsToolsAtTheSameTimeAndLaterTurnsKnowWhatTheyGave(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"openai", "anthropic", "gemini"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			web, llm := startServer(t, "http", 0), llmtest.New(t)
			llm.On("", llmtest.Reply{Text: "Asking. ", Input: 10, Output: 2, ToolCalls: []llmtest.ToolCall{
				{ID: "a", Name: "web__echo", Arguments: `{"text":"one"}`},
				{ID: "b", Name: "web__add", Arguments: `{"a":20,"b":22}`},
				{ID: "c", Name: "web__fail", Arguments: `{}`},
				{ID: "d", Name: "web__add", Arguments: `{"a":"x"}`},
			}}, llmtest.Reply{Text: "Forty-two.", Input: 20, Output: 3}, llmtest.Reply{Text: "As I said.", Input: 5, Output: 1})
			s := newStudio(t, kind, llm)
			thread := s.thread(s.mcpServer("web", object{"url": web.spec().URL}, nil))
			turn := s.post(thread, "What is it?")
			done := s.turnIs(thread, turn, "succeeded")
			require.InDelta(t, 30, member(done, "usage")["input_tokens"], 0, "of all calls of the model")
			require.InDelta(t, 5, member(done, "usage")["output_tokens"], 0)
			require.Positive(t, member(member(done, "context"), "used")["tools"])
			parts, text := s.parts(thread)
			require.Equal(t, "Asking. Forty-two.", text)
			require.ElementsMatch(t, []any{
				"text", "tool_call", "tool_call", "tool_call", "tool_call", "tool_result", "tool_result", "tool_result", "tool_result", "text",
			}, types(parts))
			require.Equal(t, "succeeded", member(parts[1], "tool_call")["status"])
			require.Equal(t, "failed", member(parts[3], "tool_call")["status"])
			calls := s.turnCalls(turn)
			require.Len(t, calls, 4)
			require.InDelta(t, thread, calls[0]["thread_id"], 0)

			s.turnIs(thread, s.post(thread, "Again?"), "succeeded")
			requests := llm.Requests()
			require.Len(t, requests, 3)
			byContent := fmt.Sprint(requests[2].Results)
			require.Len(t, requests[2].Results, 4, "the conversation has the results of the turn before")
			require.Contains(t, byContent, "echo: one")
			require.Contains(t, byContent, "42")
		})
	}
}

func TestATurnWaitsForAPersonAndANewProcessGoesOn(t *testing.T) {
	t.Parallel()
	web, path, llm := startServer(t, "http", 0), note(t), llmtest.New(t)
	record := func(id, line string) llmtest.ToolCall {
		return llmtest.ToolCall{ID: id, Name: "web__record", Arguments: fmt.Sprintf(`{"path":%q,"line":%q}`, path, line)}
	}
	llm.On("", llmtest.Reply{Text: "I write. ", Input: 7, Output: 1, ToolCalls: []llmtest.ToolCall{
		record("a", "first"), record("b", "second"), {ID: "c", Name: "web__echo", Arguments: `{"text":"x"}`},
	}}, llmtest.Reply{Text: "Written.", Input: 9, Output: 1})
	s := newStudio(t, "openai", llm)
	thread := s.thread(s.mcpServer("web", object{"url": web.spec().URL}, object{"approval": "writes"}))
	turn := s.post(thread, "Write.")
	s.turnIs(thread, turn, "waiting")
	open := items(s.do(http.StatusOK, "GET", "/api/approvals", nil))
	require.Len(t, open, 2, "what only reads does not wait")
	require.Equal(t, "turn", open[0]["owner_kind"])
	require.Zero(t, lines(t, path))
	live := member(s.do(http.StatusOK, "GET", fmt.Sprintf("/api/threads/%d", thread), nil), "live")
	require.Contains(t, fmt.Sprint(live["parts"]), fmt.Sprintf("tool_call_id:%d", id(open[1])), "a client knows what to approve")

	s.kill()
	s.start()
	s.turnIs(thread, turn, "waiting")
	s.do(http.StatusOK, "POST", fmt.Sprintf("/api/tool-calls/%d/approve", id(open[1])), nil)
	s.turnIs(thread, turn, "waiting")
	s.do(http.StatusOK, "POST", fmt.Sprintf("/api/tool-calls/%d/deny", id(open[0])), object{"note": "once is enough"})
	done := s.turnIs(thread, turn, "succeeded")
	require.Equal(t, 1, lines(t, path))
	require.InDelta(t, 16, member(done, "usage")["input_tokens"], 0, "of both attempts")
	require.Len(t, llm.Requests(), 2, "the model was asked once before and once after")
	results := llm.Requests()[1].Results
	require.Equal(t, "recorded", results[0].Content)
	require.Contains(t, results[1].Content, "once is enough")
	require.Equal(t, "echo: x", results[2].Content)
	parts, text := s.parts(thread)
	require.Equal(t, "I write. Written.", text)
	var statuses []any
	for _, p := range parts {
		if p["type"] == "tool_call" {
			statuses = append(statuses, member(p, "tool_call")["status"])
		}
	}
	require.Equal(t, []any{"succeeded", "denied", "succeeded"}, statuses, "each call once, as it ended")
	require.Empty(t, items(s.do(http.StatusOK, "GET", "/api/approvals", nil)))
}

func TestATurnThatWaitsForAPersonIsCancelled(t *testing.T) {
	t.Parallel()
	web, llm := startServer(t, "http", 0), llmtest.New(t)
	llm.On("", llmtest.Reply{ToolCalls: []llmtest.ToolCall{{ID: "a", Name: "web__echo", Arguments: `{"text":"x"}`}}})
	s := newStudio(t, "anthropic", llm)
	thread := s.thread(s.mcpServer("web", object{"url": web.spec().URL}, object{"approval": "always"}))
	turn := s.post(thread, "Go.")
	s.turnIs(thread, turn, "waiting")
	s.do(http.StatusAccepted, "POST", fmt.Sprintf("/api/threads/%d/turns/%d/cancel", thread, turn), nil)
	s.turnIs(thread, turn, "cancelled")
	call := s.turnCalls(turn)[0]
	require.Equal(t, "cancelled", call["status"])
	s.do(http.StatusConflict, "POST", fmt.Sprintf("/api/tool-calls/%d/approve", id(call)), nil)
	parts, _ := s.parts(thread)
	require.Equal(t, "cancelled", member(parts[0], "tool_call")["status"], "the answer does not seem to wait")
}

func TestCancelOfATurnEndsACallAtItsServer(t *testing.T) {
	t.Parallel()
	web, path, llm := startServer(t, "http", 0), note(t), llmtest.New(t)
	llm.On("", llmtest.Reply{ToolCalls: []llmtest.ToolCall{{ID: "a", Name: "web__slow", Arguments: fmt.Sprintf(`{"path":%q}`, path)}}})
	s := newStudio(t, "openai", llm)
	thread := s.thread(s.mcpServer("web", object{"url": web.spec().URL}, nil))
	turn := s.post(thread, "Go.")
	require.Eventually(t, func() bool { c := s.turnCalls(turn); return len(c) == 1 && c[0]["status"] == "running" }, patience, 20*time.Millisecond)
	require.Eventually(t, func() bool {
		live := member(s.do(http.StatusOK, "GET", fmt.Sprintf("/api/threads/%d", thread), nil), "live")
		parts, _ := live["parts"].([]any)
		return len(parts) == 1 && strings.Contains(fmt.Sprint(parts[0]), "progress:1 of 4: a quarter")
	}, patience, 20*time.Millisecond, "what the server says of its progress is at the call, which is there once")
	s.do(http.StatusAccepted, "POST", fmt.Sprintf("/api/threads/%d/turns/%d/cancel", thread, turn), nil)
	s.turnIs(thread, turn, "cancelled")
	require.Eventually(t, func() bool { return lines(t, path) == 1 }, patience, 20*time.Millisecond, "the server was not told")
	require.Equal(t, "unknown", s.turnCalls(turn)[0]["status"])
}

func TestAWorkerThatDiesInATurnsCallNeverRepeatsASideEffect(t *testing.T) {
	t.Parallel()
	web, path, llm := startServer(t, "http", 0), note(t), llmtest.New(t)
	llm.On("", llmtest.Reply{Text: "First: ", ToolCalls: []llmtest.ToolCall{{ID: "a", Name: "web__slow", Arguments: fmt.Sprintf(`{"path":%q}`, path)}}},
		llmtest.Reply{Text: "I will look."})
	s := newStudio(t, "gemini", llm)
	thread := s.thread(s.mcpServer("web", object{"url": web.spec().URL}, nil))
	turn := s.post(thread, "Go.")
	require.Eventually(t, func() bool { c := s.turnCalls(turn); return len(c) == 1 && c[0]["status"] == "running" }, patience, 20*time.Millisecond)
	s.kill()
	s.start()
	s.turnIs(thread, turn, "succeeded")
	calls := s.turnCalls(turn)
	require.Len(t, calls, 1)
	require.Equal(t, "unknown", calls[0]["status"])
	require.Contains(t, llm.Requests()[1].Results[0].Content, "outcome of this call is unknown")
	parts, text := s.parts(thread)
	require.Equal(t, "First: I will look.", text, "the new attempt says again what the first one had recorded")
	require.Equal(t, []any{"text", "tool_call", "tool_result", "text"}, types(parts))
}

func TestAThreadWhoseServerCannotBeUsedSaysWhich(t *testing.T) {
	t.Parallel()
	llm := llmtest.New(t)
	llm.On("", llmtest.Reply{Text: "Hello."})
	s := newStudio(t, "openai", llm)
	refused := s.do(http.StatusUnprocessableEntity, "POST", "/api/threads", object{"model_id": s.model, "mcp_server_ids": []int64{4711}})
	require.Contains(t, fmt.Sprint(refused), "there is no MCP server 4711")
	thread := s.thread(s.mcpServer("gone", object{"url": "http://127.0.0.1:1/mcp"}, nil))
	failed := s.turnIs(thread, s.post(thread, "Go."), "failed")
	require.Equal(t, "CHAT_MCP_EXECUTION_FAILED", failed["reason_code"])
	require.Contains(t, strings.ToLower(fmt.Sprint(member(failed, "error")["message"])), "gone cannot be reached")
	require.Empty(t, llm.Requests(), "an answer without its tools is not what was asked for")
}

func TestResultsFitTheToolsShareOfTheWindow(t *testing.T) {
	t.Parallel()
	web, llm := startServer(t, "http", 0), llmtest.New(t)
	big := func(id string) llmtest.ToolCall {
		return llmtest.ToolCall{ID: id, Name: "web__big", Arguments: `{"bytes":60000}`}
	}
	llm.On("", llmtest.Reply{ToolCalls: []llmtest.ToolCall{big("a"), {ID: "b", Name: "web__echo", Arguments: `{"text":"small"}`}}},
		llmtest.Reply{ToolCalls: []llmtest.ToolCall{big("c")}}, llmtest.Reply{Text: "Enough."})
	s := newStudio(t, "openai", llm)
	thread := s.thread(s.mcpServer("web", object{"url": web.spec().URL}, object{"allowed_tools": []string{"big", "echo"}}))
	turn := s.post(thread, "Go.")
	s.turnIs(thread, turn, "succeeded")
	requests := llm.Requests()
	require.Len(t, requests, 3)
	for _, req := range requests[1:] {
		sum := 0
		for _, r := range req.Results {
			sum += len(r.Content)
		}
		require.Less(t, sum, 4*2100, "15 % of a window of 16000 tokens without the answer's, about four characters a token")
	}
	require.Equal(t, "echo: small", requests[1].Results[1].Content, "what is small is whole")
	require.Contains(t, requests[1].Results[0].Content, "no room for more in the window")
	require.Contains(t, requests[2].Results[0].Content, "left out: 60000 bytes", "older results give way to newer ones")
	require.Greater(t, len(requests[2].Results[2].Content), 3000)
	whole := s.do(http.StatusOK, "GET", fmt.Sprintf("/api/tool-calls/%d", id(s.turnCalls(turn)[0])), nil)
	result, _ := whole["result"].(string)
	require.Len(t, result, 60000, "the record has all of it")
}
