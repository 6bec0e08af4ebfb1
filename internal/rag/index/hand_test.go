package index_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/run"
)

// killedBy lets the process die whenever one of the files is read.
func (b *bundle) killedBy(paths ...string) {
	b.probe.mu.Lock()
	defer b.probe.mu.Unlock()
	b.probe.seen = nil
	b.probe.at = func(_ int, step string) error {
		if path, reads := strings.CutPrefix(step, "read "); reads && slices.Contains(paths, path) {
			return errors.New("out of memory")
		}
		return nil
	}
}

func (b *bundle) reads(path string) int {
	b.probe.mu.Lock()
	defer b.probe.mu.Unlock()
	n := 0
	for _, step := range b.probe.seen {
		if step == "read "+path {
			n++
		}
	}
	return n
}

// workOn works a node to its end, through the deaths of its workers. It gives how many
// there were.
func (b *bundle) workOn(t *testing.T, nodeID int64) (deaths int, last index.Result) {
	t.Helper()
	for {
		c := b.claim(t, nodeID)
		res, _ := b.attempt(t.Context(), c)
		if res.Outcome != index.Stopped {
			b.finish(t, c, res)
			return deaths, res
		}
		deaths++
		b.bury(t)
		n, err := b.engine.NodeRun(t.Context(), b.db, nodeID)
		require.NoError(t, err)
		if n.FinishedAt != nil {
			return deaths, res
		}
	}
}

func TestAFileThatKillsItsWorkerTwiceFailsAloneAndTheRunGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(30)
	b.index(t, rag.Fresh)
	b.fill(30)
	b.folder.put("d0/f012.txt", "of before, and more")
	b.killedBy("d0/f012.txt")
	v := b.start(t, index.StartRequest{Mode: rag.Delta})
	deaths, res := b.workOn(t, v.NodeID)
	require.Equal(t, 2, deaths)
	require.Equal(t, index.Partly, res.Outcome, "%v", res.Failure)
	v = b.view(t, v.ID)
	require.Equal(t, []int32{29, 1}, []int32{v.Counts.Done, v.Counts.Failed})
	lines, err := b.svc.Journal(t.Context(), b.db, v.ID, index.JournalFilter{Status: "failed", Limit: 10})
	require.NoError(t, err)
	require.Len(t, lines, 1)
	require.Equal(t, index.FileDeadly, lines[0].Error.Code)
	require.Equal(t, int32(2), lines[0].Tries)
	require.Contains(t, lines[0].Error.Message, "died 2 times")
	require.Contains(t, strings.Join(b.visible(t, b.source), "\n"), "first of 12", "what was indexed of it stays")

	// A schedule does not let it kill again, while it is as it was.
	b.killedBy("d0/f012.txt")
	delta, _ := b.index(t, rag.Delta)
	require.Zero(t, b.reads("d0/f012.txt"))
	require.Equal(t, []int32{1, 1, 29}, []int32{delta.Counts.Changed, delta.Counts.Failed, delta.Counts.Kept})
	delta, _ = b.index(t, rag.Delta)
	require.Equal(t, int32(1), delta.Counts.Failed, "nor the next time")

	// Who asks for it gets it tried.
	b.killedBy()
	again := b.start(t, index.StartRequest{Mode: rag.Delta, OnlyFailedOf: &delta.ID})
	res, _ = b.work(t, again.NodeID)
	require.Equal(t, index.Done, res.Outcome)
	require.Contains(t, strings.Join(b.visible(t, b.source), "\n"), "of before, and more")
	delta, _ = b.index(t, rag.Delta)
	require.Equal(t, int32(30), delta.Counts.Kept)
}

func TestDeathsBetweenWhichFilesProgressDoNotUseUpTheAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(20)
	var bad []string
	for i := range 4 {
		path := fmt.Sprintf("d1/f%03d.txt", 3*i+1)
		bad = append(bad, path)
	}
	b.killedBy(bad...)
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	deaths, res := b.workOn(t, v.NodeID)
	require.Greater(t, deaths, run.MaxLost)
	require.Equal(t, index.Partly, res.Outcome, "%v", res.Failure)
	v = b.view(t, v.ID)
	require.Equal(t, []int32{16, 4}, []int32{v.Counts.Done, v.Counts.Failed})
	for _, path := range bad {
		require.LessOrEqual(t, b.reads(path), 2, path)
	}
}

func TestARunThatKillsItsWorkersBeforeItsFilesFailsAsAnyNode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(3)
	b.probe.at = func(_ int, step string) error {
		if step == "sync" {
			return errors.New("out of memory")
		}
		return nil
	}
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	deaths, _ := b.workOn(t, v.NodeID)
	require.Equal(t, run.MaxLost, deaths)
	require.Equal(t, index.Failed, b.view(t, v.ID).Status)
	require.Equal(t, "lost", b.view(t, v.ID).Error.Code)
}

func TestARunOfWhichEveryFileKillsIsGivenUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(30)
	// As many as a run may lose were found before.
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	c := b.claim(t, v.NodeID)
	b.killedBy("d0/f000.txt")
	b.attempt(t.Context(), c)
	b.bury(t)
	_, err := b.db.Exec(t.Context(), `UPDATE rag_index_file SET tries = 2`)
	require.NoError(t, err)
	res, r := b.work(t, v.NodeID)
	require.Equal(t, index.Broken, res.Outcome)
	require.Equal(t, index.CodeDeadly, res.Failure.Code)
	require.False(t, res.Failure.Retryable)
	require.Contains(t, r.log(), "one at a time")
	require.Equal(t, index.Failed, b.view(t, v.ID).Status)
}

func TestAnAttemptThatEndsInGoodOrderBlamesNoFile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(9)
	b.folder.gate = make(chan struct{})
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	c := b.claim(t, v.NodeID)
	done := make(chan index.Result)
	go func() {
		res, _ := b.attempt(t.Context(), c)
		done <- res
	}()
	require.Eventually(t, func() bool { return b.number(t, `SELECT count(*) FROM rag_index_file WHERE tries > 0`) > 0 }, waitFor, tick)
	require.NoError(t, b.order(t, b.svc.PauseTx, v.ID))
	res := <-done
	b.finish(t, c, res)
	require.Equal(t, index.Suspended, res.Outcome)
	require.Zero(t, b.number(t, `SELECT count(*) FROM rag_index_file WHERE tries > 0`))
}
