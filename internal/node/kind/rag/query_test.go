package rag_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/node/kind/rag"
	"github.com/llmctl/studio/internal/rag/retrieve"
	"github.com/llmctl/studio/internal/rag/search"
)

type asker struct {
	answer retrieve.Answer
	err    error
	by     retrieve.Origin
	asked  retrieve.Question
}

func (a *asker) Ask(_ context.Context, by retrieve.Origin, q retrieve.Question) (retrieve.Answer, error) {
	a.by, a.asked = by, q
	return a.answer, a.err
}

func query(t *testing.T, a *asker) (executor.Result, []executor.Event) {
	t.Helper()
	var events []executor.Event
	res := rag.New(rag.Options{Query: rag.NewQuery(a)}).Run(t.Context(), executor.Payload{
		NodeRunID: 9, Kind: "rag", Config: json.RawMessage(`{"mode":"query","source_ids":[4],"question":"why","top_k":2,"model_id":6}`),
	}, func(e executor.Event) error { events = append(events, e); return nil })
	return res, events
}

func TestNodeThatAsksGivesPassagesAndAnAnswer(t *testing.T) {
	t.Parallel()
	a := &asker{answer: retrieve.Answer{
		Answer: "So [1].", Usage: llm.Usage{InputTokens: 3, OutputTokens: 2},
		Results: []search.Result{{SourceID: 4, SourceName: "Docs", Path: "a.md", Text: "because", Position: search.Position{LineStart: 2, LineEnd: 5}}},
	}}
	res, events := query(t, a)
	require.Equal(t, executor.Succeeded, res.Status)
	require.EqualValues(t, 9, *a.by.ID)
	require.Equal(t, retrieve.Question{Question: "why", SourceIDs: []int64{4}, TopK: 2, Synthesize: true, ModelID: 6}, a.asked)
	var out rag.Output
	require.NoError(t, json.Unmarshal(res.OutputState, &out))
	require.Equal(t, "So [1].", out.Answer)
	require.Equal(t, "query", out.Mode)
	require.Equal(t, rag.Passage{Number: 1, SourceID: 4, SourceName: "Docs", Path: "a.md", Position: "lines 2-5", Text: "because"}, out.RetrievalContext[0])
	require.EqualValues(t, 3, res.Usage.InputTokens)
	require.Equal(t, executor.StageLLMQuery, events[0].Stage)
}

func TestNodeWithoutAnAnswerIsDegradedOnlyIfAModelFailed(t *testing.T) {
	t.Parallel()
	for code, status := range map[string]executor.Status{retrieve.CodeNoModel: executor.Succeeded, retrieve.CodeNothingFound: executor.Succeeded, "unavailable": executor.Degraded} {
		res, _ := query(t, &asker{answer: retrieve.Answer{SynthesisError: &retrieve.Unanswered{Code: code, Message: "No."}}})
		require.Equal(t, status, res.Status, code)
	}
	res, _ := query(t, &asker{err: errs.E(errs.Unavailable, "rag.unconfigured", "There are no sources.")})
	require.Equal(t, executor.Failed, res.Status)
	require.True(t, res.Error.Retryable)
	require.Equal(t, "There are no sources.", res.Error.Message)
	res, _ = query(t, &asker{err: errs.E(errs.NotFound, "rag.source_not_found", "There is no source 4.")})
	require.False(t, res.Error.Retryable)
}
