package index_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/run"
)

// begin works a node in the background.
func (b *bundle) begin(t *testing.T, nodeID int64) (*run.Claim, <-chan index.Result) {
	t.Helper()
	c := b.claim(t, nodeID)
	done := make(chan index.Result, 1)
	go func() {
		res, _ := b.attempt(t.Context(), c)
		done <- res
	}()
	return c, done
}

func (b *bundle) becomes(t *testing.T, id int64, status string) {
	t.Helper()
	require.Eventually(t, func() bool { return b.view(t, id).Status == status }, waitFor, tick, "it does not become %s", status)
}

func TestAPauseIsNoticedWhileTheSourceIsSynchronised(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(4)
	b.folder.slow = make(chan struct{})
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	c, done := b.begin(t, v.NodeID)
	b.becomes(t, v.ID, index.Syncing)
	require.NoError(t, b.order(t, b.svc.PauseTx, v.ID))
	res := <-done
	require.Equal(t, index.Suspended, res.Outcome)
	b.finish(t, c, res)
	require.Equal(t, index.Paused, b.view(t, v.ID).Status)
	require.Equal(t, run.Waiting, b.status(t, v.NodeID))

	b.folder.slow = nil
	require.NoError(t, b.order(t, b.svc.ResumeTx, v.ID))
	require.Equal(t, index.Queued, b.view(t, v.ID).Status)
	res, r := b.work(t, v.NodeID)
	require.Equal(t, index.Done, res.Outcome)
	require.Len(t, r.phases, 6)
	require.Len(t, b.visible(t, b.source), 8)
}

func TestAPauseIsNoticedWhileThePlanIsMadeAndNothingLaterIsBegun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(4)
	reached, goOn := make(chan struct{}), make(chan struct{})
	b.probe.at = func(_ int, step string) error {
		if step == "plan" {
			close(reached)
			<-goOn
		}
		return nil
	}
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	c := b.claim(t, v.NodeID)
	type end struct {
		res index.Result
		r   *reader
	}
	done := make(chan end, 1)
	go func() {
		res, r := b.attempt(t.Context(), c)
		done <- end{res, r}
	}()
	<-reached
	require.NoError(t, b.order(t, b.svc.PauseTx, v.ID))
	require.Eventually(t, func() bool { // the watch, of which another run is not told
		return b.number(t, `SELECT count(*) FROM rag_index_run WHERE pause_requested_at < now() - interval '1.2 seconds'`) == 1
	}, waitFor, tick)
	close(goOn)
	got := <-done
	require.Equal(t, index.Suspended, got.res.Outcome)
	require.Equal(t, []index.Phase{index.PhaseOpen, index.PhaseSync, index.PhasePlan}, got.r.phases)
	b.finish(t, c, got.res)
	require.Equal(t, index.Paused, b.view(t, v.ID).Status)
	b.probe.at = nil
	require.NoError(t, b.order(t, b.svc.ResumeTx, v.ID))
	res, _ := b.work(t, v.NodeID)
	require.Equal(t, index.Done, res.Outcome)
}

func TestARunThatNoWorkerHasIsPausedAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(2)
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	require.NoError(t, b.order(t, b.svc.PauseTx, v.ID))
	require.Equal(t, index.Paused, b.view(t, v.ID).Status)
	res, r := b.work(t, v.NodeID)
	require.Equal(t, index.Suspended, res.Outcome)
	require.Equal(t, []index.Phase{index.PhaseOpen}, r.phases)
	require.Equal(t, run.Waiting, b.status(t, v.NodeID))
	require.NoError(t, b.order(t, b.svc.ResumeTx, v.ID))
	res, _ = b.work(t, v.NodeID)
	require.Equal(t, index.Done, res.Outcome)
}

