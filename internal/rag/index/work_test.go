package index_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/run"
)

func TestAFreshIndexIsThereWithItsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(7)
	b.folder.put("x.bin", "BINARY")
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	require.Equal(t, index.Queued, v.Status)
	require.Equal(t, "indexing", v.ExecutionMode)
	n, err := b.engine.NodeRun(t.Context(), b.db, v.NodeID)
	require.NoError(t, err)
	require.Equal(t, "llmctl_studio.rag.index", n.Queue)
	require.Equal(t, "Index docs", n.Title)
	require.Equal(t, "indexing", *n.ExecutionMode)

	res, r := b.work(t, v.NodeID)
	require.Equal(t, index.Done, res.Outcome)
	require.Equal(t, index.Output{
		Mode: rag.Fresh, Found: 8, Added: 8, Chunks: 14,
		Sources: []index.SourceOutput{{SourceID: b.source, IndexRunID: v.ID, Found: 8, Added: 8, Chunks: 14}},
	}, res.Output)
	require.Equal(t, []index.Phase{index.PhaseOpen, index.PhaseSync, index.PhasePlan, index.PhaseApply, index.PhaseFiles, index.PhaseSwap}, r.phases)
	require.Contains(t, r.log(), "docs: 8 added, 0 changed, 0 removed, 0 kept.")

	v = b.view(t, v.ID)
	require.Equal(t, index.Succeeded, v.Status)
	require.Equal(t, index.RunTotals{Found: 8, Excluded: 2, Binary: 1, Added: 8, Done: 8, Chunks: 14, Embedded: 14, Bytes: v.Counts.Bytes, Tokens: v.Counts.Tokens}, v.Counts)
	require.Equal(t, &index.RunEmbedder{Model: "one", Dimensions: 2}, v.Embedder)
	require.Positive(t, v.Counts.Tokens)
	require.Equal(t, index.RunUsage{Tokens: v.Counts.Tokens, CostMicros: new(2 * v.Counts.Tokens), Currency: "EUR"}, v.Usage)
	listed, err := b.svc.List(t.Context(), b.db, index.Filter{Limit: 5})
	require.NoError(t, err)
	require.Equal(t, v.Usage, listed[0].Usage)
	require.Len(t, b.visible(t, b.source), 15, "14 chunks and the file that nothing reads")
	require.Equal(t, 7, b.number(t, `SELECT files FROM rag_source`), "what nothing reads is not counted")
	require.Equal(t, 14, b.number(t, `SELECT chunks FROM rag_source`))
}

func TestADeltaTouchesOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(30)
	b.folder.put("x.bin", "BINARY")
	b.index(t, rag.Fresh)
	b.folder.opened()
	b.model.wasAsked()

	b.folder.put("d0/f003.txt", "first of 3\n\nanother")
	b.folder.put("new.txt", "new")
	b.folder.remove("d1/f001.txt")
	b.folder.put("d2/f005.txt", "first of 5\n\nsecond of 5") // touched
	v, _ := b.index(t, rag.Delta)
	require.Equal(t, "delta_indexing", v.ExecutionMode)
	require.Equal(t, index.RunTotals{
		Found: 31, Excluded: 2, Binary: 1, Added: 1, Changed: 2, Removed: 1, Kept: 28, Done: 4, Chunks: 3, Embedded: 3, Cached: 1,
		Bytes: v.Counts.Bytes, Tokens: v.Counts.Tokens,
	}, v.Counts)
	require.Equal(t, []string{"d0/f003.txt", "d2/f005.txt", "new.txt"}, b.folder.opened())
	require.Equal(t, []string{"d0/f003.txt\n\nanother", "new.txt\n\nnew"}, b.model.wasAsked())

	delta := b.visible(t, b.source)
	v, _ = b.index(t, rag.Delta)
	require.Equal(t, int32(31), v.Counts.Kept, "also what was only touched is known now")
	require.Empty(t, b.folder.opened())
	b.index(t, rag.Fresh)
	require.Equal(t, delta, b.visible(t, b.source), "a delta gives what a fresh index gives")
	require.Empty(t, b.model.wasAsked(), "the vectors of texts that did not change are there")
}

