package node

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/run"
)

// chain is an engine with one node run, and one after it.
type chain struct {
	shaky

	ends []run.FinishOptions
}

func (*chain) Claim(context.Context, int64, uuid.UUID) (*run.Claim, error) {
	return &run.Claim{Executor: "inline", NodeRun: run.NodeRun{ID: 1, TimeoutSeconds: 9}}, nil
}

func (*chain) Prepare(context.Context, *run.Claim) (run.Work, *run.Failure, error) {
	return run.Work{Kind: "task", Config: json.RawMessage(`{"model_id":7}`)}, nil, nil
}

func (c *chain) Finish(_ context.Context, _ int64, _ int32, _ run.Result, o run.FinishOptions) (*run.Claim, error) {
	if c.ends = append(c.ends, o); len(c.ends) > 1 {
		return nil, nil //nolint:nilnil // nothing follows
	}
	return &run.Claim{Executor: "inline", NodeRun: run.NodeRun{ID: 2, TimeoutSeconds: 9}}, nil
}

func TestAWorkerSaysWhichQueuesItWouldGoOnWith(t *testing.T) {
	t.Parallel()
	e, worker := &chain{}, uuid.New()
	fresh := true
	r := NewRunner(RunnerOptions{
		Engine: e, Models: e, Executors: map[string]executor.Executor{"inline": echo{}}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Worker: worker, Queues: []string{"llmctl_studio", "llmctl_studio.rag.git"}, Fresh: func() bool { return fresh },
		Chain: func() bool { return len(e.ends) == 0 },
	})
	r.Work(t.Context(), 1)
	require.Len(t, e.ends, 2)
	require.Equal(t, worker, *e.ends[0].Next)
	require.Equal(t, []string{"llmctl_studio", "llmctl_studio.rag.git"}, e.ends[0].NextQueues)
	require.Nil(t, e.ends[1].Next, "it may not go on any more")
}
