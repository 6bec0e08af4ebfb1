package run_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/run"
)

// claim takes the job of a node for the bundle's worker.
func (b *bundle) claim(t *testing.T, runID int64, node string) *run.Claim {
	t.Helper()
	id := b.nodeRunID(t, runID, node)
	at := slices.IndexFunc(b.jobs.jobs, func(j run.Job) bool { return j.NodeRunID == id })
	require.GreaterOrEqual(t, at, 0, "there is no job for %s", node)
	b.jobs.jobs = slices.Delete(b.jobs.jobs, at, at+1)
	c, err := b.engine.Claim(t.Context(), id, b.worker)
	require.NoError(t, err)
	require.NotNil(t, c)
	return c
}

// nodeRunID gives the newest node run of a node.
func (b *bundle) nodeRunID(t *testing.T, runID int64, node string) int64 {
	t.Helper()
	d, err := b.engine.Get(t.Context(), runID)
	require.NoError(t, err)
	var id int64
	for _, n := range d.NodeRuns {
		if n.FlowchartNodeID == node {
			id = n.ID
		}
	}
	require.NotZero(t, id, "%s did not begin", node)
	return id
}

func (b *bundle) finish(t *testing.T, c *run.Claim, res run.Result) *run.Claim {
	t.Helper()
	next, err := b.engine.Finish(t.Context(), c.NodeRun.ID, c.Attempt, res, run.FinishOptions{Next: &b.worker})
	require.NoError(t, err)
	return next
}

// otherEngine is the engine of another process: nothing is kept in memory.
func (b *bundle) otherEngine() {
	b.engine = run.NewEngine(run.Options{
		DB: b.db, Log: event.NewLog(nil, time.Now), Jobs: b.jobs, Signaller: b,
		ExecutorFor: func(string) string { return "inline" }, Now: time.Now,
	})
}

func TestPauseTakesEffectBetweenNodesAndSurvivesARestart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{
		"start": "start", "a": script(""), "b": script(""), "after": script(""), "end": "end",
	}, "start->a start->b a->after after->end b->end")
	r := b.start(t, id, `{}`)
	a := b.claim(t, r.ID, "a")
	stale := b.jobs.jobs[0]
	got, err := b.engine.Pause(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, run.Pausing, got.Status, "a runs")
	none, err := b.engine.Claim(t.Context(), stale.NodeRunID, b.worker)
	require.NoError(t, err)
	require.Nil(t, none, "what was queued is held back at once, whatever jobs are under way")

	require.Nil(t, b.finish(t, a, ok(`{"stdout":"a"}`)), "a chained claim respects the pause")
	got, nodes := b.statuses(t, r.ID)
	require.Equal(t, run.Paused, got.Status)
	require.NotNil(t, got.PausedAt)
	require.Equal(t, map[string][]string{"start": {"succeeded"}, "a": {"succeeded"}, "b": {"pending"}, "after": {"pending"}}, nodes)
	again, err := b.engine.Pause(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, run.Paused, again.Status, "pausing a paused run changes nothing")

	b.jobs.jobs = nil
	b.otherEngine()
	got, err = b.engine.Resume(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, run.Running, got.Status)
	require.Len(t, b.jobs.jobs, 2)
	again, err = b.engine.Resume(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, run.Running, again.Status)
	require.Len(t, b.jobs.jobs, 2, "resuming twice queues once")
	b.work(t, true, echo)
	got, _ = b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
	var seen []string
	for _, e := range b.requireStream(t, r.ID) {
		if e.Envelope.EventType == "flowchart:run:updated" {
			seen = append(seen, statusIn(t, e))
		}
	}
	require.Equal(t, []string{"queued", "running", "pausing", "paused", "running", "succeeded"}, seen)
}

func TestRunThatHasNotBegunIsPausedAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.start(t, b.flowchart(t, map[string]string{"start": "start", "a": script(""), "end": "end"}, "start->a a->end"), `{}`)
	got, err := b.engine.Pause(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, run.Paused, got.Status)
	got, err = b.engine.Resume(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, run.Queued, got.Status)
	b.work(t, true, echo)
	got, _ = b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
}

func TestDecisionIsHeldByAPause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{
		"start": "start", "a": script(""), "pick": `decision {"conditions":[{"edge_id":"pick-x","expression":"upstream.stdout == 'a'"}],"default_edge_id":"pick-y"}`,
		"x": script(""), "y": script(""), "end": "end",
	}, "start->a a->pick pick->x pick->y x->end y->end")
	r := b.start(t, id, `{}`)
	a := b.claim(t, r.ID, "a")
	_, err := b.engine.Pause(t.Context(), r.ID)
	require.NoError(t, err)
	require.Nil(t, b.finish(t, a, ok(`{"stdout":"a"}`)))
	got, nodes := b.statuses(t, r.ID)
	require.Equal(t, run.Paused, got.Status)
	require.Equal(t, []string{"pending"}, nodes["pick"])
	_, err = b.engine.Resume(t.Context(), r.ID)
	require.NoError(t, err)
	b.work(t, true, echo)
	got, nodes = b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
	require.Equal(t, []string{"skipped"}, nodes["y"])
}