func TestAnotherEmbedderOrAnotherCutMakesEveryFileAChangedOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(4)
	b.index(t, rag.Fresh)
	b.model = newModel(t, b.db, "two")
	v, r := b.index(t, rag.Delta)
	require.Equal(t, int32(4), v.Counts.Changed)
	require.Len(t, b.model.wasAsked(), 8)
	require.Contains(t, r.log(), "The embedding model is another one")
	b.cutter = scissors{"s2"}
	v, _ = b.index(t, rag.Delta)
	require.Equal(t, int32(4), v.Counts.Changed)
	require.Empty(t, b.model.wasAsked())
	b.model = nil
	v, r = b.index(t, rag.Delta)
	require.Equal(t, int32(4), v.Counts.Changed)
	require.Nil(t, v.Embedder)
	require.Contains(t, r.log(), "searched by words alone")
	require.Equal(t, 1, b.number(t, `SELECT count(*) FROM rag_source WHERE rag_embedder_id IS NULL AND index_revision > 0`))
}

func TestASecondTriggerIsToldWhichNodeWorks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	results := make(chan error, 4)
	for range cap(results) {
		go func() {
			results <- b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
				_, _, err := b.svc.StartTx(ctx, tx, index.StartRequest{SourceID: b.source, Mode: rag.Delta})
				return err
			})
		}()
	}
	var refused []error
	for range cap(results) {
		if err := <-results; err != nil {
			refused = append(refused, err)
		}
	}
	require.Len(t, refused, cap(results)-1)
	active := b.number(t, `SELECT node_run_id FROM rag_index_run WHERE finished_at IS NULL`)
	for _, err := range refused {
		require.True(t, errs.HasReason(err, "rag.source_active"), "%v", err)
		require.Contains(t, errs.As(err).Message, fmt.Sprintf("node %d", active))
		require.Equal(t, errs.Detail{Location: "node_id", Message: fmt.Sprint(active)}, errs.As(err).Details[0])
	}
}

func TestRequestsAreRefusedWithTheirFault(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(1)
	fresh, _ := b.index(t, rag.Fresh)
	missing := int64(99)
	for reason, req := range map[string]index.StartRequest{
		"rag.source_not_found":      {SourceID: 77, Mode: rag.Fresh},
		"rag.invalid_index_request": {Mode: "quick"},
	} {
		_, err := b.tryStart(t, req)
		require.True(t, errs.HasReason(err, reason), "%v", err)
	}
	for want, of := range map[string]*int64{"there is no index run 99": &missing, "no file failed in index run": &fresh.ID} {
		_, err := b.tryStart(t, index.StartRequest{Mode: rag.Delta, OnlyFailedOf: of})
		require.ErrorContains(t, err, want)
	}
	require.Zero(t, b.number(t, `SELECT count(*) FROM rag_index_run WHERE finished_at IS NULL`))
}

func TestFilesFailAloneAndAreFoundAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(3)
	b.folder.put("ok.txt", "good")
	b.index(t, rag.Fresh)
	b.folder.put("bad.txt", "BROKEN")
	b.folder.put("ok.txt", "BROKEN too")
	v := b.start(t, index.StartRequest{Mode: rag.Delta})
	res, r := b.work(t, v.NodeID)
	require.Equal(t, index.Partly, res.Outcome)
	require.Equal(t, int32(2), res.Output.Failed)
	require.Contains(t, r.log(), "bad.txt failed: The file is broken.")
	require.Contains(t, strings.Join(b.visible(t, b.source), "\n"), "|good|", "what was indexed of it stays")
	groups, err := b.svc.Errors(t.Context(), b.db, v.ID)
	require.NoError(t, err)
	require.Equal(t, []index.ErrorGroup{{Code: "unreadable", Message: "The file is broken.", Count: 2, Paths: []string{"bad.txt", "ok.txt"}}}, groups)

	b.folder.put("bad.txt", "mended")
	b.folder.put("d0/f000.txt", "changed, but that was not asked for")
	again := b.start(t, index.StartRequest{Mode: rag.Delta, OnlyFailedOf: &v.ID})
	b.folder.opened()
	res, _ = b.work(t, again.NodeID)
	require.Equal(t, index.Partly, res.Outcome)
	require.Equal(t, []string{"bad.txt", "ok.txt"}, b.folder.opened())
	v, _ = b.index(t, rag.Delta)
	require.Equal(t, int32(2), v.Counts.Changed, "what failed and what changed")
}

