package run_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

// asking is a flowchart whose node "ask" waits for a person.
func (b *bundle) asking(t *testing.T, waits *bool, ended *[]int64) int64 {
	t.Helper()
	b.engine = run.NewEngine(run.Options{
		DB: b.db, Log: event.NewLog(nil, time.Now), Jobs: b.jobs, Signaller: b, Now: time.Now,
		ExecutorFor: func(string) string { return "kubernetes" },
		InWorker: func(kind string, config json.RawMessage) bool {
			return kind == "task" && strings.Contains(string(config), "mcp_server_ids")
		},
		Waits: func(context.Context, postgres.Querier, *run.NodeRun) (bool, error) { return *waits, nil },
		Ended: func(_ context.Context, _ *postgres.Tx, n *run.NodeRun) error {
			*ended = append(*ended, n.ID)
			return nil
		},
	})
	id := b.flowchart(t, map[string]string{
		"start": "start", "ask": `task {"prompt":"p","model_id":1,"mcp_server_ids":[1]}`, "also": script(""), "end": `end {"fan_in":"all"}`,
	}, "start->ask start->also ask->end also->end")
	_, err := b.db.Exec(t.Context(), `UPDATE flowchart SET max_parallel_nodes = 1 WHERE id = $1`, id)
	require.NoError(t, err)
	return id
}

// suspend ends an attempt whose node waits, and gives the claim of the node that may
// begin then, whether or not it was claimed on the way.
func (b *bundle) suspend(t *testing.T, runID int64, c *run.Claim) *run.Claim {
	t.Helper()
	if next := b.finish(t, c, run.Result{Status: run.Suspended}); next != nil {
		return next
	}
	return b.claim(t, runID, "also")
}

func (b *bundle) decide(t *testing.T, node int64, goesOn bool) error {
	t.Helper()
	return b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		return b.engine.DecideTx(ctx, tx, node, func(context.Context) (bool, error) { return goesOn, nil })
	})
}

func TestANodeThatWaitsForAPersonHoldsNoSlotAndGoesOnInAnyWorker(t *testing.T) {
	t.Parallel()
	b, waits, ended := setup(t), true, []int64{}
	r := b.start(t, b.asking(t, &waits, &ended), `{}`)
	c := b.claim(t, r.ID, "ask")
	require.Equal(t, "inline", c.Executor, "its tools are in the worker")
	next := b.suspend(t, r.ID, c) // the run's only slot is free for the other node
	require.Equal(t, "also", next.NodeRun.FlowchartNodeID)
	require.Equal(t, "kubernetes", next.Executor)
	_, states := b.statuses(t, r.ID)
	require.Equal(t, []string{run.Waiting}, states["ask"])
	require.Nil(t, b.finish(t, next, ok(`{}`)))
	row, _ := b.statuses(t, r.ID)
	require.Equal(t, run.Running, row.Status)

	require.NoError(t, b.decide(t, c.NodeRun.ID, false), "another call of it waits")
	require.Empty(t, b.jobs.jobs)
	require.NoError(t, b.decide(t, c.NodeRun.ID, true))
	c = b.claim(t, r.ID, "ask")
	require.Equal(t, int32(2), c.Attempt)
	require.NoError(t, b.decide(t, c.NodeRun.ID, true), "it runs already: nothing to do")
	require.Empty(t, b.jobs.jobs)
	b.finish(t, c, ok(`{"text":"done"}`))
	row, states = b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, row.Status)
	require.Equal(t, []string{run.Succeeded}, states["ask"])
	require.Equal(t, []int64{c.NodeRun.ID}, ended, "only nodes that work in the worker are told of")
	require.True(t, errs.HasReason(b.decide(t, c.NodeRun.ID, true), "node.finished"))
	b.requireStream(t, r.ID)
}

func TestADecisionThatComesBeforeTheNodeWaitsIsNotLost(t *testing.T) {
	t.Parallel()
	b, waits, ended := setup(t), false, []int64{}
	r := b.start(t, b.asking(t, &waits, &ended), `{}`)
	c := b.claim(t, r.ID, "ask")
	b.finish(t, c, run.Result{Status: run.Suspended})
	_, states := b.statuses(t, r.ID)
	require.Equal(t, []string{run.Queued}, states["ask"], "it goes on at once")
}

func TestANodeThatWaitsIsCancelledAtOnce(t *testing.T) {
	t.Parallel()
	for _, single := range []bool{false, true} {
		b, waits, ended := setup(t), true, []int64{}
		r := b.start(t, b.asking(t, &waits, &ended), `{}`)
		c := b.claim(t, r.ID, "ask")
		other := b.suspend(t, r.ID, c)
		b.finish(t, other, ok(`{}`))
		if single {
			require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
				_, err := b.engine.CancelNodeTx(ctx, tx, c.NodeRun.ID)
				return err
			}))
		} else {
			_, err := b.engine.Cancel(t.Context(), r.ID)
			require.NoError(t, err)
		}
		b.work(t, false, echo) // the end node has a job of its own after a single cancel
		row, states := b.statuses(t, r.ID)
		require.Equal(t, []string{run.Cancelled}, states["ask"])
		if single {
			require.Equal(t, run.Succeeded, row.Status, "the run goes on without it")
		} else {
			require.Equal(t, run.Cancelled, row.Status)
		}
		require.Equal(t, []int64{c.NodeRun.ID}, ended)
		require.Empty(t, b.signals, "nobody holds it")
	}
}

func TestARunWithANodeThatWaitsCanBePausedAndResumed(t *testing.T) {
	t.Parallel()
	b, waits, ended := setup(t), true, []int64{}
	r := b.start(t, b.asking(t, &waits, &ended), `{}`)
	c := b.claim(t, r.ID, "ask")
	other := b.suspend(t, r.ID, c)
	paused, err := b.engine.Pause(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, run.Pausing, paused.Status)
	b.finish(t, other, ok(`{}`))
	row, _ := b.statuses(t, r.ID)
	require.Equal(t, run.Paused, row.Status, "what waits for a person does not run")
	require.NoError(t, b.decide(t, c.NodeRun.ID, true))
	_, states := b.statuses(t, r.ID)
	require.Equal(t, []string{run.Pending}, states["ask"])
	require.Empty(t, b.jobs.jobs)
	_, err = b.engine.Resume(t.Context(), r.ID)
	require.NoError(t, err)
	b.finish(t, b.claim(t, r.ID, "ask"), ok(`{}`))
	row, _ = b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, row.Status)
}