func TestRetryOfAPausedRunWaitsAndKeepsItsBackOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{"start": "start", "a": script(`"retry":{"max_attempts":3,"backoff_seconds":600}`), "end": "end"}, "start->a a->end")
	r := b.start(t, id, `{}`)
	a := b.claim(t, r.ID, "a")
	_, err := b.engine.Pause(t.Context(), r.ID)
	require.NoError(t, err)
	require.Nil(t, b.finish(t, a, run.Result{Status: run.Failed, Error: &run.Failure{Code: "x", Retryable: true}}))
	require.Empty(t, b.jobs.jobs, "no job while paused")
	got, nodes := b.statuses(t, r.ID)
	require.Equal(t, run.Paused, got.Status)
	require.Equal(t, []string{"pending"}, nodes["a"])
	_, err = b.engine.Resume(t.Context(), r.ID)
	require.NoError(t, err)
	require.Len(t, b.jobs.jobs, 1)
	require.Greater(t, time.Until(b.jobs.jobs[0].At), 5*time.Minute)
}

func TestDeadlineDoesNotRunWhilePaused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{"start": "start", "a": script(""), "end": "end"}, "start->a a->end")
	_, err := b.db.Exec(t.Context(), `UPDATE flowchart SET max_runtime_minutes = 10 WHERE id = $1`, id)
	require.NoError(t, err)
	r := b.start(t, id, `{}`)
	_, err = b.engine.Pause(t.Context(), r.ID)
	require.NoError(t, err)
	// As if the pause had begun an hour ago, 4 minutes before the deadline.
	_, err = b.db.Exec(t.Context(), `UPDATE flowchart_run SET paused_at = now() - interval '1 hour', deadline_at = now() - interval '56 minutes' WHERE id = $1`, r.ID)
	require.NoError(t, err)
	require.NoError(t, b.engine.ExpireRuns(t.Context()))
	got, err := b.engine.Resume(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, run.Queued, got.Status, "it was not expired")
	require.InDelta(t, 4*60, time.Until(*got.DeadlineAt).Seconds(), 30)
	require.NoError(t, b.engine.ExpireRuns(t.Context()))
	b.work(t, true, echo)
	got, _ = b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
}

func TestCancelOfAPausedRunWorksAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.start(t, b.flowchart(t, map[string]string{"start": "start", "a": script(""), "end": "end"}, "start->a a->end"), `{}`)
	_, err := b.engine.Pause(t.Context(), r.ID)
	require.NoError(t, err)
	got, err := b.engine.Cancel(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, run.Cancelled, got.Status)
	require.Nil(t, got.PausedAt)
	for _, f := range []func() error{
		func() error { _, err := b.engine.Pause(t.Context(), r.ID); return err },
		func() error { _, err := b.engine.Resume(t.Context(), r.ID); return err },
	} {
		require.True(t, errs.HasReason(f(), "run.finished"))
	}
	_, err = b.engine.Pause(t.Context(), 999_999)
	require.True(t, errs.Is(err, errs.NotFound))
}

func TestPausedRunKeepsItsPlaceInMaxParallelNodes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	nodes, edges := map[string]string{"start": "start", "end": "end"}, ""
	for i := range 5 {
		nodes[fmt.Sprintf("n%d", i)] = script("")
		edges += fmt.Sprintf(" start->n%d n%d->end", i, i)
	}
	id := b.flowchart(t, nodes, edges)
	_, err := b.db.Exec(t.Context(), `UPDATE flowchart SET max_parallel_nodes = 2 WHERE id = $1`, id)
	require.NoError(t, err)
	r := b.start(t, id, `{}`)
	held := b.jobs.jobs
	_, err = b.engine.Pause(t.Context(), r.ID)
	require.NoError(t, err)
	b.jobs.jobs = nil
	_, err = b.engine.Resume(t.Context(), r.ID)
	require.NoError(t, err)
	require.Len(t, b.jobs.jobs, 2)
	require.Equal(t, held[0].NodeRunID, b.jobs.jobs[0].NodeRunID, "those that were queued come first again")
	b.work(t, false, echo)
	got, _ := b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
}

func TestPauseIsRefusedWhileAWorkerWouldNotKnowOfIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.start(t, b.flowchart(t, map[string]string{"start": "start", "a": script(""), "end": "end"}, "start->a a->end"), `{}`)
	_, err := b.db.Exec(t.Context(), `UPDATE worker_process SET level = 2`)
	require.NoError(t, err)
	_, err = b.engine.Pause(t.Context(), r.ID)
	require.True(t, errs.HasReason(err, "run.old_worker"), "%v", err)
}

func TestLostAttemptOfAPausingRunWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.start(t, b.flowchart(t, map[string]string{"start": "start", "a": script(""), "end": "end"}, "start->a a->end"), `{}`)
	b.claim(t, r.ID, "a")
	_, err := b.engine.Pause(t.Context(), r.ID)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `UPDATE worker_process SET tombstone_at = now()`)
	require.NoError(t, err)
	_, err = b.engine.Recover(t.Context())
	require.NoError(t, err)
	require.Empty(t, b.jobs.jobs)
	got, nodes := b.statuses(t, r.ID)
	require.Equal(t, run.Paused, got.Status)
	require.Equal(t, []string{"pending"}, nodes["a"])
	b.worker = b.newWorker(t)
	_, err = b.engine.Resume(t.Context(), r.ID)
	require.NoError(t, err)
	b.work(t, true, echo)
	got, _ = b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
}