func TestARunWhoseFilesAllFailKeepsTheIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.folder.put("a.txt", "fine")
	b.index(t, rag.Fresh)
	before := b.visible(t, b.source)
	b.folder.put("a.txt", "BROKEN")
	v, _ := b.index(t, rag.Fresh)
	require.Equal(t, index.Failed, v.Status)
	require.Equal(t, index.CodeAllFailed, v.Error.Code)
	require.Equal(t, before, b.visible(t, b.source))
	require.Equal(t, 1, b.number(t, `SELECT count(*) FROM rag_source WHERE error->>'code' = 'all_files_failed'`))
	b.folder.put("a.txt", "fine again")
	b.index(t, rag.Delta)
	require.Equal(t, 1, b.number(t, `SELECT count(*) FROM rag_source WHERE error IS NULL`))
}

func TestASourceThatCannotBeReachedIsTriedAgainAndThenFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.folder.down = errs.E(errs.Unavailable, "fetch.down", "The server does not answer.")
	v := b.start(t, index.StartRequest{Mode: rag.Delta})
	for try := 1; try <= 3; try++ {
		require.Nil(t, b.view(t, v.ID).FinishedAt)
		res, _ := b.work(t, v.NodeID)
		require.Equal(t, index.CodeUnreachable, res.Failure.Code)
		require.True(t, res.Failure.Retryable)
	}
	v = b.view(t, v.ID)
	require.Equal(t, index.Failed, v.Status)
	require.Equal(t, "The server does not answer.", v.Error.Message)
}

func TestAPlanWaitsUntilItIsApplied(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(3)
	v := b.start(t, index.StartRequest{Mode: rag.Delta, PlanFirst: true})
	res, r := b.work(t, v.NodeID)
	require.Equal(t, index.Suspended, res.Outcome)
	require.Contains(t, r.log(), "The plan waits")
	v = b.view(t, v.ID)
	require.Equal(t, index.Planned, v.Status)
	require.Equal(t, int32(3), v.Counts.Added)
	n, err := b.engine.NodeRun(t.Context(), b.db, v.NodeID)
	require.NoError(t, err)
	require.Equal(t, run.Waiting, n.Status)
	require.Empty(t, b.folder.opened())

	// Meanwhile a file changes, one goes and one comes.
	b.folder.put("d0/f000.txt", "later")
	b.folder.remove("d1/f001.txt")
	b.folder.put("later.txt", "for the next run")
	b.newWorker(t) // another one goes on
	require.NoError(t, b.order(t, b.svc.ApplyTx, v.ID))
	res, r = b.work(t, v.NodeID)
	require.Equal(t, index.Partly, res.Outcome)
	require.Contains(t, r.log(), "3 files are open, 1 of them have changed since")
	files, err := b.svc.Journal(t.Context(), b.db, v.ID, index.JournalFilter{Status: "failed", Limit: 10})
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.Equal(t, index.FileChanged, files[0].Error.Code)
	require.True(t, errs.HasReason(b.order(t, b.svc.ApplyTx, v.ID), "rag.index_run_finished"))
	v, _ = b.index(t, rag.Delta)
	require.Equal(t, int32(1), v.Counts.Added)
	require.Equal(t, int32(2), v.Counts.Kept)
}

// order does one of the things that people may ask of a run.
func (b *bundle) order(t *testing.T, f func(context.Context, *postgres.Tx, int64) (index.RunDetail, error), id int64) error {
	t.Helper()
	return b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		_, err := f(ctx, tx, id)
		return err
	})
}

func TestAPauseHoldsNoWorkerAndGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(9)
	b.folder.gate = make(chan struct{}, 9)
	b.folder.gate <- struct{}{}
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	require.True(t, errs.HasReason(b.order(t, b.svc.ResumeTx, v.ID), "rag.not_paused"))
	c := b.claim(t, v.NodeID)
	done := make(chan index.Result)
	go func() {
		res, _ := b.attempt(t.Context(), c)
		done <- res
	}()
	require.Eventually(t, func() bool { return b.view(t, v.ID).Counts.Done == 1 }, 60*time.Second, 10*time.Millisecond)
	require.NoError(t, b.order(t, b.svc.PauseTx, v.ID))
	require.True(t, b.view(t, v.ID).PauseRequested)
	res := <-done
	require.Equal(t, index.Suspended, res.Outcome)
	b.finish(t, c, res)
	require.Equal(t, index.Paused, b.view(t, v.ID).Status)
	require.Equal(t, "waiting", b.status(t, v.NodeID))

	close(b.folder.gate)
	b.folder.gate = nil
	b.folder.opened()
	require.NoError(t, b.order(t, b.svc.ResumeTx, v.ID))
	res, _ = b.work(t, v.NodeID)
	require.Equal(t, index.Done, res.Outcome)
	require.Len(t, b.folder.opened(), 8)
	require.Len(t, b.visible(t, b.source), 18)
}

func (b *bundle) status(t *testing.T, nodeID int64) string {
	t.Helper()
	n, err := b.engine.NodeRun(t.Context(), b.db, nodeID)
	require.NoError(t, err)
	return n.Status
}

func TestACancelLeavesTheVisibleIndexAndTheSweepRemovesTheRest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(6)
	b.index(t, rag.Fresh)
	before := b.visible(t, b.source)
	b.folder.remove("d0/f000.txt")
	for i := range 6 {
		b.folder.put(fmt.Sprintf("d%d/f%03d.txt", i%3, i), "rewritten")
	}
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	c := b.claim(t, v.NodeID)
	b.probe.at = func(_ int, step string) error {
		if step == "swap" { // all is written, nothing is visible
			return errors.New("stop here")
		}
		return nil
	}
	res, _ := b.attempt(t.Context(), c)
	require.Equal(t, index.Stopped, res.Outcome)
	require.Equal(t, before, b.visible(t, b.source))
	require.NoError(t, b.order(t, b.svc.CancelTx, v.ID))
	require.Equal(t, "cancelling", b.status(t, v.NodeID))

	late, _ := b.attempt(t.Context(), c) // it has not heard of it
	require.Equal(t, index.Stopped, late.Outcome, "nothing is written once the node is to stop")
	b.finish(t, c, res)
	require.Equal(t, index.Cancelled, b.view(t, v.ID).Status)
	require.Equal(t, before, b.visible(t, b.source))

	swept, err := b.svc.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(6), swept.Unseen)
	require.Equal(t, before, b.visible(t, b.source))
	require.Zero(t, b.number(t, `SELECT count(*) FROM rag_file WHERE to_revision IS NOT NULL`))
	require.Equal(t, 6, b.number(t, `SELECT count(*) FROM rag_file`))
}

func TestANewRunRemovesWhatAGivenUpOneLeft(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(4)
	b.index(t, rag.Fresh)
	b.folder.put("ghost.txt", "never shown")
	b.folder.put("d0/f000.txt", "never shown either")
	v := b.start(t, index.StartRequest{Mode: rag.Delta})
	c := b.claim(t, v.NodeID)
	b.probe.at = func(_ int, step string) error {
		if step == "swap" {
			return errors.New("stop here")
		}
		return nil
	}
	b.attempt(t.Context(), c)
	b.probe.at = nil
	require.NoError(t, b.order(t, b.svc.CancelTx, v.ID))
	b.finish(t, c, index.Result{Outcome: index.Stopped})
	b.folder.remove("ghost.txt")
	b.folder.put("d0/f000.txt", "first of 0\n\nsecond of 0")
	v, r := b.index(t, rag.Delta)
	require.Contains(t, r.log(), "Removed what an index run that was given up had left")
	require.Equal(t, index.Succeeded, v.Status)
	require.NotContains(t, strings.Join(b.visible(t, b.source), "\n"), "never shown")
	require.Len(t, b.visible(t, b.source), 8)
}

