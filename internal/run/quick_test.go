package run_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

// quickNode starts a node run on its own.
func (b *bundle) quickNode(t *testing.T, req run.NodeRequest) (run.NodeRun, error) {
	t.Helper()
	if req.Kind == "" {
		req.Kind = "script"
	}
	if req.Config == nil {
		req.Config = json.RawMessage(`{"script":"echo {{ input.text }}"}`)
	}
	var n run.NodeRun
	err := b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		n, err = b.engine.StartNode(ctx, tx, req)
		return err
	})
	return n, err
}

// claimedQuick is a quick node that a worker has claimed.
func (b *bundle) claimedQuick(t *testing.T, req run.NodeRequest) *run.Claim {
	t.Helper()
	n, err := b.quickNode(t, req)
	require.NoError(t, err)
	return b.claimAgain(t, n.ID)
}

// claimAgain claims a node run by its job.
func (b *bundle) claimAgain(t *testing.T, id int64) *run.Claim {
	t.Helper()
	j, found := b.jobs.take()
	require.True(t, found, "node run %d has no job", id)
	require.Equal(t, id, j.NodeRunID)
	_, err := b.db.Exec(t.Context(), `UPDATE node_run SET run_after = now() WHERE id = $1 AND run_after > now()`, id)
	require.NoError(t, err)
	c, err := b.engine.Claim(t.Context(), id, b.worker)
	require.NoError(t, err)
	require.NotNil(t, c)
	return c
}

func (b *bundle) quickDetail(t *testing.T, id int64) run.NodeDetail {
	t.Helper()
	d, err := b.engine.GetNode(t.Context(), id)
	require.NoError(t, err)
	return d
}

// quickEvents are the transitions of a quick node's own stream, which must be without a
// gap; each event must have the whole runtime block.
func (b *bundle) quickEvents(t *testing.T, id int64) (transitions []string, last event.Envelope) {
	t.Helper()
	events, err := event.ReadStream(t.Context(), b.db, fmt.Sprintf("task:%d", id), 0, 1000)
	require.NoError(t, err)
	for i, e := range events {
		require.Equal(t, int64(i+1), e.Envelope.Sequence)
		require.Contains(t, e.Envelope.RoomKeys, fmt.Sprintf("task:%d", id))
		require.Contains(t, e.Envelope.RoomKeys, "studio", "lists have no run that tells them")
		requireRuntime(t, e.Envelope.Runtime)
		var p struct {
			Transition string `json:"transition"`
		}
		require.NoError(t, json.Unmarshal(e.Envelope.Payload, &p))
		transitions = append(transitions, p.Transition)
		last = e.Envelope
	}
	return transitions, last
}

// requireRuntime checks that a runtime block has exactly its keys, and gives it.
func requireRuntime(t *testing.T, raw json.RawMessage) map[string]any {
	t.Helper()
	var runtime map[string]any
	require.NoError(t, json.Unmarshal(raw, &runtime))
	require.Equal(t, []string{
		"api_failure_category", "cli_fallback_used", "cli_preflight_passed", "dispatch_status", "dispatch_uncertain", "execution_mode",
		"fallback_attempted", "fallback_reason", "final_provider", "provider_dispatch_id", "selected_provider", "workspace_identity",
	}, slices.Sorted(maps.Keys(runtime)))
	return runtime
}

func failedWith(retryable bool) run.Result {
	return run.Result{Status: run.Failed, Error: &run.Failure{Code: "boom", Message: "no", Retryable: retryable}}
}

func TestAQuickNodeWorksOnItsConfigAsItIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := int64(7)
	n, err := b.quickNode(t, run.NodeRequest{Title: "Say it", TimeoutSeconds: 12, UserID: &user, RequestID: "r", CorrelationID: "c"})
	require.NoError(t, err)
	require.Equal(t, run.Queued, n.Status)
	require.Nil(t, n.FlowchartRunID)
	require.InDelta(t, 12, n.TimeoutSeconds, 0)
	require.Equal(t, "llmctl_studio", n.Queue)
	require.JSONEq(t, `{"script":"echo {{ input.text }}"}`, string(n.Config))

	c := b.claimAgain(t, n.ID)
	w, failure, err := b.engine.Prepare(t.Context(), c)
	require.NoError(t, err)
	require.Nil(t, failure)
	require.JSONEq(t, `{"script":"echo {{ input.text }}"}`, string(w.Config), "nothing is rendered")
	require.JSONEq(t, `{"flowchart":null,"node":{"id":"quick","kind":"script","title":"Say it","execution_index":1},"trigger_sources":[],
		"latest_upstream":null,"config":{"script":"echo {{ input.text }}"},"requested_by":{"user_id":7}}`, string(w.InputContext))
	require.Nil(t, b.finish(t, c, ok(`{"exit_code":0}`)), "nothing follows")

	d := b.quickDetail(t, n.ID)
	require.Equal(t, run.Succeeded, d.NodeRun.Status)
	require.JSONEq(t, `{"exit_code":0}`, string(d.NodeRun.OutputState))
	transitions, last := b.quickEvents(t, n.ID)
	require.Equal(t, []string{"queued", "started", "completed"}, transitions)
	require.Equal(t, "node:task:completed", last.EventType)
	require.Equal(t, "r", last.RequestID)
	require.Equal(t, d.AsOf, last.Sequence)
	require.Empty(t, b.jobs.jobs)
}

