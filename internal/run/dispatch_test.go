package run_test

import (
	"context"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/run"
)

// podBundle is a flowchart run whose node "a" was claimed for a pod.
type podBundle struct {
	*bundle

	run   run.Run
	claim *run.Claim
	ref   run.Ref
	hints []string
}

const podPayload = `{"contract_version":"v1","kind":"script","input_context":{"seen":true}}`

func podSetup(t *testing.T, config string) *podBundle {
	t.Helper()
	b := &podBundle{bundle: setup(t)}
	b.engine = run.NewEngine(run.Options{
		DB: b.db, Log: event.NewLog(nil, time.Now), Jobs: b.jobs, Signaller: b, Now: time.Now,
		ExecutorFor: func(string) string { return run.InPod },
		Hint:        func(int64, int32) { b.hints = append(b.hints, "hint") },
	})
	id := b.flowchart(t, map[string]string{"start": "start", "a": script(config), "end": "end"}, "start->a a->end")
	b.run = b.start(t, id, `{}`)
	b.claim = b.bundle.claim(t, b.run.ID, "a")
	require.False(t, b.claim.Adopted)
	b.ref = b.claim.Ref()
	return b
}

func hash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

func (b *podBundle) begin(t *testing.T, r run.Ref, token string) {
	t.Helper()
	require.NoError(t, b.engine.BeginDispatch(t.Context(), r, "kubernetes:test/job", hash(token), []byte(podPayload)))
}

func (b *podBundle) reporter(t *testing.T, token, pod string) run.Reporter {
	t.Helper()
	who, err := b.engine.Reporter(t.Context(), hash(token), pod, true)
	require.NoError(t, err)
	return who
}

// events makes a batch of events without content; the first of all is a start.
func events(first, last int64) run.Batch {
	return run.Batch{First: first, Last: last, Starts: first == 1, Apply: func(_ *run.NodeRun, a *run.Attempt) (run.Report, error) {
		return run.Report{EventN: last, Stages: a.Stages}, nil
	}}
}

func (b *podBundle) report(t *testing.T, token, pod string, batch run.Batch) (run.Reported, error) {
	t.Helper()
	who, err := b.engine.Reporter(t.Context(), hash(token), pod, true)
	if err != nil {
		return run.Reported{}, err
	}
	return b.engine.Report(t.Context(), who, batch)
}

func (b *podBundle) result(t *testing.T, token, pod string, n int64, res run.Result) (run.Reported, error) {
	t.Helper()
	who := b.reporter(t, token, pod)
	return b.engine.ReportEnd(t.Context(), who, events(n, n), res, func(*run.NodeRun, *run.Attempt, *run.Result) {})
}

func (b *podBundle) started(t *testing.T, token, pod string) {
	t.Helper()
	_, err := b.report(t, token, pod, events(1, 1))
	require.NoError(t, err)
}

func (b *podBundle) state(t *testing.T) run.DispatchState {
	t.Helper()
	s, err := b.engine.Dispatch(t.Context(), b.ref.NodeRunID, b.ref.Attempt)
	require.NoError(t, err)
	return s
}

func (b *podBundle) attemptOf(t *testing.T) run.Attempt {
	t.Helper()
	d, err := b.engine.GetNode(t.Context(), b.ref.NodeRunID)
	require.NoError(t, err)
	return d.Attempts[len(d.Attempts)-1].Attempt
}

// bury declares the holder dead and gives another worker.
func (b *podBundle) bury(t *testing.T) uuid.UUID {
	t.Helper()
	_, err := b.db.Exec(t.Context(), `UPDATE worker_process SET tombstone_at = now() WHERE id = $1`, b.ref.Worker)
	require.NoError(t, err)
	return b.newWorker(t)
}

func requireReason(t *testing.T, err error, reason string) {
	t.Helper()
	require.True(t, errs.HasReason(err, reason), "%v is not %s", err, reason)
}