// The attempt is ended before every step that there is, as the death of its process
// would; each time another worker goes on. The index is that of an undisturbed run.
func TestAnIndexRunOutlivesADeathAtEveryStep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	prepare := func(source int64) {
		b.source = source
		b.folder.files = map[string]file{}
		b.fill(8)
		b.folder.put("gone.txt", "goes")
		b.folder.put("x.bin", "BINARY")
		b.index(t, rag.Fresh)
		b.folder.remove("gone.txt")
		b.folder.put("d0/f003.txt", "other\n\ntext")
		b.folder.put("d1/f001.txt", "BROKEN")
		b.folder.put("d2/f005.txt", "first of 5\n\nsecond of 5")
		b.folder.put("new.txt", "new")
	}
	prepare(b.source)
	undisturbed, _ := b.index(t, rag.Delta)
	want := b.visible(t, b.source)
	require.Len(t, want, 18)

	prepare(b.newSource(t, "killed"))
	v := b.start(t, index.StartRequest{Mode: rag.Delta})
	killed := map[string]bool{}
	b.probe.at = func(_ int, step string) error {
		if !killed[step] {
			killed[step] = true
			return errors.New("killed before " + step)
		}
		return nil
	}
	for b.view(t, v.ID).FinishedAt == nil {
		c := b.claim(t, v.NodeID)
		res, _ := b.attempt(t.Context(), c)
		if res.Outcome == index.Stopped {
			// Deaths are counted, so that a node that kills its workers ends; not here.
			for _, sql := range []string{`UPDATE node_run SET lost = 0`, `UPDATE rag_index_file SET tries = 0 WHERE status = 'pending'`} {
				_, err := b.db.Exec(t.Context(), sql)
				require.NoError(t, err)
			}
			b.bury(t)
			continue
		}
		require.Equal(t, index.Partly, res.Outcome)
		b.finish(t, c, res)
	}
	require.Greater(t, len(killed), 10)
	require.Equal(t, want, b.visible(t, b.source))
	v = b.view(t, v.ID)
	v.Counts.Cached, v.Counts.Tokens = undisturbed.Counts.Cached, undisturbed.Counts.Tokens // the texts were known by then
	require.Equal(t, undisturbed.Counts, v.Counts, "what is counted is what was done, however often it was begun")
}

func TestALateWriterChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(5)
	b.folder.gate = make(chan struct{}, 10)
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	stale := b.claim(t, v.NodeID)
	done := make(chan index.Result)
	go func() {
		res, _ := b.attempt(t.Context(), stale)
		done <- res
	}()
	require.Eventually(t, func() bool { return b.view(t, v.ID).Status == index.Indexing }, 60*time.Second, 5*time.Millisecond)
	b.bury(t)
	fresh := b.claim(t, v.NodeID)
	for range 5 {
		b.folder.gate <- struct{}{}
	}
	require.Equal(t, index.Stopped, (<-done).Outcome)
	require.Zero(t, b.number(t, `SELECT count(*) FROM rag_file`))
	close(b.folder.gate)
	res, _ := b.attempt(t.Context(), fresh)
	b.finish(t, fresh, res)
	require.Equal(t, index.Done, res.Outcome)
	require.Len(t, b.visible(t, b.source), 10)
}

func TestARunWaitsForItsProviderAndGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(3)
	b.model.fail = func([]string) error { return &llm.Error{Kind: llm.KindUnavailable, Message: "It is down."} }
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	c := b.claim(t, v.NodeID)
	done := make(chan index.Result)
	r := &reader{}
	go func() {
		res, got := b.attempt(t.Context(), c)
		r = got
		done <- res
	}()
	require.Eventually(t, func() bool { e := b.view(t, v.ID).Error; return e != nil && e.Code == "waiting_for_provider" }, 60*time.Second, 5*time.Millisecond)
	b.model.failing(nil)
	res := <-done
	b.finish(t, c, res)
	require.Equal(t, index.Done, res.Outcome)
	require.Contains(t, r.log(), "Waiting for the embedding provider")
	require.Contains(t, r.log(), "answers again")
	require.Nil(t, b.view(t, v.ID).Error)
}