func TestAQuickNodeIsRefusedWithTheFaultyFields(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for field, req := range map[string]run.NodeRequest{
		"kind":            {Kind: "decision"},
		"title":           {Title: strings.Repeat("x", 201)},
		"config":          {Config: json.RawMessage(`["a"]`)},
		"execution_mode":  {ExecutionMode: "fresh"},
		"timeout_seconds": {TimeoutSeconds: math.NaN()},
		"max_attempts":    {MaxAttempts: 99},
		"backoff_seconds": {BackoffSeconds: -1},
	} {
		_, err := b.quickNode(t, req)
		requireReason(t, err, "node.invalid_request")
		require.Equal(t, field, errs.As(err).Details[0].Location)
	}
	for _, config := range []string{`{`, ``, `{"a":"\u0000"}`, `{"a":"` + strings.Repeat("x", 256<<10) + `"}`} {
		_, err := b.quickNode(t, run.NodeRequest{Config: json.RawMessage(config)})
		requireReason(t, err, "node.invalid_request")
	}
	_, err := b.db.Exec(t.Context(), `UPDATE worker_process SET level = 3`)
	require.NoError(t, err)
	_, err = b.quickNode(t, run.NodeRequest{})
	requireReason(t, err, "run.old_worker")
	require.Empty(t, b.jobs.jobs)
}

func TestHowAnAttemptEndsAQuickNode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lost := run.Result{Status: run.Lost, Error: &run.Failure{Code: "lost", Message: "gone"}}
	over := run.Result{Status: run.Lost, Error: &run.Failure{Code: run.CodeHandedOver, Message: "stopped"}}
	degraded := ok(`{"part":true}`)
	degraded.Status = run.Degraded
	for name, c := range map[string]struct {
		results []run.Result
		status  string
		errs    string
		events  []string
	}{
		"degraded":                 {[]run.Result{degraded}, run.Degraded, "", []string{"completed"}},
		"failed for good":          {[]run.Result{failedWith(false)}, run.Failed, "boom", []string{"failed"}},
		"retried":                  {[]run.Result{failedWith(true), ok(`{}`)}, run.Succeeded, "", []string{"retrying", "completed"}},
		"retried in vain":          {[]run.Result{failedWith(true), failedWith(true)}, run.Failed, "boom", []string{"retrying", "failed"}},
		"handed over":              {[]run.Result{over, over, over, over, ok(`{}`)}, run.Succeeded, "", []string{"handed_over", "handed_over", "handed_over", "handed_over", "completed"}},
		"lost once":                {[]run.Result{lost, ok(`{}`)}, run.Succeeded, "", []string{"lost", "completed"}},
		"lost too often":           {[]run.Result{lost, lost, lost}, run.Failed, "died 3 times", []string{"lost", "lost", "failed"}},
		"cancelled by itself":      {[]run.Result{{Status: run.Cancelled}}, run.Cancelled, "", []string{"cancelled"}},
		"an output that is no use": {[]run.Result{ok(`{"a":"\u0000"}`)}, run.Failed, `\\u0000`, []string{"failed"}},
	} {
		n, err := b.quickNode(t, run.NodeRequest{MaxAttempts: 2, BackoffSeconds: 30})
		require.NoError(t, err)
		want := []string{"queued"}
		for i, res := range c.results {
			require.Nil(t, b.finish(t, b.claimAgain(t, n.ID), res), name)
			want = append(want, "started", c.events[i])
		}
		d := b.quickDetail(t, n.ID)
		require.Equal(t, c.status, d.NodeRun.Status, name)
		require.Contains(t, string(d.NodeRun.Error), c.errs, name)
		require.Len(t, d.Attempts, len(c.results), name)
		require.NotNil(t, d.NodeRun.FinishedAt)
		transitions, _ := b.quickEvents(t, n.ID)
		require.Equal(t, want, transitions, name)
		require.Empty(t, b.jobs.jobs, name)
	}
}

