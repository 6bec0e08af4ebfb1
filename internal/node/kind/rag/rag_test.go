package rag_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/node/kind/rag"
	"github.com/llmctl/studio/internal/rag/index"
)

// scripted answers as it was told, and keeps what it was asked.
type scripted struct {
	result index.Result
	asked  []index.Request
}

func (s *scripted) Work(_ context.Context, req index.Request, to index.Reporter) index.Result {
	s.asked = append(s.asked, req)
	for p := index.PhaseOpen; p <= index.PhaseSwap; p++ {
		_ = to.Enter(p)
		_ = to.Log("x")
	}
	return s.result
}

type asked struct{}

func (asked) Run(context.Context, executor.Payload, executor.Sink) executor.Result {
	return executor.Success("asked")
}

func TestConfigsOfBothKindsAreRequests(t *testing.T) {
	t.Parallel()
	s := &scripted{}
	h := rag.New(rag.Options{Index: s, Query: asked{}})
	run := func(kind, config string) executor.Result {
		return h.Run(t.Context(), executor.Payload{NodeRunID: 5, Attempt: 2, Kind: kind, Config: json.RawMessage(config)}, func(executor.Event) error { return nil })
	}
	failed := int64(4)
	for _, c := range []struct {
		kind, config string
		want         index.Config
	}{
		{"rag", `{"mode":"fresh_index","source_ids":[1,2],"retry":{"max_attempts":2}}`, index.Config{Mode: "fresh", SourceIDs: []int64{1, 2}}},
		{"rag", `{"mode":"delta_index","source_ids":[1],"plan_first":true}`, index.Config{Mode: "delta", SourceIDs: []int64{1}}},
		{"rag_index", `{"mode":"delta","source_ids":[3],"plan_first":true,"only_failed_of":4}`, index.Config{Mode: "delta", SourceIDs: []int64{3}, PlanFirst: true, OnlyFailedOf: &failed}},
	} {
		s.asked = nil
		require.Equal(t, executor.Succeeded, run(c.kind, c.config).Status, c.config)
		require.Equal(t, []index.Request{{NodeRunID: 5, Attempt: 2, Config: c.want}}, s.asked, c.config)
	}
	s.asked = nil
	require.JSONEq(t, `"asked"`, string(run("rag", `{"mode":"query","question":"?","source_ids":[1]}`).OutputState))
	for _, c := range [][2]string{{"rag", `{"mode":"fresh"}`}, {"rag_index", `{"mode":"fresh_index"}`}, {"rag_index", `{"mode":3}`}, {"rag", `[]`}} {
		require.Equal(t, executor.CodeConfig, run(c[0], c[1]).Error.Code, "%v", c)
	}
	require.Empty(t, s.asked)
	h = rag.New(rag.Options{})
	require.Equal(t, executor.CodeKind, run("rag", `{"mode":"query"}`).Error.Code)
	require.Equal(t, executor.CodeKind, run("rag_index", `{"mode":"fresh"}`).Error.Code)
}

func TestOutcomesAreResults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		result index.Result
		want   executor.Status
		last   string // status of the last stage
	}{
		{index.Result{Outcome: index.Done, Output: index.Output{Mode: "fresh", Found: 3}, Tokens: 7}, executor.Succeeded, executor.StageFinished},
		{index.Result{Outcome: index.Partly, Output: index.Output{Mode: "delta"}}, executor.Degraded, executor.StageFinished},
		{index.Result{Outcome: index.Suspended}, executor.Suspended, executor.StageFinished},
		{index.Result{Outcome: index.Stopped}, executor.Cancelled, executor.StageFinished},
		{index.Result{Outcome: index.Broken, Failure: &index.Failure{Code: "source_gone", Message: "Gone.", Retryable: true}}, executor.Failed, executor.StageFailed},
	} {
		var stages []string
		last := ""
		res := rag.New(rag.Options{Index: &scripted{result: c.result}}).Run(t.Context(), executor.Payload{
			Kind: "rag_index", Config: json.RawMessage(`{"mode":"fresh","source_ids":[1]}`),
		}, func(e executor.Event) error {
			if e.Type == executor.EventStage {
				last = e.Status
				if e.Status == executor.StageStarted {
					stages = append(stages, e.Stage)
				}
			}
			return nil
		})
		require.Equal(t, c.want, res.Status)
		require.Equal(t, []string{"integration", "pre_init", "init", "post_init", "llm_query", "post_run"}, stages)
		require.Equal(t, c.last, last)
		if c.want == executor.Failed {
			require.Equal(t, "source_gone", res.Error.Code)
			require.True(t, res.Error.Retryable)
		}
		if c.want == executor.Succeeded {
			require.Equal(t, int64(7), res.Usage.InputTokens)
			require.JSONEq(t, `{"mode":"fresh_index","found":3,"added":0,"changed":0,"removed":0,"kept":0,"failed":0,"chunks":0,"sources":null}`, string(res.OutputState))
		}
	}
}