func TestAPauseOfOneSourceLetsTheOthersOfItsNodeGoOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(3)
	other := b.newSource(t, "other")
	n := b.node(t, index.Config{Mode: rag.Fresh, SourceIDs: []int64{b.source, other}})
	b.folder.slow = make(chan struct{})
	c, done := b.begin(t, n.ID)
	var runs []index.RunDetail
	require.Eventually(t, func() bool {
		var err error
		runs, err = b.svc.List(t.Context(), b.db, index.Filter{SourceID: b.source, Statuses: []string{index.Syncing}, Limit: 1})
		return err == nil && len(runs) == 1
	}, waitFor, tick)
	require.NoError(t, b.order(t, b.svc.PauseTx, runs[0].ID))
	b.becomes(t, runs[0].ID, index.Paused)
	close(b.folder.slow)
	res := <-done
	b.finish(t, c, res)
	require.Equal(t, index.Suspended, res.Outcome)
	require.Len(t, b.visible(t, other), 6)
	require.Empty(t, b.visible(t, b.source))
	require.NoError(t, b.order(t, b.svc.ResumeTx, runs[0].ID))
	res, _ = b.work(t, n.ID)
	require.Equal(t, index.Done, res.Outcome)
	require.Len(t, b.visible(t, b.source), 6)
}

// statuses are those that the events of a source tell, in their order.
func (b *bundle) statuses(t *testing.T, source int64) []string {
	t.Helper()
	events, err := event.ReadStream(t.Context(), b.db, "rag_source:"+itoa(source), 0, 200)
	require.NoError(t, err)
	var out []string
	for _, e := range events {
		s := decode[struct {
			IndexRun index.RunDetail `json:"index_run"`
		}](t, e.Envelope.Payload).IndexRun.Status
		if n := len(out); n == 0 || out[n-1] != s {
			out = append(out, s)
		}
	}
	return out
}

func TestTheStatusOfARunThatGoesOnFollowsItsStage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(2)
	b.stopAtSwap()
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	b.attempt(t.Context(), b.claim(t, v.NodeID)) // all files are done
	b.probe.at = nil
	b.bury(t)
	b.work(t, v.NodeID)
	require.Equal(t, []string{"queued", "syncing", "planning", "indexing", "syncing", "planning", "indexing", "succeeded"}, b.statuses(t, b.source))
}

func TestAWaitForTheProviderIsToldWhenItBegins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(3)
	waits, goOn := make(chan struct{}), make(chan struct{})
	first := true
	b.model.fail = func([]string) error { // its own retries, of which the run is only told
		if first {
			first = false
			b.model.tell(index.Wait{For: 90 * time.Second, Reason: string(llm.KindRateLimit)})
			close(waits)
			<-goOn
		}
		return nil
	}
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	c, done := b.begin(t, v.NodeID)
	<-waits
	require.Eventually(t, func() bool { e := b.view(t, v.ID).Error; return e != nil }, waitFor, tick)
	got := b.view(t, v.ID)
	require.Equal(t, "waiting_for_provider", got.Error.Code)
	require.WithinDuration(t, time.Now().Add(90*time.Second), *got.Error.Until, 15*time.Second)
	require.Contains(t, got.Error.Message, "until "+got.Error.Until.UTC().Format(time.TimeOnly))
	require.Equal(t, index.Indexing, got.Status)
	close(goOn)
	b.finish(t, c, <-done)
	require.Nil(t, b.view(t, v.ID).Error)

	events, err := event.ReadStream(t.Context(), b.db, "rag_source:"+itoa(b.source), 0, 100)
	require.NoError(t, err)
	told := 0
	for _, e := range events {
		run := decode[struct {
			IndexRun index.RunDetail `json:"index_run"`
		}](t, e.Envelope.Payload).IndexRun
		if run.Error != nil && run.Error.Until != nil {
			told++
		}
	}
	require.Contains(t, []int{1, 2}, told, "once, and perhaps with the news of files")
}

func TestAnAttemptInWhichNothingHappensIsEnded(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *index.Options) { o.Stall = time.Second })
	b.fill(2)
	b.folder.slow = make(chan struct{})
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	res, _ := b.work(t, v.NodeID)
	require.Equal(t, index.Broken, res.Outcome)
	require.Equal(t, index.CodeStalled, res.Failure.Code)
	require.True(t, res.Failure.Retryable)
	require.Equal(t, "Nothing happened for 1s while the source was synchronised.", res.Failure.Message)
	require.Equal(t, run.Queued, b.status(t, v.NodeID), "it is tried again")
}

