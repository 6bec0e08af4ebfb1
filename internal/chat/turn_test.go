package chat_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/llmtest"
)

func TestATurnIsAnsweredStreamedAndCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.On("the sky", llmtest.Reply{Chunks: []string{"Be", "cause of ", "Rayleigh 🌌 ", "scattering."}, Input: 40, Output: 7, Cached: 10})
	b.settings(t, func(s *chat.Settings) {
		s.Prices = []chat.ModelPrice{{ModelID: b.modelID, Input: 1, Cached: 0.1, Output: 4}}
	})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{ResponseComplexity: "low"})
	p := b.post(t, th.ID, chat.Post{Message: "why is the sky blue?"})
	require.Equal(t, chat.Queued, p.Turn.Status)
	require.Equal(t, "pending", p.Assistant.Status)
	v := b.ended(t, th.ID, p.Turn.ID)
	require.Equal(t, chat.Succeeded, v.Status)
	require.Equal(t, chat.TurnUsage{InputTokens: 40, OutputTokens: 7, CachedTokens: 10, CostMicros: new(int64(30 + 1 + 28))}, v.Usage)
	require.Equal(t, "stop", v.FinishReason)
	m := b.message(t, th.ID, v.AssistantMessageID)
	require.Equal(t, "Because of Rayleigh 🌌 scattering.", m.Content)
	require.Equal(t, m.Content, b.streamed(t, v.ID, 1))
	require.Equal(t, "complete", m.Status)

	d, err := b.service.Get(t.Context(), th.ID, 50)
	require.NoError(t, err)
	require.Equal(t, "Why Is the Sky Blue?", d.Thread.Title)
	require.Equal(t, "auto", d.Thread.TitleSource)
	require.EqualValues(t, 1, d.Thread.TurnCount)
	require.EqualValues(t, 59, d.Thread.CostMicros)
	require.Nil(t, d.Live)
	require.Empty(t, d.Unfinished)

	var req struct {
		MaxTokens int `json:"max_completion_tokens"`
		Old       int `json:"max_tokens"`
	}
	require.NoError(t, json.Unmarshal(b.server.Requests()[0].Body, &req))
	require.Equal(t, 512, max(req.MaxTokens, req.Old), "low complexity bounds the answer")
	require.Contains(t, b.server.Requests()[0].Prompt, "Answer briefly")

	rep, err := b.service.UsageBetween(t.Context(), time.Now().AddDate(0, 0, -1), time.Now().AddDate(0, 0, 1))
	require.NoError(t, err)
	require.EqualValues(t, 1, rep.Total.Turns)
	require.EqualValues(t, 59, rep.Total.CostMicros)
}

func TestCancelClosesTheProvidersConnectionWithinASecondAndKeepsWhatCame(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.On("", llmtest.Reply{Chunks: []string{"one ", "two ", "three"}, Hang: true, HangAt: 2})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{})
	p := b.post(t, th.ID, chat.Post{Message: "count"})
	req := b.server.Next(t)
	b.client.await(t, "the text", func(e *event.Envelope) bool { return strings.Contains(string(e.Payload), "two ") })
	began := time.Now()
	got, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Turn, error) {
		return b.service.CancelTx(ctx, tx, th.ID, p.Turn.ID, chat.Origin{})
	})
	require.NoError(t, err)
	require.Equal(t, chat.Cancelling, got.Status)
	<-req.ClientGone()
	require.Less(t, time.Since(began), time.Second)
	v := b.ended(t, th.ID, p.Turn.ID)
	require.Equal(t, chat.Cancelled, v.Status)
	require.Equal(t, chat.CodeCancelled, v.ReasonCode)
	require.True(t, v.Order.Confirmed)
	require.True(t, v.Usage.Estimated, "the provider did not say, so what was sent and came is counted")
	require.Positive(t, v.Usage.InputTokens)
	require.Positive(t, v.Usage.OutputTokens)
	m := b.message(t, th.ID, v.AssistantMessageID)
	require.Equal(t, "partial", m.Status)
	require.Equal(t, "one two ", m.Content)
	require.Equal(t, m.Content, b.streamed(t, v.ID, 1))
	_, err = in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Turn, error) {
		return b.service.CancelTx(ctx, tx, th.ID, p.Turn.ID, chat.Origin{})
	})
	require.True(t, errs.Is(err, errs.Conflict), "%v", err)
}

