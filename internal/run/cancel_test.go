package run_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

func statusIn(t *testing.T, e event.Stored) string {
	t.Helper()
	var p struct {
		Status string `json:"status"`
	}
	require.NoError(t, json.Unmarshal(e.Envelope.Payload, &p))
	return p.Status
}

func (b *bundle) receipts(t *testing.T, runID int64) map[string]run.Receipt {
	t.Helper()
	d, err := b.engine.Get(t.Context(), runID)
	require.NoError(t, err)
	require.NotNil(t, d.Cancellation)
	out := map[string]run.Receipt{}
	for _, r := range d.Cancellation.Receipts {
		out[r.FlowchartNodeID] = r
	}
	return out
}

func (b *bundle) cancelNode(t *testing.T, nodeRunID int64) (run.NodeRun, error) {
	t.Helper()
	var out run.NodeRun
	err := b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		out, err = b.engine.CancelNodeTx(ctx, tx, nodeRunID)
		return err
	})
	return out, err
}

func TestAllWhoWereAskedAreCountedBeyondTheReceipts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 210
	nodes, edges := map[string]string{"start": "start", "end": "end"}, strings.Builder{}
	for i := range n {
		nodes["n"+strconv.Itoa(i)] = script("")
		fmt.Fprintf(&edges, "start->n%d n%d->end ", i, i)
	}
	id := b.flowchart(t, nodes, strings.TrimSpace(edges.String()))
	r := b.start(t, id, `{}`)
	b.claim(t, r.ID, "n0")
	_, err := b.engine.Cancel(t.Context(), r.ID)
	require.NoError(t, err)
	d, err := b.engine.Get(t.Context(), r.ID)
	require.NoError(t, err)
	require.Len(t, d.Cancellation.Receipts, 200)
	require.Equal(t, []int{n, n - 1}, []int{d.Cancellation.Asked, d.Cancellation.Confirmed})
}

func TestReceiptsSayWhoWasAskedAndHowItEnded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{
		"start": "start", "a": script(""), "b": script(""), "c": script(""), "d": script(""), "e": script(""), "end": "end",
	}, "start->a start->b start->c start->d start->e a->end b->end c->end d->end e->end")
	r := b.start(t, id, `{}`)
	held := map[string]*run.Claim{}
	for _, node := range []string{"a", "b", "c"} {
		held[node] = b.claim(t, r.ID, node)
	}
	live := b.worker
	b.worker = b.newWorker(t)
	d := b.claim(t, r.ID, "d")
	doomed := b.worker
	got, err := b.engine.Cancel(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, run.Cancelling, got.Status)

	asked := b.receipts(t, r.ID)
	require.Len(t, asked, 5)
	require.Equal(t, live.String(), asked["a"].Worker.ID)
	require.Equal(t, "host", asked["a"].Worker.Hostname)
	require.Equal(t, int32(1), asked["a"].Attempt)
	require.Equal(t, "inline", asked["a"].Executor)
	require.Nil(t, asked["a"].How)
	require.Nil(t, asked["a"].ConfirmedAt)
	require.Equal(t, run.HowNeverBegan, *asked["e"].How, "what was queued never begins")
	require.Nil(t, asked["e"].Worker)

	usage := json.RawMessage(`{"input_tokens": 7, "output_tokens": 3}`)
	b.finish(t, held["a"], run.Result{Status: run.Cancelled, Usage: usage})
	b.finish(t, held["b"], ok(`{"stdout":"done already"}`))
	_, err = b.db.Exec(t.Context(), `UPDATE worker_process SET tombstone_at = now() WHERE id = $1`, doomed)
	require.NoError(t, err)
	_, err = b.engine.Recover(t.Context())
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `UPDATE node_attempt SET cancel_requested_at = now() - interval '1 minute' WHERE node_run_id = $1`, held["c"].NodeRun.ID)
	require.NoError(t, err)
	require.NoError(t, b.engine.ForceCancels(t.Context(), 30))

	how := map[string]string{}
	for node, r := range b.receipts(t, r.ID) {
		require.NotNil(t, r.ConfirmedAt, node)
		how[node] = *r.How
	}
	require.Equal(t, map[string]string{
		"a": run.HowStopped, "b": run.HowFinishedFirst, "c": run.HowForced, "d": run.HowWorkerDied, "e": run.HowNeverBegan,
	}, how)
	after, _ := b.statuses(t, r.ID)
	require.Equal(t, run.Cancelled, after.Status)
	detail, err := b.engine.GetNode(t.Context(), held["a"].NodeRun.ID)
	require.NoError(t, err)
	require.JSONEq(t, string(usage), string(detail.NodeRun.Usage), "what was counted up to the cancel is kept")

	// Whoever comes late changes nothing.
	for _, late := range []*run.Claim{held["c"], d} {
		_, err = b.engine.Finish(t.Context(), late.NodeRun.ID, late.Attempt, ok(`{"stdout":"late"}`), run.FinishOptions{})
		require.ErrorIs(t, err, run.ErrSuperseded)
	}
	after, nodes := b.statuses(t, r.ID)
	require.Equal(t, run.Cancelled, after.Status)
	require.Equal(t, []string{"cancelled"}, nodes["c"])
	b.requireReceiptsInEvents(t, r.ID, 5)
}