func TestAnAttemptThatHangsIsLeftBehindAndChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *index.Options) { o.Stall = 1500 * time.Millisecond })
	b.fill(2)
	b.folder.slow, b.folder.deaf = make(chan struct{}), true
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	res, r := b.work(t, v.NodeID)
	require.Equal(t, index.CodeStalled, res.Failure.Code)
	told := r.log()
	close(b.folder.slow)
	res, _ = b.work(t, v.NodeID)
	require.Equal(t, index.Done, res.Outcome, "%v", res.Failure)
	require.Equal(t, told, r.log(), "what was left behind says nothing any more")
	require.Len(t, b.visible(t, b.source), 4)
}

func TestWhatCannotBeListedIsKeptAsItIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(6)
	b.folder.put("d0/deep/x.txt", "deep")
	b.index(t, rag.Fresh)
	before := b.visible(t, b.source)
	b.folder.remove("d1/f001.txt")
	b.folder.unlist(fetch.Unlisted{Path: "d0/", Reason: "permission denied"}, fetch.Unlisted{Path: "d2/f002.txt", Reason: "input/output error"},
		fetch.Unlisted{Path: "never/", Reason: "permission denied"})

	v := b.start(t, index.StartRequest{Mode: rag.Delta})
	res, r := b.work(t, v.NodeID)
	require.Equal(t, index.Partly, res.Outcome)
	require.Contains(t, r.log(), "d0/ failed: The folder cannot be listed (permission denied).")
	v = b.view(t, v.ID)
	require.Equal(t, []int32{2, 1, 2, 1, 6, 1, 3}, []int32{
		v.Counts.Found, v.Counts.Added, v.Counts.Changed, v.Counts.Removed, v.Counts.Kept, v.Counts.Done, v.Counts.Failed,
	})
	require.Equal(t, 3, v.Counts.Unreadable)
	groups, err := b.svc.Errors(t.Context(), b.db, v.ID)
	require.NoError(t, err)
	require.Equal(t, index.FileFolder, groups[0].Code)
	require.Equal(t, []string{"d0/", "never/"}, groups[0].Paths)
	require.Contains(t, groups[0].Message, "The folder cannot be listed (permission denied). What is indexed of the files in it stays")
	require.Equal(t, []string{"d2/f002.txt"}, groups[1].Paths)
	require.Len(t, b.visible(t, b.source), len(before)-2, "only what is gone for certain is removed")

	// A fresh index keeps them as well.
	fresh, _ := b.index(t, rag.Fresh)
	require.Zero(t, fresh.Counts.Removed)
	require.Len(t, b.visible(t, b.source), len(before)-2)

	// What failed can be tried again: the folders with all that is in them.
	b.folder.unlist(fetch.Unlisted{Path: "never/", Reason: "permission denied"})
	b.folder.put("d0/new.txt", "new")
	b.folder.put("elsewhere.txt", "not asked for")
	b.folder.remove("d0/deep/x.txt")
	again := b.start(t, index.StartRequest{Mode: rag.Delta, OnlyFailedOf: &v.ID})
	b.folder.opened()
	b.work(t, again.NodeID)
	require.Equal(t, []string{"d0/f000.txt", "d0/f003.txt", "d0/new.txt", "d2/f002.txt"}, b.folder.opened())
	again = b.view(t, again.ID)
	require.Equal(t, []int32{1, 1}, []int32{again.Counts.Removed, again.Counts.Failed})
}

func TestNothingIsRemovedFromASourceThatIsNotListedAtAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(3)
	b.index(t, rag.Fresh)
	b.folder.unlist(fetch.Unlisted{Path: fetch.Everything, Reason: "not all of it was searched"})
	v, _ := b.index(t, rag.Delta)
	require.Equal(t, []int32{3, 0, 1}, []int32{v.Counts.Kept, v.Counts.Removed, v.Counts.Failed})
	require.Len(t, b.visible(t, b.source), 6)
}

func TestOneTransactionOfAnAttemptAtATimeLetsAStopOrderThrough(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(60)
	b.folder.gate = make(chan struct{}, 60)
	for range 20 {
		b.folder.gate <- struct{}{}
	}
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	c, done := b.begin(t, v.NodeID)
	b.becomes(t, v.ID, index.Indexing)
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		_, err := b.svc.CancelTx(ctx, tx, v.ID)
		return err
	}))
	close(b.folder.gate)
	res := <-done
	require.Equal(t, index.Stopped, res.Outcome)
	b.finish(t, c, res)
	require.Equal(t, index.Cancelled, b.view(t, v.ID).Status)
}
