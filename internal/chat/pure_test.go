package chat

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/llm"
)

func TestPartsAreAssembledWhereTheyCameAndTheTextStaysWhole(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		text := strings.Repeat("aß🌍", random.IntN(20))
		var placed []PlacedPart
		at := int64(0)
		for range random.IntN(5) {
			at += int64(random.IntN(10))
			placed = append(placed, PlacedPart{Offset: at, Part: MessagePart{Type: PartToolCall, ToolCall: &MessageToolCall{ID: "x"}}})
		}
		parts := assemble(text, placed)
		require.Equal(t, text, textOf(parts))
		calls, seen := 0, int64(0)
		for _, p := range parts {
			if p.Type == PartToolCall {
				require.Equal(t, min(placed[calls].Offset, int64(len([]rune(text)))), seen)
				calls++
			}
			seen += int64(len([]rune(p.Text)))
		}
		require.Len(t, placed, calls)
	}
}

func TestTurnStatesNeverLeaveAnEnding(t *testing.T) {
	t.Parallel()
	for from, to := range TurnStates() {
		for _, next := range to {
			_, known := TurnStates()[next]
			require.True(t, known, "%s -> %s", from, next)
		}
	}
	for _, final := range []Status{Succeeded, Failed, Cancelled} {
		require.True(t, TurnStates().Final(final))
	}
}

func TestWhatBecomesOfATurnWhoseAttemptEnded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		turn   Turn
		end    string
		status Status
		reason string
	}{
		"succeeded":                     {Turn{Status: Running}, attemptSucceeded, Succeeded, ""},
		"succeeded although to cancel":  {Turn{Status: Cancelling}, attemptSucceeded, Succeeded, ""},
		"cancelled":                     {Turn{Status: Cancelling}, attemptCancelled, Cancelled, CodeCancelled},
		"failed although to cancel":     {Turn{Status: Cancelling}, attemptFailed, Cancelled, CodeCancelled},
		"lost although to cancel":       {Turn{Status: Cancelling}, attemptLost, Cancelled, CodeCancelled},
		"lost the first time":           {Turn{Status: Running}, attemptLost, Queued, ""},
		"lost the third time":           {Turn{Status: Running, Lost: 2}, attemptLost, Failed, CodeWorkerLost},
		"handed over, which is no loss": {Turn{Status: Running, Lost: 2}, attemptHandedOver, Queued, ""},
		"suspended":                     {Turn{Status: Running}, attemptSuspended, Waiting, ""},
		"failed":                        {Turn{Status: Running}, attemptFailed, Failed, CodeModelFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := outcome{status: c.end}
			if c.end == attemptFailed {
				o.failure = &TurnError{Code: CodeModelFailed}
			}
			to := decide(&c.turn, o)
			require.Equal(t, c.status, to.status)
			require.Equal(t, c.reason, to.reason)
			require.True(t, TurnStates().Allows(c.turn.Status, to.status))
		})
	}
}

func TestTheWindowIsDividedCompletely(t *testing.T) {
	t.Parallel()
	set := Defaults()
	for _, window := range []int{1024, 16000, 200_000} {
		for _, complexity := range Complexities() {
			b := divide(&Model{Config: []byte(`{"context_window":` + strconv.Itoa(window) + `}`)}, &set, complexity)
			require.Equal(t, window, b.window)
			require.Equal(t, window, b.answer+b.parts.History+b.parts.Retrieval+b.parts.Tools)
			require.LessOrEqual(t, b.answer, window/4)
			require.Less(t, b.target, b.trigger)
		}
	}
	b := divide(&Model{Config: []byte(`{"max_tokens": 100, "context_window_tokens": "no number"}`)}, &set, "high")
	require.Equal(t, set.DefaultWindow, b.window)
	require.Equal(t, windowFromSettings, b.source)
}

func TestTheRatioIsRaisedAtOnceAndLoweredSlowly(t *testing.T) {
	t.Parallel()
	require.InDelta(t, 2.0, learn(1, 100, 200), 1e-9)
	require.InDelta(t, 1.0-learnRate*0.5, learn(1, 100, 50), 1e-9)
	require.InDelta(t, 1.0, learn(1, 10, 500), 1e-9, "too little to learn from")
	require.InDelta(t, highestRatio, learn(1, 100, 1_000_000), 1e-9)
}

func TestTitlesAreShortAndInTitleCase(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"how do I use the iPhone with a proxy?": "How Do I Use the iPhone with a Proxy?",
		"\n\n## fix main.go, please.\nnow":      "Fix main.go, Please",
		"":                                      "",
		strings.Repeat("x", 100):                strings.ToUpper("x") + strings.Repeat("x", 70) + "…",
	} {
		require.Equal(t, want, titleOf(in))
		require.LessOrEqual(t, len([]rune(titleOf(in))), maxAutoTitle)
	}
}

func TestCallsWithoutAResultAreNotSent(t *testing.T) {
	t.Parallel()
	call := func(id string) MessagePart {
		return MessagePart{Type: PartToolCall, ToolCall: &MessageToolCall{ID: id, Name: "t", Arguments: []byte("{}")}}
	}
	out := assistantMessages([]MessagePart{
		{Type: PartText, Text: "first "},
		call("a"), call("b"),
		{Type: PartToolResult, ToolResult: &MessageToolResult{CallID: "a", Name: "t", Content: "A"}},
		{Type: PartToolResult, ToolResult: &MessageToolResult{CallID: "b", Name: "t", Content: "B"}},
		{Type: PartText, Text: "then"},
		call("never answered"),
	})
	require.Len(t, out, 4)
	require.Equal(t, llm.RoleAssistant, out[0].Role)
	require.Len(t, out[0].ToolCalls, 2)
	require.Equal(t, llm.RoleTool, out[1].Role)
	require.Equal(t, llm.RoleTool, out[2].Role)
	require.Equal(t, "then", out[3].Parts[0].Text)
	require.Empty(t, out[3].ToolCalls)
}

func TestSettingsAreCheckedTogether(t *testing.T) {
	t.Parallel()
	s := Defaults()
	require.NoError(t, s.check())
	s.HistoryPercent, s.RetrievalPercent, s.TargetPercent, s.TriggerPercent, s.OnBusy, s.Currency = 90, 10, 80, 70, "maybe", "euro"
	s.Prices = []ModelPrice{{ModelID: 1, Input: -1}, {ModelID: 1}}
	err := s.check()
	require.ErrorContains(t, err, "setting.invalid")
}

func TestExcerptsKeepTheNewestWithinTheLimit(t *testing.T) {
	t.Parallel()
	var messages []Message
	for i := range 50 {
		messages = append(messages, Message{Role: roleUser, Content: strings.Repeat("w ", 200) + strconv.Itoa(i)})
	}
	messages[49].Content = "the last one"
	text := excerpts("what was before", messages, 1000)
	require.LessOrEqual(t, len([]rune(text)), 1000)
	require.True(t, strings.HasPrefix(text, "what was before\n- "))
	require.Contains(t, text, "the last one")
}