func TestFilesFailWhenTheProviderStaysAway(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *index.Options) { o.Patience = time.Nanosecond })
	b.fill(3)
	b.folder.put("x.bin", "BINARY")
	b.model.fail = func([]string) error { return &llm.Error{Kind: llm.KindUnavailable, Message: "It is down."} }
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	res, r := b.work(t, v.NodeID)
	require.Equal(t, index.Partly, res.Outcome, "%v", res.Failure)
	require.Equal(t, int32(3), res.Output.Failed)
	require.Contains(t, r.log(), "did not answer for")
	groups, err := b.svc.Errors(t.Context(), b.db, v.ID)
	require.NoError(t, err)
	require.Equal(t, index.FileProvider, groups[0].Code)
}

func TestARefusedKeyEndsTheRunAndARefusedTextItsFile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(9)
	b.model.fail = func([]string) error { return &llm.Error{Kind: llm.KindAuth, Message: "The key is refused."} }
	v, _ := b.index(t, rag.Fresh)
	require.Equal(t, index.Failed, v.Status)
	require.Equal(t, index.CodeEmbedder, v.Error.Code)

	b.model.failing(func(texts []string) error {
		if strings.Contains(strings.Join(texts, " "), "first of 4") {
			return &llm.Error{Kind: llm.KindInvalidRequest, Message: "Not this one."}
		}
		return nil
	})
	v, _ = b.index(t, rag.Fresh)
	require.Equal(t, index.Succeeded, v.Status)
	require.Equal(t, int32(1), v.Counts.Failed)
	require.Equal(t, int32(8), v.Counts.Done)

	b.model.failing(func([]string) error { return &llm.Error{Kind: llm.KindInvalidRequest, Message: "No such model."} })
	b.cutter = scissors{"s9"}
	v, _ = b.index(t, rag.Fresh)
	require.Equal(t, index.Failed, v.Status)
	require.Contains(t, v.Error.Message, "refuses every text")
}

func TestTextThatCannotBeStoredFailsItsFileAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(4)
	b.folder.put("nul.txt", "a\x00b")
	v, _ := b.index(t, rag.Fresh)
	require.Equal(t, index.Succeeded, v.Status)
	require.Equal(t, int32(4), v.Counts.Done)
	groups, err := b.svc.Errors(t.Context(), b.db, v.ID)
	require.NoError(t, err)
	require.Equal(t, index.FileNotStorable, groups[0].Code)
}

// While indexes come and go, a reader sees one of them, whole.
func TestASearchNeverSeesHalfAnIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	write := func(generation int) {
		for i := range 6 {
			b.folder.put(fmt.Sprintf("f%d.txt", i), fmt.Sprintf("generation %d\n\nchunk of %d", generation, i))
		}
	}
	write(0)
	b.index(t, rag.Fresh)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	faults := make(chan string, 1)
	go func() {
		defer close(faults)
		for ctx.Err() == nil {
			var generations, files, chunks int
			err := b.db.QueryRow(ctx, `SELECT count(DISTINCT c.text) FILTER (WHERE c.text LIKE 'generation%'), count(DISTINCT f.path), count(*)
				FROM rag_source s JOIN rag_file f ON f.rag_source_id = s.id AND f.from_revision <= s.index_revision
				     AND (f.to_revision IS NULL OR f.to_revision > s.index_revision)
				JOIN rag_chunk c ON c.rag_file_id = f.id WHERE s.id = $1`, b.source).Scan(&generations, &files, &chunks)
			if err == nil && (generations != 1 || files != 6 || chunks != 12) {
				faults <- fmt.Sprintf("%d generations, %d files, %d chunks", generations, files, chunks)
				return
			}
		}
	}()
	for g := 1; g <= 12; g++ {
		write(g)
		b.index(t, []string{rag.Fresh, rag.Delta}[g%2])
		_, err := b.svc.SweepNow(t.Context())
		require.NoError(t, err)
	}
	stop()
	require.Empty(t, <-faults)
	require.Equal(t, 6, b.number(t, `SELECT count(*) FROM rag_file`), "what no revision shows is gone")
}