func TestTheBackOffOfAQuickNodeDelaysItsJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.claimedQuick(t, run.NodeRequest{MaxAttempts: 3, BackoffSeconds: 30})
	before := time.Now()
	b.finish(t, c, failedWith(true))
	j, found := b.jobs.take()
	require.True(t, found)
	require.WithinDuration(t, before.Add(30*time.Second), j.At, 5*time.Second)
	again, err := b.engine.Claim(t.Context(), c.NodeRun.ID, b.worker)
	require.NoError(t, err)
	require.Nil(t, again, "its time has not come")
}

func TestALargeOutputOfAQuickNodeIsKeptInABlob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.claimedQuick(t, run.NodeRequest{})
	res := large(200_000)
	res.Artifacts = []run.NewArtifact{{Name: "a.txt", Data: []byte("left")}}
	b.finish(t, c, res)
	d := b.quickDetail(t, c.NodeRun.ID)
	require.NotNil(t, d.NodeRun.OutputBlob)
	require.NoError(t, b.engine.FillOutput(t.Context(), &d.NodeRun))
	require.JSONEq(t, string(res.Output), string(d.NodeRun.OutputState))
	artifacts, err := b.engine.Artifacts(t.Context(), c.NodeRun.ID)
	require.NoError(t, err)
	require.Len(t, artifacts, 1)
	require.Nil(t, artifacts[0].FlowchartRunID)
}

func TestTheLateWriterOfAQuickNodeIsFenced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	late := b.claimedQuick(t, run.NodeRequest{})
	_, err := b.db.Exec(t.Context(), `UPDATE worker_process SET tombstone_at = now() WHERE id = $1`, b.worker)
	require.NoError(t, err)
	n, err := b.engine.Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	again, err := b.engine.Claim(t.Context(), late.NodeRun.ID, b.worker)
	require.NoError(t, err)
	require.Nil(t, again, "a dead worker claims nothing")
	b.worker = b.newWorker(t)
	c := b.claimAgain(t, late.NodeRun.ID)
	require.Equal(t, int32(2), c.Attempt)
	for range 2 { // while the second attempt runs, and after its end
		_, err = b.engine.Finish(t.Context(), late.NodeRun.ID, late.Attempt, ok(`{"late":true}`), run.FinishOptions{})
		require.ErrorIs(t, err, run.ErrSuperseded)
		if b.quickDetail(t, c.NodeRun.ID).NodeRun.FinishedAt == nil {
			b.finish(t, c, ok(`{"late":false}`))
		}
	}
	other := uuid.New()
	c = b.claimedQuick(t, run.NodeRequest{})
	_, err = b.engine.Finish(t.Context(), c.NodeRun.ID, c.Attempt, ok(`{}`), run.FinishOptions{Holder: &other})
	require.ErrorIs(t, err, run.ErrSuperseded, "another worker holds it")
	d := b.quickDetail(t, late.NodeRun.ID)
	require.JSONEq(t, `{"late":false}`, string(d.NodeRun.OutputState))
	require.Equal(t, int32(1), d.NodeRun.Lost)
}

func TestAQuickNodeIsCancelledInEachState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queued, err := b.quickNode(t, run.NodeRequest{})
	require.NoError(t, err)
	n, err := b.cancelNode(t, queued.ID)
	require.NoError(t, err)
	require.Equal(t, run.Cancelled, n.Status)
	require.Equal(t, run.HowNeverBegan, *b.quickDetail(t, n.ID).Receipt.How)
	j, _ := b.jobs.take()
	c, err := b.engine.Claim(t.Context(), j.NodeRunID, b.worker)
	require.NoError(t, err)
	require.Nil(t, c, "its job finds nothing to do")

	c = b.claimedQuick(t, run.NodeRequest{MaxAttempts: 2})
	for range 2 { // asking again changes nothing
		n, err = b.cancelNode(t, c.NodeRun.ID)
		require.NoError(t, err)
		require.Equal(t, run.Cancelling, n.Status)
	}
	require.Equal(t, []int64{n.ID}, b.signals)
	require.Nil(t, b.quickDetail(t, n.ID).Receipt.How)
	b.finish(t, c, failedWith(true))
	d := b.quickDetail(t, n.ID)
	require.Equal(t, run.Cancelled, d.NodeRun.Status, "it is not tried again")
	require.Nil(t, d.NodeRun.Error)
	require.Equal(t, run.HowFinishedFirst, *d.Receipt.How)
	transitions, _ := b.quickEvents(t, n.ID)
	require.Equal(t, []string{"queued", "started", "cancel_requested", "cancelled"}, transitions)

	c = b.claimedQuick(t, run.NodeRequest{})
	_, err = b.cancelNode(t, c.NodeRun.ID)
	require.NoError(t, err)
	b.finish(t, c, ok(`{"done":1}`))
	d = b.quickDetail(t, c.NodeRun.ID)
	require.Equal(t, run.Succeeded, d.NodeRun.Status, "its work is kept")
	_, err = b.cancelNode(t, c.NodeRun.ID)
	requireReason(t, err, "node.finished")
	_, err = b.cancelNode(t, 4711)
	requireReason(t, err, "node.not_found")
}