func TestTheTextOfAKilledWorkerIsSupersededByANewAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.On("", llmtest.Reply{Chunks: []string{"half of ", "it"}, Hang: true, HangAt: 1}, llmtest.Reply{Text: "all of it"})
	first := b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{})
	p := b.post(t, th.ID, chat.Post{Message: "go"})
	b.client.await(t, "the text", func(e *event.Envelope) bool { return strings.Contains(string(e.Payload), "half of ") })
	live, err := b.service.Get(t.Context(), th.ID, 10)
	require.NoError(t, err)
	require.Equal(t, "half of ", live.Live.Text)
	require.EqualValues(t, 1, live.Live.Attempt)

	b.bury(t, first) // it lives on, as a worker that stood still does
	b.start(t, b.direct())
	v := b.ended(t, th.ID, p.Turn.ID)
	require.Equal(t, chat.Succeeded, v.Status)
	require.EqualValues(t, 2, v.Attempt)
	require.Equal(t, "all of it", b.message(t, th.ID, v.AssistantMessageID).Content)
	require.Equal(t, "all of it", b.streamed(t, v.ID, 2))
	d, err := b.service.GetTurn(t.Context(), th.ID, v.ID)
	require.NoError(t, err)
	require.Equal(t, "lost", d.Attempts[1].Status)
	require.EqualValues(t, 8, d.Attempts[1].Characters)
}

func TestATurnThatKillsItsWorkersFailsWithTheStory(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.On("", llmtest.Reply{Chunks: []string{"so far ", "x"}, Hang: true, HangAt: 1})
	th := b.thread(t, chat.ThreadFields{})
	p := b.post(t, th.ID, chat.Post{Message: "die"})
	for i := range 3 {
		w := b.start(t, b.direct())
		b.client.await(t, "the text", func(e *event.Envelope) bool {
			return e.EventType == "thread:turn:delta" && strings.Contains(string(e.Payload), `"attempt":`+string(rune('1'+i)))
		})
		w.kill()
		b.bury(t, w)
	}
	v := b.ended(t, th.ID, p.Turn.ID)
	require.Equal(t, chat.Failed, v.Status)
	require.Equal(t, chat.CodeWorkerLost, v.ReasonCode)
	require.Contains(t, v.Error.Message, "3 workers died")
	m := b.message(t, th.ID, v.AssistantMessageID)
	require.Equal(t, "partial", m.Status)
	require.Equal(t, "so far ", m.Content)
}

func TestMessagesToABusyThreadWaitInOrderOrAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gate := make(chan struct{})
	b.server.On("first", llmtest.Reply{Text: "answer one", Gate: gate})
	b.server.On("second", llmtest.Reply{Text: "answer two"})
	b.settings(t, func(s *chat.Settings) { s.MaxQueuedTurns = 1 })
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{})
	one := b.post(t, th.ID, chat.Post{Message: "1st"})
	two := b.post(t, th.ID, chat.Post{Message: "2nd"})
	_, err := b.try(t, th.ID, chat.Post{Message: "3rd"})
	require.True(t, errs.Is(err, errs.Conflict), "%v", err)
	require.Equal(t, "thread.queue_full", errs.As(err).Reason)
	b.settings(t, func(s *chat.Settings) { s.OnBusy = "refuse" })
	_, err = b.try(t, th.ID, chat.Post{Message: "4th"})
	require.Equal(t, "thread.busy", errs.As(err).Reason)
	close(gate)
	require.Equal(t, chat.Succeeded, b.ended(t, th.ID, one.Turn.ID).Status)
	second := b.ended(t, th.ID, two.Turn.ID)
	require.Equal(t, chat.Succeeded, second.Status)
	require.True(t, second.StartedAt.After(*b.turn(t, th.ID, one.Turn.ID).FinishedAt) || second.StartedAt.Equal(*b.turn(t, th.ID, one.Turn.ID).FinishedAt))
	require.Equal(t, one.Assistant.ID, *two.User.ParentID, "the second follows the answer to the first")
}

func TestFailuresOfTheModelAreTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.On("key", llmtest.Reply{Status: 401, ErrorMessage: "wrong key"})
	b.server.On("cut", llmtest.Reply{Chunks: []string{"half ", "rest"}, CutAfter: 1})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{})
	v, m := b.said(t, th.ID, "key")
	require.Equal(t, chat.Failed, v.Status)
	require.Equal(t, chat.CodeModelFailed, v.ReasonCode)
	require.Contains(t, v.Error.Message, "refused the key")
	require.Equal(t, "failed", m.Status)
	th2 := b.thread(t, chat.ThreadFields{})
	v, m = b.said(t, th2.ID, "cut")
	require.Equal(t, chat.Failed, v.Status)
	require.Equal(t, "partial", m.Status)
	require.Equal(t, "half ", m.Content)
	acts, err := b.service.ListActivity(t.Context(), chat.ActivityFilter{ThreadID: th.ID, Classes: []string{"failure"}, Limit: 10})
	require.NoError(t, err)
	require.Len(t, acts, 1)
	require.Equal(t, chat.CodeModelFailed, acts[0].ReasonCode)
}