func TestEventsTellTheSourcesStreamWithoutAGap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(5)
	v, _ := b.index(t, rag.Fresh)
	events, err := event.ReadStream(t.Context(), b.db, fmt.Sprintf("rag_source:%d", b.source), 0, 100)
	require.NoError(t, err)
	var statuses []string
	for i, e := range events {
		require.Equal(t, int64(i+1), e.Envelope.Sequence)
		require.Equal(t, "rag:source:updated", e.Envelope.EventType)
		require.Contains(t, e.Envelope.RoomKeys, fmt.Sprintf("rag_source:%d", b.source))
		p := decode[struct {
			SourceID int64           `json:"source_id"`
			Change   string          `json:"change"`
			IndexRun index.RunDetail `json:"index_run"`
		}](t, e.Envelope.Payload)
		require.Equal(t, v.ID, p.IndexRun.ID)
		if n := len(statuses); n == 0 || statuses[n-1] != p.IndexRun.Status {
			statuses = append(statuses, p.IndexRun.Status)
		}
	}
	require.Equal(t, []string{"queued", "syncing", "planning", "indexing", "succeeded"}, statuses)
	require.LessOrEqual(t, len(events), 7)
}

func TestANodeOfSeveralSourcesIndexesThemAllOrSaysWhichIsBusy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(3)
	other := b.newSource(t, "other")
	busy := b.start(t, index.StartRequest{SourceID: other, Mode: rag.Fresh})
	n := b.node(t, index.Config{Mode: rag.Fresh, SourceIDs: []int64{b.source, other}})
	res, _ := b.work(t, n.ID)
	require.Equal(t, index.CodeBusy, res.Failure.Code)
	require.True(t, res.Failure.Retryable)
	require.Contains(t, res.Failure.Message, fmt.Sprintf("node %d", busy.NodeID))
	require.Equal(t, 1, b.number(t, `SELECT count(*) FROM rag_index_run`), "no row is left of the node that had to wait")

	b.work(t, busy.NodeID)
	n = b.node(t, index.Config{Mode: rag.Delta, SourceIDs: []int64{other, b.source, other}})
	res, _ = b.work(t, n.ID)
	require.Equal(t, index.Done, res.Outcome, "%v", res.Failure)
	require.Len(t, res.Output.Sources, 2)
	require.Equal(t, int32(3), res.Output.Added)
	require.Equal(t, int32(3), res.Output.Kept)
}

func (b *bundle) node(t *testing.T, c index.Config) run.NodeRun {
	t.Helper()
	var n run.NodeRun
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) (err error) {
		n, err = b.engine.StartNode(ctx, tx, run.NodeRequest{Kind: index.Kind, Config: encode(t, c)})
		return err
	}))
	return n
}

func TestVectorsThatNobodyUsesGoAfterAWhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(2)
	b.index(t, rag.Fresh)
	b.folder.put("d0/f000.txt", "other")
	b.index(t, rag.Fresh)
	_, err := b.svc.SweepNow(t.Context())
	require.NoError(t, err)
	require.Equal(t, 5, b.number(t, `SELECT count(*) FROM rag_embedding`))
	_, err = b.db.Exec(t.Context(), `UPDATE rag_embedding SET created_at = now() - interval '6 days'`)
	require.NoError(t, err)
	dropped, err := b.svc.DropVectors(t.Context())
	require.NoError(t, err)
	require.Zero(t, dropped, "the text may come back")
	_, err = b.db.Exec(t.Context(), `UPDATE rag_embedding SET created_at = now() - interval '30 days'`)
	require.NoError(t, err)
	b.folder.put("d0/f001.txt", "something to plan")
	v := b.start(t, index.StartRequest{Mode: rag.Delta, PlanFirst: true})
	b.work(t, v.NodeID)
	require.Equal(t, index.Planned, b.view(t, v.ID).Status, "it waits for somebody, perhaps for ever")
	dropped, err = b.svc.DropVectors(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(2), dropped)
}
