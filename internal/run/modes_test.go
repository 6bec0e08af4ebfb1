package run_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

const indexQueue = "llmctl_studio.rag.index"

// sorting has an engine that gives rag nodes a queue and a mode.
func (b *bundle) sorting() {
	b.engine = run.NewEngine(run.Options{
		DB: b.db, Log: event.NewLog(nil, time.Now), Jobs: b.jobs, Signaller: b, Now: time.Now,
		ExecutorFor: func(string) string { return "inline" },
		QueueFor: func(_ context.Context, _ postgres.Querier, kind string, config json.RawMessage) (string, error) {
			if kind == "rag" && strings.Contains(string(config), "index") {
				return indexQueue, nil
			}
			return "", nil
		},
		ModeFor: func(kind string, config json.RawMessage) string {
			var c struct {
				Mode string `json:"mode"`
			}
			if kind != "rag" || json.Unmarshal(config, &c) != nil {
				return ""
			}
			if mode, ok := map[string]string{"query": "query", "fresh_index": "indexing", "delta_index": "delta_indexing"}[c.Mode]; ok {
				return mode
			}
			return c.Mode
		},
	})
}

func TestQueueAndModeOfANodeComeFromItsConfig(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sorting()
	r := b.start(t, b.flowchart(t, map[string]string{
		"start": "start", "t": `task {"prompt":"fresh_index","model_id":1}`, "end": "end",
		"o": `rag {"mode":"strange","source_ids":[1]}`,
	}, "start->t start->o t->end o->end"), `{}`)
	require.Nil(t, b.nodeRun(t, r.ID, "t").ExecutionMode)
	require.Equal(t, "llmctl_studio", b.nodeRun(t, r.ID, "t").Queue)
	require.Nil(t, b.nodeRun(t, r.ID, "o").ExecutionMode, "a mode that there is not is none")
	n, err := b.quickNode(t, run.NodeRequest{Kind: "rag", Config: json.RawMessage(`{"mode":"fresh_index"}`), Queue: "llmctl_studio.rag.git", ExecutionMode: "query"})
	require.NoError(t, err)
	require.Equal(t, []string{"llmctl_studio.rag.git", "query"}, []string{n.Queue, *n.ExecutionMode}, "what the request says holds")
}

func TestAnExecutionModeIsInEveryEventOfItsNode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sorting()
	id := b.flowchart(t, map[string]string{
		"start": "start", "q": `rag {"mode":"query","source_ids":[1],"question":"?"}`, "end": "end",
		"f": `rag {"mode":"fresh_index","source_ids":[1]}`, "d": `rag {"mode":"delta_index","source_ids":[1]}`,
	}, "start->q q->f f->d d->end")
	r := b.start(t, id, `{}`)
	b.work(t, false, echo)
	modes := map[string]string{"q": "query", "f": "indexing", "d": "delta_indexing"}
	requireModes := func(runID int64) {
		t.Helper()
		seen := map[string]int{}
		for _, e := range b.requireStream(t, runID) {
			var p struct {
				Node string  `json:"flowchart_node_id"`
				Mode *string `json:"execution_mode"`
			}
			require.NoError(t, json.Unmarshal(e.Envelope.Payload, &p))
			if !strings.HasPrefix(e.Envelope.EventType, "node:task:") {
				continue
			}
			runtime := requireRuntime(t, e.Envelope.Runtime)
			want, has := modes[p.Node]
			require.Equal(t, has, p.Mode != nil, "%s %s", e.Envelope.EventType, e.Envelope.Payload)
			if !has {
				require.Nil(t, runtime["execution_mode"])
				continue
			}
			require.Equal(t, []any{want, want}, []any{*p.Mode, runtime["execution_mode"]}, e.Envelope.EventType)
			seen[p.Node]++
		}
		require.Len(t, seen, 3)
	}
	requireModes(r.ID)
	require.Equal(t, indexQueue, b.nodeRun(t, r.ID, "f").Queue)

	again, err := b.retry(t, r.ID, b.nodeRunID(t, r.ID, "d"), 0)
	require.NoError(t, err)
	b.work(t, false, echo)
	requireModes(again.ID) // those of reused node runs as well
}

func TestAWorkerGoesOnOnlyWithWhatItConsumes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sorting()
	id := b.flowchart(t, map[string]string{
		"start": "start", "a": script(""), "f": `rag {"mode":"fresh_index","source_ids":[1]}`, "s": script(""), "end": "end",
	}, "start->a a->f a->s f->end s->end")
	finish := func(queues []string) (*run.Claim, []string) {
		r := b.start(t, id, `{}`)
		b.jobs.take()
		c, err := b.engine.Claim(t.Context(), b.nodeRunID(t, r.ID, "a"), b.worker)
		require.NoError(t, err)
		next, err := b.engine.Finish(t.Context(), c.NodeRun.ID, c.Attempt, ok(`{"exit_code":0}`), run.FinishOptions{Next: &b.worker, NextQueues: queues})
		require.NoError(t, err)
		var jobs []string
		for j, more := b.jobs.take(); more; j, more = b.jobs.take() {
			jobs = append(jobs, j.Queue)
		}
		return next, jobs
	}
	next, jobs := finish([]string{"llmctl_studio"})
	require.Equal(t, "s", next.NodeRun.FlowchartNodeID)
	require.Equal(t, []string{indexQueue}, jobs, "what it does not consume has a job")
	next, jobs = finish([]string{indexQueue})
	require.Equal(t, "f", next.NodeRun.FlowchartNodeID)
	require.Equal(t, []string{"llmctl_studio"}, jobs)
	next, jobs = finish([]string{"llmctl_studio.rag.git"})
	require.Nil(t, next)
	require.Len(t, jobs, 2)
	next, _ = finish(nil)
	require.NotNil(t, next, "a worker that does not say takes all")
}