// waiting asks for approval once and goes on from there.
type waiting struct{}

func (waiting) Answer(_ context.Context, q chat.Question, emit func(chat.Said) error) (chat.Answer, error) {
	call := &chat.MessageToolCall{ID: "c1", Name: "delete", Arguments: json.RawMessage(`{"id":7}`)}
	if q.State == nil {
		_ = emit(chat.Said{Text: "I ask first. "})
		_ = emit(chat.Said{Part: &chat.MessagePart{Type: chat.PartToolCall, ToolCall: call}})
		return chat.Answer{Usage: llm.Usage{InputTokens: 5, OutputTokens: 1}}, &chat.SuspendedError{State: json.RawMessage(`{"call":"c1"}`)}
	}
	_ = emit(chat.Said{Part: &chat.MessagePart{Type: chat.PartToolResult, ToolResult: &chat.MessageToolResult{CallID: "c1", Name: "delete", Content: string(q.State)}}})
	_ = emit(chat.Said{Text: "Done."})
	return chat.Answer{Finish: llm.FinishStop, Usage: llm.Usage{InputTokens: 6, OutputTokens: 2}}, nil
}

func TestATurnWaitsAsARowAndGoesOnWhenItIsResumed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start(t, waiting{})
	th := b.thread(t, chat.ThreadFields{})
	p := b.post(t, th.ID, chat.Post{Message: "delete 7"})
	b.client.await(t, "that it waits", func(e *event.Envelope) bool { return strings.Contains(string(e.Payload), `"status":"waiting"`) })
	_, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Turn, error) {
		return b.service.ResumeTx(ctx, tx, th.ID, p.Turn.ID, json.RawMessage(`{"approved":true}`))
	})
	require.NoError(t, err)
	v := b.ended(t, th.ID, p.Turn.ID)
	require.Equal(t, chat.Succeeded, v.Status)
	require.EqualValues(t, 11, v.Usage.InputTokens)
	m := b.message(t, th.ID, v.AssistantMessageID)
	require.Equal(t, "I ask first. Done.", m.Content)
	require.Equal(t, m.Content, b.streamed(t, v.ID, 2), "the attempt that goes on has the whole text")
	require.Equal(t, []string{"text", "tool_call", "tool_result", "text"}, typesOf(m.Parts))
}

func typesOf(parts []chat.MessagePart) []string {
	var out []string
	for _, p := range parts {
		out = append(out, p.Type)
	}
	return out
}

func TestAWorkerThatStopsHandsItsTurnsOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.On("", llmtest.Reply{Chunks: []string{"begun ", "x"}, Hang: true, HangAt: 1}, llmtest.Reply{Text: "whole"})
	first := b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{})
	p := b.post(t, th.ID, chat.Post{Message: "go"})
	b.client.await(t, "the text", func(e *event.Envelope) bool { return strings.Contains(string(e.Payload), "begun ") })
	over, end := context.WithCancel(t.Context())
	end()
	first.leave()
	first.worker.Drain(over)
	b.start(t, b.direct())
	v := b.ended(t, th.ID, p.Turn.ID)
	require.Equal(t, chat.Succeeded, v.Status)
	d, err := b.service.GetTurn(t.Context(), th.ID, v.ID)
	require.NoError(t, err)
	require.Equal(t, "handed_over", d.Attempts[len(d.Attempts)-1].Status)
	require.Zero(t, d.Turn.Lost)
}

func TestWhatCannotBeStoredIsReplacedAndLongTextsAreFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("字 ", 60_000)
	b.server.On("", llmtest.Reply{Chunks: []string{"a\x00b ", "needle ", long}})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{})
	v, m := b.said(t, th.ID, "go")
	require.Equal(t, chat.Succeeded, v.Status, "%+v", v.Error)
	require.Equal(t, "a\uFFFDb needle "+long, m.Content)
	require.Equal(t, m.Content, b.streamed(t, v.ID, 1))
	hits, err := b.service.Search(t.Context(), chat.SearchQuery{Text: "needle", Limit: 5})
	require.NoError(t, err)
	require.Len(t, hits, 1)
}