// requireReceiptsInEvents holds the stream to what the run itself says.
func (b *bundle) requireReceiptsInEvents(t *testing.T, runID int64, want int) {
	t.Helper()
	confirmed := map[int64]string{}
	var last *run.Cancellation
	for _, e := range b.requireStream(t, runID) {
		var p struct {
			TaskID       int64        `json:"task_id"`
			Cancellation *run.Receipt `json:"cancellation"`
			Run          struct {
				Cancellation *run.Cancellation `json:"cancellation"`
			} `json:"flowchart_run"`
		}
		require.NoError(t, json.Unmarshal(e.Envelope.Payload, &p))
		if p.Cancellation != nil && p.Cancellation.How != nil {
			confirmed[p.TaskID] = *p.Cancellation.How
		}
		if p.Run.Cancellation != nil {
			last = p.Run.Cancellation
		}
	}
	require.Len(t, confirmed, want)
	require.NotNil(t, last)
	require.Equal(t, want, last.Confirmed, "the last event of the run has them all")
	for _, r := range last.Receipts {
		require.Equal(t, confirmed[r.NodeRunID], *r.How)
	}
}

func TestCancelledNodeLeavesTheOtherBranchesAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{
		"start": "start", "a": script(""), "only": script(""), "b": script(""), "join": script(""), "end": "end",
	}, "start->a start->b a->only only->join b->join join->end")
	r := b.start(t, id, `{}`)
	a := b.claim(t, r.ID, "a")
	n, err := b.cancelNode(t, a.NodeRun.ID)
	require.NoError(t, err)
	require.Equal(t, run.Cancelling, n.Status)
	require.Equal(t, []int64{a.NodeRun.ID}, b.signals)
	n, err = b.cancelNode(t, a.NodeRun.ID)
	require.NoError(t, err)
	require.Equal(t, run.Cancelling, n.Status, "asking twice is asking once")
	b.finish(t, a, run.Result{Status: run.Cancelled})
	b.work(t, false, echo)
	got, nodes := b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
	require.Equal(t, map[string][]string{
		"start": {"succeeded"}, "a": {"cancelled"}, "only": {"skipped"}, "b": {"succeeded"}, "join": {"succeeded"}, "end": {"succeeded"},
	}, nodes)
	require.Equal(t, run.HowStopped, *b.receipts(t, r.ID)["a"].How)
	_, err = b.cancelNode(t, a.NodeRun.ID)
	require.True(t, errs.HasReason(err, "node.finished"), "%v", err)
	_, err = b.cancelNode(t, 999_999)
	require.True(t, errs.HasReason(err, "node.not_found"), "%v", err)
}

func TestRunWhoseOnlyWayWasCancelledIsCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.start(t, b.flowchart(t, map[string]string{"start": "start", "a": script(""), "end": "end"}, "start->a a->end"), `{}`)
	j := b.jobs.jobs[0]
	n, err := b.cancelNode(t, j.NodeRunID)
	require.NoError(t, err)
	require.Equal(t, run.Cancelled, n.Status, "it was queued only")
	b.work(t, false, func(run.NodeRun, run.Work) run.Result {
		t.Fatal("a queued job began after its cancel")
		return run.Result{}
	})
	got, nodes := b.statuses(t, r.ID)
	require.Equal(t, run.Cancelled, got.Status)
	require.Contains(t, string(got.Error), "node_cancelled")
	require.Equal(t, []string{"skipped"}, nodes["end"])
	require.Equal(t, run.HowNeverBegan, *b.receipts(t, r.ID)["a"].How)
}

func TestNodeThatEndedBeforeItsCancelArrivedGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.start(t, b.flowchart(t, map[string]string{"start": "start", "a": script(""), "end": "end"}, "start->a a->end"), `{}`)
	a := b.claim(t, r.ID, "a")
	_, err := b.cancelNode(t, a.NodeRun.ID)
	require.NoError(t, err)
	b.finish(t, a, ok(`{"stdout":"a"}`))
	got, _ := b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
	require.JSONEq(t, `{"stdout":"a"}`, string(got.Output))
	require.Equal(t, run.HowFinishedFirst, *b.receipts(t, r.ID)["a"].How)
}

func TestCancelOfANodeInAPausedRunMakesRoomForNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{"start": "start", "a": script(""), "b": script(""), "join": script(""), "end": "end"},
		"start->a start->b a->join b->join join->end")
	r := b.start(t, id, `{}`)
	first := b.nodeRunID(t, r.ID, "a")
	_, err := b.engine.Pause(t.Context(), r.ID)
	require.NoError(t, err)
	b.jobs.jobs = nil
	_, err = b.cancelNode(t, first)
	require.NoError(t, err)
	require.Empty(t, b.jobs.jobs)
	got, nodes := b.statuses(t, r.ID)
	require.Equal(t, run.Paused, got.Status)
	require.Equal(t, []string{"cancelled"}, nodes["a"])
	_, err = b.engine.Resume(t.Context(), r.ID)
	require.NoError(t, err)
	b.work(t, false, echo)
	got, _ = b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
}