func TestACancelledQuickNodeWhoseHolderIsSilentOrDead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	silent := b.claimedQuick(t, run.NodeRequest{})
	_, err := b.cancelNode(t, silent.NodeRun.ID)
	require.NoError(t, err)
	require.NoError(t, b.engine.ForceCancels(t.Context(), 3600))
	require.Equal(t, run.Cancelling, b.quickDetail(t, silent.NodeRun.ID).NodeRun.Status, "it has time")
	require.NoError(t, b.engine.ForceCancels(t.Context(), 0))
	d := b.quickDetail(t, silent.NodeRun.ID)
	require.Equal(t, run.Cancelled, d.NodeRun.Status)
	require.Equal(t, run.HowForced, *d.Receipt.How)

	dead := b.claimedQuick(t, run.NodeRequest{})
	_, err = b.cancelNode(t, dead.NodeRun.ID)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `UPDATE worker_process SET stopped_at = now() WHERE id = $1`, b.worker)
	require.NoError(t, err)
	_, err = b.engine.Recover(t.Context())
	require.NoError(t, err)
	d = b.quickDetail(t, dead.NodeRun.ID)
	require.Equal(t, run.Cancelled, d.NodeRun.Status, "nobody takes it up")
	require.Equal(t, run.HowWorkerDied, *d.Receipt.How)
	require.Empty(t, b.jobs.jobs)
}

func TestAQuickNodeThatWaitsGoesOnWhenItIsDecided(t *testing.T) {
	t.Parallel()
	b, waits, ended := setup(t), true, []int64{}
	b.asking(t, &waits, &ended) // its engine has nodes that work in the worker, and wait
	ask := run.NodeRequest{Kind: "task", Config: json.RawMessage(`{"prompt":"p","model_id":1,"mcp_server_ids":[1]}`)}
	c := b.claimedQuick(t, ask)
	require.Equal(t, "inline", c.Executor)
	require.NoError(t, b.decide(t, c.NodeRun.ID, true), "it runs: nothing to do")
	require.Empty(t, b.jobs.jobs)
	b.finish(t, c, run.Result{Status: run.Suspended})
	require.Equal(t, run.Waiting, b.quickDetail(t, c.NodeRun.ID).NodeRun.Status)
	require.NoError(t, b.decide(t, c.NodeRun.ID, false))
	require.Empty(t, b.jobs.jobs, "something of it waits still")
	require.NoError(t, b.decide(t, c.NodeRun.ID, true))
	c = b.claimAgain(t, c.NodeRun.ID)
	waits = false
	b.finish(t, c, run.Result{Status: run.Suspended})
	c = b.claimAgain(t, c.NodeRun.ID) // it was decided before it waited
	b.finish(t, c, ok(`{"text":"done"}`))
	require.Equal(t, []int64{c.NodeRun.ID}, ended)
	requireReason(t, b.decide(t, c.NodeRun.ID, true), "node.finished")
	requireReason(t, b.decide(t, 4711, true), "node.not_found")
	transitions, _ := b.quickEvents(t, c.NodeRun.ID)
	require.Equal(t, []string{"queued", "started", "waiting", "resumed", "started", "resumed", "started", "completed"}, transitions)

	waits = true
	c = b.claimedQuick(t, ask)
	b.finish(t, c, run.Result{Status: run.Suspended})
	n, err := b.cancelNode(t, c.NodeRun.ID)
	require.NoError(t, err)
	require.Equal(t, run.Cancelled, n.Status, "nobody holds it")
	require.Empty(t, b.signals)
	require.Contains(t, ended, n.ID)
}

func TestAQuickNodeIsRetriedAsANewOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	retry := func(id int64, version int32) (run.NodeRun, error) {
		var out run.Retried
		err := b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
			var err error
			out, err = b.engine.RetryNode(ctx, tx, id, run.RetryRequest{Version: version, StartRequest: run.StartRequest{RequestID: "again"}})
			return err
		})
		if err != nil {
			return run.NodeRun{}, err
		}
		require.Nil(t, out.Run)
		return *out.NodeRun, nil
	}
	c := b.claimedQuick(t, run.NodeRequest{
		Kind: "rag_index", Title: "Index", Queue: "llmctl_studio.rag.index", ExecutionMode: run.ModeIndexing,
		TimeoutSeconds: 77, MaxAttempts: 3, BackoffSeconds: 4,
	})
	_, err := retry(c.NodeRun.ID, 0)
	requireReason(t, err, "node.not_finished")
	b.finish(t, c, failedWith(false))
	_, err = retry(c.NodeRun.ID, 2)
	requireReason(t, err, "node.no_version")
	n, err := retry(c.NodeRun.ID, 0)
	require.NoError(t, err)
	old := b.quickDetail(t, c.NodeRun.ID).NodeRun
	require.Equal(t, run.Failed, old.Status, "endings are immutable")
	require.Equal(t, old.ID, *n.RetryOf)
	require.Equal(t, "again", n.RequestID)
	require.Equal(t, []any{old.Kind, old.Title, old.Queue, old.ExecutionMode, old.TimeoutSeconds, old.MaxAttempts, old.BackoffSeconds},
		[]any{n.Kind, n.Title, n.Queue, n.ExecutionMode, n.TimeoutSeconds, n.MaxAttempts, n.BackoffSeconds})
	require.JSONEq(t, string(old.Config), string(n.Config))
	b.finish(t, b.claimAgain(t, n.ID), ok(`{}`))
}

func TestAQuickNodeInAPodIsAdopted(t *testing.T) {
	t.Parallel()
	b := &podBundle{bundle: setup(t)}
	b.engine = run.NewEngine(run.Options{
		DB: b.db, Log: event.NewLog(nil, time.Now), Jobs: b.jobs, Signaller: b, Now: time.Now,
		ExecutorFor: func(string) string { return run.InPod }, Hint: func(int64, int32) {},
	})
	b.claim = b.claimedQuick(t, run.NodeRequest{})
	b.ref = b.claim.Ref()
	b.begin(t, b.ref, "one")
	b.started(t, "one", "pod-1")
	other := b.bury(t)
	adopted, err := b.engine.Claim(t.Context(), b.ref.NodeRunID, other)
	require.NoError(t, err)
	require.True(t, adopted.Adopted)
	who := b.reporter(t, "one", "pod-1")
	require.Zero(t, who.RunID)
	res := ok(`{"exit_code":0}`)
	res.Artifacts = []run.NewArtifact{{Name: "a", Data: []byte("x")}}
	_, err = b.result(t, "one", "pod-1", 2, res)
	require.NoError(t, err)
	require.Equal(t, run.Succeeded, b.quickDetail(t, b.ref.NodeRunID).NodeRun.Status)

	artifacts, err := b.engine.Artifacts(t.Context(), b.ref.NodeRunID)
	require.NoError(t, err)
	_, _, err = b.engine.OpenArtifactOf(t.Context(), who, artifacts[0].ID)
	require.NoError(t, err)
	_, _, err = b.engine.OpenArtifactOf(t.Context(), run.Reporter{NodeRunID: b.ref.NodeRunID + 1}, artifacts[0].ID)
	requireReason(t, err, "artifact.not_found")
}

func TestListsTellQuickNodesFromOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.start(t, b.flowchart(t, map[string]string{"start": "start", "a": script(""), "end": "end"}, "start->a a->end"), `{}`)
	n, err := b.quickNode(t, run.NodeRequest{})
	require.NoError(t, err)
	for _, quick := range []bool{true, false} {
		rows, err := b.engine.ListNodes(t.Context(), run.NodeFilter{Quick: &quick, Kinds: []string{"script"}, Statuses: []string{run.Queued}, Limit: 10})
		require.NoError(t, err)
		require.Len(t, rows, 1)
		require.Equal(t, quick, rows[0].ID == n.ID)
		require.Equal(t, !quick, rows[0].FlowchartRunID != nil && *rows[0].FlowchartRunID == r.ID)
	}
}
