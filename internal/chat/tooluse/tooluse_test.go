package tooluse

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/toolloop"
)

func result(content string) llm.Message {
	return llm.Message{Role: llm.RoleTool, ToolResult: &llm.ToolResult{Content: content}}
}

func TestNewResultsAreWholeBeforeOldOnes(t *testing.T) {
	t.Parallel()
	messages := []llm.Message{
		llm.Text(llm.RoleUser, "hi"),
		{Role: llm.RoleAssistant},
		result(strings.Repeat("old ", 400)),
		{Role: llm.RoleAssistant},
		result(strings.Repeat("new ", 400)), result("small"),
	}
	out, used := shorten(messages, 1, 450)
	require.LessOrEqual(t, used, 450)
	require.Equal(t, messages[4].ToolResult.Content, out[4].ToolResult.Content)
	require.Equal(t, "small", out[5].ToolResult.Content)
	require.Contains(t, out[2].ToolResult.Content, "of 1600 bytes")
	require.Len(t, messages[2].ToolResult.Content, 1600, "what was given stays as it is")
	out, used = shorten(messages, 1, 10_000)
	require.Equal(t, messages, out)
	require.Equal(t, 400+400+2, used)
	out, _ = shorten(messages, 3, 0)
	require.Equal(t, messages[2], out[2], "what was said before is not the loop's")
}

func TestResultsOfOneAnswerShareTheRoom(t *testing.T) {
	t.Parallel()
	group := []llm.Message{result(strings.Repeat("a", 8000)), result("tiny"), result(strings.Repeat("日本", 4000))}
	used := share(group, 1000)
	require.LessOrEqual(t, used, 1000)
	require.Equal(t, "tiny", group[1].ToolResult.Content)
	for _, i := range []int{0, 2} {
		require.InDelta(t, 500, chat.Estimate(group[i].ToolResult.Content), 30)
	}
}

func TestProgressIsPartOfTheCallUntilItEnds(t *testing.T) {
	t.Parallel()
	var parts []*chat.MessageToolCall
	teller, err := newTeller(nil, func(s chat.Said) error {
		if s.Part.ToolCall != nil {
			parts = append(parts, s.Part.ToolCall)
		}
		return nil
	})
	require.NoError(t, err)
	call := toolloop.Call{ID: 7, Name: "web__slow", Arguments: "{}", Status: toolloop.Running}
	require.NoError(t, teller.event(toolloop.Event{Kind: toolloop.EventCall, Cycle: 1, Call: &call}))
	require.NoError(t, teller.event(toolloop.Event{Kind: toolloop.EventProgress, Cycle: 1, Call: &call, Text: "1 of 4:\n a  quarter" + strings.Repeat("é", 400)}))
	ended := call
	ended.Status = toolloop.Succeeded
	require.NoError(t, teller.event(toolloop.Event{Kind: toolloop.EventCall, Cycle: 1, Call: &ended}))
	require.Len(t, parts, 3)
	require.Empty(t, parts[0].Progress)
	require.Equal(t, parts[0].ID, parts[1].ID, "a client replaces what it has of the call")
	require.Equal(t, "running", parts[1].Status)
	require.True(t, strings.HasPrefix(parts[1].Progress, "1 of 4: a quarter"), parts[1].Progress)
	require.Len(t, []rune(parts[1].Progress), 301)
	require.Empty(t, parts[2].Progress)
}

func TestACheckpointIsNotSaidTwice(t *testing.T) {
	t.Parallel()
	var said []string
	emit := func(s chat.Said) error {
		switch {
		case s.Text != "":
			said = append(said, s.Text)
		case s.Part.ToolCall != nil:
			said = append(said, s.Part.ToolCall.ID+":"+s.Part.ToolCall.Status)
		default:
			said = append(said, s.Part.ToolResult.CallID+"="+s.Part.ToolResult.Content)
		}
		return nil
	}
	cycles := []toolloop.Cycle{
		{Number: 1, Text: "one", Calls: []toolloop.Call{{ID: 1, Status: toolloop.Succeeded, Content: "x", Took: time.Second}}},
		{Number: 2, Text: "two", Calls: []toolloop.Call{{ID: 2, Status: toolloop.Waiting}, {ID: 3, Status: toolloop.Failed, Content: "no"}}},
	}
	first, err := newTeller(nil, emit)
	require.NoError(t, err)
	require.NoError(t, first.repeat(cycles))
	require.Equal(t, []string{"one", "call_1:succeeded", "call_1=x", "two", "call_2:waiting", "call_3:failed", "call_3=no"}, said)
	state, err := first.state()
	require.NoError(t, err)

	said = nil
	cycles[1].Calls[0].Status, cycles[1].Calls[0].Content = toolloop.Denied, "denied"
	cycles = append(cycles, toolloop.Cycle{Number: 3, Text: "three"})
	second, err := newTeller(state, emit)
	require.NoError(t, err)
	require.NoError(t, second.repeat(cycles))
	require.Equal(t, []string{"call_2:denied", "call_2=denied", "three"}, said)
	_, err = newTeller(json.RawMessage(`[`), emit)
	require.Error(t, err)
}

func TestArgumentsAreObjectsForTheNextTurn(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{
		`{"a":1}`: `{"a":1}`, "": `{}`, `[1]`: `{"not_an_object":"[1]"}`, `{"a`: `{"not_an_object":"{\"a"}`, "null": `{"not_an_object":"null"}`,
	} {
		require.JSONEq(t, want, string(arguments(written)), written)
	}
}

func TestALongResultIsCutInTheMessage(t *testing.T) {
	t.Parallel()
	part := resultPart(&toolloop.Call{ID: 1, Status: toolloop.Succeeded, Content: strings.Repeat("ü", maxShown)})
	require.True(t, part.ToolResult.Truncated)
	require.Contains(t, part.ToolResult.Content, "of 32768 bytes")
	require.Less(t, len(part.ToolResult.Content), maxShown+100)
}