func TestADispatchIsStoredStepByStep(t *testing.T) {
	t.Parallel()
	b := podSetup(t, `"timeout_seconds":77`)
	require.Equal(t, "dispatch_pending", b.state(t).Dispatch)
	require.Empty(t, b.state(t).DispatchID)
	b.begin(t, b.ref, "one")
	s := b.state(t)
	require.Equal(t, "kubernetes:test/job", s.DispatchID)
	require.Equal(t, "dispatch_pending", s.Dispatch)
	require.JSONEq(t, `{"seen":true}`, string(b.nodeRun(t, b.run.ID, "a").InputContext), "people see the input while it runs")
	require.NoError(t, b.engine.SubmittedDispatch(t.Context(), b.ref))
	require.Equal(t, "dispatch_submitted", b.state(t).Dispatch)
	require.NoError(t, b.engine.UncertainDispatch(t.Context(), b.ref, true))
	require.NoError(t, b.engine.NoteDispatch(t.Context(), b.ref, "waits for \x00memory"))
	s = b.state(t)
	require.True(t, s.Uncertain)
	require.Equal(t, "waits for \uFFFDmemory", s.Note)
	require.NoError(t, b.engine.NoteDispatch(t.Context(), b.ref, ""))
	require.Nil(t, b.attemptOf(t).DispatchNote)
	require.NoError(t, b.engine.NoteDispatch(t.Context(), b.ref, "waits for \x00memory"))
	open, err := b.engine.OpenDispatches(t.Context())
	require.NoError(t, err)
	require.Equal(t, []run.DispatchState{s}, open)

	b.started(t, "one", "pod-1")
	s = b.state(t)
	require.Equal(t, "dispatch_confirmed", s.Dispatch)
	require.Equal(t, "pod-1", s.PodUID)
	require.False(t, s.Uncertain)
	require.Empty(t, s.Note, "what it waited for is over")
	require.NotNil(t, s.StartedAt)
	require.InDelta(t, 77, s.TimeoutSeconds, 0)
	require.Len(t, b.hints, 1, "the holder is told of the start")
	require.NoError(t, b.engine.SubmittedDispatch(t.Context(), b.ref), "late, as the pod was faster")
	require.Equal(t, "dispatch_confirmed", b.state(t).Dispatch)

	reported, err := b.result(t, "one", "pod-1", 2, ok(`{"stdout":"x"}`))
	require.NoError(t, err)
	require.Equal(t, run.Reported{AcceptedN: 2}, reported)
	require.Len(t, b.hints, 2, "and of the end")
	require.False(t, b.state(t).Open)
	got, _ := b.statuses(t, b.run.ID)
	require.Equal(t, run.Succeeded, got.Status, "what follows was done in the same transaction")
	b.requireStream(t, b.run.ID)
	var kept int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM node_attempt WHERE payload_blob IS NOT NULL`).Scan(&kept))
	require.Zero(t, kept, "the payload is not kept beyond the end")
}

func TestAPayloadWithSecretsIsNotStored(t *testing.T) {
	t.Parallel()
	b := podSetup(t, "")
	err := b.engine.BeginDispatch(t.Context(), b.ref, "x", hash("one"), []byte(`{"secrets":{"api_key":"s"}}`))
	requireReason(t, err, "executor.payload")
	require.Empty(t, b.state(t).DispatchID)
}

func TestAtMostOnePodStartsAnAttempt(t *testing.T) {
	t.Parallel()
	b := podSetup(t, "")
	b.begin(t, b.ref, "one")
	b.started(t, "one", "pod-1")
	b.started(t, "one", "pod-1") // the answer to the first was lost
	_, err := b.report(t, "one", "pod-2", events(1, 1))
	requireReason(t, err, run.ReasonSupersededPod)
	_, err = b.report(t, "one", "", events(1, 1))
	requireReason(t, err, run.ReasonPodUID)
	require.ErrorIs(t, b.engine.BeginDispatch(t.Context(), b.ref, "x", hash("two"), []byte(podPayload)), run.ErrStarted, "nothing is dispatched beside it")
	require.Equal(t, "pod-1", b.state(t).PodUID)
}

func TestANewTokenEndsTheOldOne(t *testing.T) {
	t.Parallel()
	b := podSetup(t, "")
	b.begin(t, b.ref, "one")
	old := b.reporter(t, "one", "pod-1") // found before, used after
	require.NoError(t, b.engine.BeginDispatch(t.Context(), b.ref, "kubernetes:test/job", hash("two"), nil))
	_, err := b.report(t, "one", "pod-1", events(1, 1))
	requireReason(t, err, run.ReasonUnknownToken)
	_, err = b.engine.Report(t.Context(), old, events(1, 1))
	requireReason(t, err, run.ReasonUnknownToken)
	raw, err := b.engine.DispatchedPayload(t.Context(), b.ref.NodeRunID, b.ref.Attempt)
	require.NoError(t, err)
	require.JSONEq(t, podPayload, string(raw), "the payload is the one that was stored first")
	b.started(t, "two", "pod-2")
}

func TestGivingUpAndStartingExcludeEachOther(t *testing.T) {
	t.Parallel()
	res := run.Result{Status: run.Failed, Error: &run.Failure{Code: "dispatch", Message: "no image"}}
	t.Run("given up first", func(t *testing.T) {
		t.Parallel()
		b := podSetup(t, "")
		b.begin(t, b.ref, "one")
		who := b.reporter(t, "one", "pod-1")
		done, err := b.engine.GiveUpDispatch(t.Context(), b.ref, res)
		require.NoError(t, err)
		require.True(t, done)
		_, err = b.engine.Report(t.Context(), who, events(1, 1))
		requireReason(t, err, run.ReasonClosed)
		s := b.state(t)
		require.Equal(t, "dispatch_failed", s.Dispatch)
		require.Empty(t, s.PodUID)
		got, _ := b.statuses(t, b.run.ID)
		require.Equal(t, run.Failed, got.Status)
		done, err = b.engine.GiveUpDispatch(t.Context(), b.ref, res)
		require.NoError(t, err)
		require.False(t, done, "it had ended")
	})
	t.Run("started first", func(t *testing.T) {
		t.Parallel()
		b := podSetup(t, "")
		b.begin(t, b.ref, "one")
		b.started(t, "one", "pod-1")
		done, err := b.engine.GiveUpDispatch(t.Context(), b.ref, res)
		require.NoError(t, err)
		require.False(t, done)
		require.True(t, b.state(t).Open)
	})
}

func TestAPodOfACancelledAttemptDoesNotStart(t *testing.T) {
	t.Parallel()
	b := podSetup(t, "")
	b.begin(t, b.ref, "one")
	_, err := b.engine.Cancel(t.Context(), b.run.ID)
	require.NoError(t, err)
	_, err = b.report(t, "one", "pod-1", events(1, 1))
	requireReason(t, err, run.ReasonClosed)
	done, err := b.engine.GiveUpDispatch(t.Context(), b.ref, run.Result{Status: run.Cancelled})
	require.NoError(t, err)
	require.True(t, done)
	got, _ := b.statuses(t, b.run.ID)
	require.Equal(t, run.Cancelled, got.Status)
}

func TestARunningPodIsToldToStop(t *testing.T) {
	t.Parallel()
	b := podSetup(t, "")
	b.begin(t, b.ref, "one")
	b.started(t, "one", "pod-1")
	reported, err := b.report(t, "one", "pod-1", run.Batch{})
	require.NoError(t, err)
	require.Equal(t, run.Reported{AcceptedN: 1}, reported)
	_, err = b.engine.Cancel(t.Context(), b.run.ID)
	require.NoError(t, err)
	reported, err = b.report(t, "one", "pod-1", run.Batch{})
	require.NoError(t, err)
	require.True(t, reported.Cancel)
	require.NoError(t, b.engine.ForceCancels(t.Context(), 0), "only who knows that the pod is gone ends it")
	require.True(t, b.state(t).Open)
	_, err = b.result(t, "one", "pod-1", 2, run.Result{Status: run.Cancelled})
	require.NoError(t, err)
	got, _ := b.statuses(t, b.run.ID)
	require.Equal(t, run.Cancelled, got.Status)
}

func TestEventsAreStoredOnceAndInOrder(t *testing.T) {
	t.Parallel()
	b := podSetup(t, "")
	b.begin(t, b.ref, "one")
	_, err := b.report(t, "one", "pod-1", events(2, 3))
	requireReason(t, err, run.ReasonGap)
	_, err = b.report(t, "one", "pod-1", run.Batch{})
	requireReason(t, err, run.ReasonNotStarted)
	b.started(t, "one", "pod-1")
	var applied []int64
	batch := events(1, 3)
	batch.Apply = func(_ *run.NodeRun, a *run.Attempt) (run.Report, error) {
		applied = append(applied, a.EventN)
		return run.Report{EventN: 3, Stages: a.Stages}, nil
	}
	for range 3 {
		reported, err := b.report(t, "one", "pod-1", batch)
		require.NoError(t, err)
		require.EqualValues(t, 3, reported.AcceptedN)
	}
	require.Equal(t, []int64{1}, applied, "applied once, after what was stored")
	_, err = b.report(t, "one", "pod-1", events(5, 5))
	requireReason(t, err, run.ReasonGap)
	_, err = b.result(t, "one", "pod-1", 3, ok(`1`))
	requireReason(t, err, run.ReasonGap)
	require.True(t, b.state(t).Open, "a result under a number that was taken ends nothing")
	_, err = b.result(t, "one", "pod-1", 4, ok(`1`))
	require.NoError(t, err)
	reported, err := b.result(t, "one", "pod-1", 4, ok(`2`))
	require.NoError(t, err, "the answer was lost")
	require.EqualValues(t, 4, reported.AcceptedN)
	require.JSONEq(t, `1`, string(b.nodeRun(t, b.run.ID, "a").OutputState))
	_, err = b.report(t, "one", "pod-1", events(5, 5))
	requireReason(t, err, run.ReasonClosed)
}

func TestAnAttemptInAPodIsAdoptedAndNotLost(t *testing.T) {
	t.Parallel()
	b := podSetup(t, "")
	b.begin(t, b.ref, "one")
	other := b.newWorker(t)
	none, err := b.engine.Claim(t.Context(), b.ref.NodeRunID, other)
	require.NoError(t, err)
	require.Nil(t, none, "its holder lives")
	b.bury(t)
	n, err := b.engine.Recover(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	require.True(t, b.state(t).Open)

	got, err := b.engine.Claim(t.Context(), b.ref.NodeRunID, other)
	require.NoError(t, err)
	require.True(t, got.Adopted)
	require.True(t, got.Dispatched)
	require.Equal(t, b.ref.Attempt, got.Attempt, "the number stays")
	require.Equal(t, other, b.state(t).Worker)
	again, err := b.engine.Claim(t.Context(), b.ref.NodeRunID, b.newWorker(t))
	require.NoError(t, err)
	require.Nil(t, again, "one takes it")

	// The old holder thaws: nothing that it writes is taken.
	stale := b.ref
	require.ErrorIs(t, b.engine.BeginDispatch(t.Context(), stale, "x", hash("two"), []byte(podPayload)), run.ErrStale)
	require.ErrorIs(t, b.engine.SubmittedDispatch(t.Context(), stale), run.ErrStale)
	require.ErrorIs(t, b.engine.UncertainDispatch(t.Context(), stale, true), run.ErrStale)
	require.ErrorIs(t, b.engine.NoteDispatch(t.Context(), stale, "late"), run.ErrStale)
	require.ErrorIs(t, b.engine.AppendPodLog(t.Context(), stale, "late"), run.ErrStale)
	require.ErrorIs(t, b.engine.LetGo(t.Context(), stale), run.ErrStale)
	done, err := b.engine.GiveUpDispatch(t.Context(), stale, run.Result{Status: run.Failed})
	require.NoError(t, err)
	require.False(t, done)
	_, err = b.engine.Finish(t.Context(), stale.NodeRunID, stale.Attempt, run.Result{Status: run.Failed}, run.FinishOptions{Holder: &stale.Worker})
	require.ErrorIs(t, err, run.ErrSuperseded)
	require.True(t, b.state(t).Open)

	b.started(t, "one", "pod-1") // the pod has not noticed
	_, err = b.result(t, "one", "pod-1", 2, ok(`1`))
	require.NoError(t, err)
	require.Equal(t, []string{"succeeded"}, mapOf(b.statuses(t, b.run.ID))["a"])
}

func mapOf(_ run.Run, nodes map[string][]string) map[string][]string { return nodes }

func TestAnAttemptThatIsLetGoHasAJobAtOnce(t *testing.T) {
	t.Parallel()
	b := podSetup(t, "")
	for range b.jobs.jobs {
		b.jobs.take()
	}
	require.NoError(t, b.engine.LetGo(t.Context(), b.ref))
	require.ErrorIs(t, b.engine.LetGo(t.Context(), b.ref), run.ErrStale)
	j, found := b.jobs.take()
	require.True(t, found)
	require.Equal(t, b.ref.NodeRunID, j.NodeRunID)
	other := b.newWorker(t)
	got, err := b.engine.Claim(t.Context(), j.NodeRunID, other)
	require.NoError(t, err)
	require.True(t, got.Adopted)
	require.False(t, got.Dispatched, "nothing was to be created yet")
	require.ErrorIs(t, b.engine.BeginDispatch(t.Context(), b.ref, "x", hash("one"), []byte(podPayload)), run.ErrStale)
	b.begin(t, got.Ref(), "two")
}

func TestTheDatabaseRefusesToLoseAnAttemptInAPod(t *testing.T) {
	t.Parallel()
	b := podSetup(t, "")
	_, err := b.engine.Finish(t.Context(), b.ref.NodeRunID, b.ref.Attempt, run.Result{Status: run.Lost}, run.FinishOptions{})
	require.ErrorContains(t, err, "is not lost with its worker", "as a release before pods would")
	require.True(t, b.state(t).Open)
}

func TestUploadsAreBoundedAndGoWithTheAttempt(t *testing.T) {
	t.Parallel()
	b := podSetup(t, "")
	b.begin(t, b.ref, "one")
	who, limits := b.reporter(t, "one", "pod-1"), run.UploadLimits{Files: 2, Bytes: 10}
	keep := func(name, data string) error {
		_, err := b.engine.KeepUpload(t.Context(), who, name, "text/plain", []byte(data), limits)
		return err
	}
	requireReason(t, keep("a", "1"), run.ReasonNotStarted)
	b.started(t, "one", "pod-1")
	require.NoError(t, keep("a", "12345"))
	require.NoError(t, keep("a", "1234567"), "again replaces it")
	requireReason(t, keep("b", "12345"), "executor.uploads")
	require.NoError(t, keep("b", "123"))
	requireReason(t, keep("c", ""), "executor.uploads")
	uploads, err := b.engine.Uploads(t.Context(), who)
	require.NoError(t, err)
	require.Len(t, uploads, 2)
	u := uploads["a"]
	res := ok(`1`)
	res.Artifacts = []run.NewArtifact{{Name: "a", MediaType: "text/plain", Stored: &u}}
	_, err = b.result(t, "one", "pod-1", 2, res)
	require.NoError(t, err)
	artifacts, err := b.engine.Artifacts(t.Context(), b.ref.NodeRunID)
	require.NoError(t, err)
	require.Len(t, artifacts, 1)
	require.EqualValues(t, 7, artifacts[0].Size)
	uploads, err = b.engine.Uploads(t.Context(), who)
	require.NoError(t, err)
	require.Empty(t, uploads)
	requireReason(t, keep("d", ""), run.ReasonClosed)

	a, _, err := b.engine.OpenArtifactOf(t.Context(), who, artifacts[0].ID)
	require.NoError(t, err)
	require.Equal(t, "a", a.Name)
	who.RunID++
	_, _, err = b.engine.OpenArtifactOf(t.Context(), who, artifacts[0].ID)
	requireReason(t, err, "artifact.not_found")
}

func TestAPodLogIsBounded(t *testing.T) {
	t.Parallel()
	b := podSetup(t, "")
	require.NoError(t, b.engine.AppendPodLog(t.Context(), b.ref, "first\x00\n"))
	require.NoError(t, b.engine.AppendPodLog(t.Context(), b.ref, strings.Repeat("x", run.MaxPodLog)))
	require.NoError(t, b.engine.AppendPodLog(t.Context(), b.ref, "no room"))
	lines, err := b.engine.PodLog(t.Context(), b.ref.NodeRunID, b.ref.Attempt, 0, 10)
	require.NoError(t, err)
	require.Len(t, lines, 2)
	require.Equal(t, "first\uFFFD\n", lines[0].Text)
	require.True(t, strings.HasSuffix(lines[1].Text, "the rest is not kept.\n"))
	_, err = b.engine.PodLog(t.Context(), b.ref.NodeRunID, 9, 0, 10)
	requireReason(t, err, "node.attempt_not_found")
}

func TestStartingAndGivingUpAtTheSameTime(t *testing.T) {
	t.Parallel()
	for range 10 {
		b := podSetup(t, "")
		b.begin(t, b.ref, "one")
		who := b.reporter(t, "one", "pod-1")
		started := make(chan error, 1)
		go func() {
			_, err := b.engine.Report(context.WithoutCancel(t.Context()), who, events(1, 1))
			started <- err
		}()
		gaveUp, err := b.engine.GiveUpDispatch(t.Context(), b.ref, run.Result{Status: run.Failed})
		require.NoError(t, err)
		require.NotEqual(t, gaveUp, <-started == nil, "exactly one of them")
	}
}

func TestWhatAPodNeedsIsNotCollected(t *testing.T) {
	t.Parallel()
	b := podSetup(t, "")
	b.begin(t, b.ref, "one")
	b.started(t, "one", "pod-1")
	who := b.reporter(t, "one", "pod-1")
	_, err := b.engine.KeepUpload(t.Context(), who, "a", "text/plain", []byte("kept"), run.UploadLimits{Files: 1, Bytes: 10})
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `UPDATE blob SET touched_at = now() - interval '1 hour'`)
	require.NoError(t, err)
	n, err := blob.Collect(t.Context(), b.db, time.Minute)
	require.NoError(t, err)
	require.Zero(t, n, "the payload and the upload are referred to")
	_, err = b.result(t, "one", "pod-1", 2, ok(`1`))
	require.NoError(t, err)
	n, err = blob.Collect(t.Context(), b.db, time.Minute)
	require.NoError(t, err)
	require.EqualValues(t, 2, n, "nobody needs them any more")
}
