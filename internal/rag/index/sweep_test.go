package index_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/index"
)

// giveUp lets an index run write all of its files, and cancels it.
func (b *bundle) giveUp(t *testing.T) {
	t.Helper()
	v := b.start(t, index.StartRequest{Mode: rag.Delta})
	c := b.claim(t, v.NodeID)
	b.stopAtSwap()
	b.attempt(t.Context(), c)
	b.probe.at = nil
	require.NoError(t, b.order(t, b.svc.CancelTx, v.ID))
	b.finish(t, c, index.Result{Outcome: index.Stopped})
}

func (b *bundle) stopAtSwap() {
	b.probe.at = func(_ int, step string) error {
		if step == "swap" {
			return errors.New("stop here")
		}
		return nil
	}
}

// A sweep that has found something to do is held up until another run has written its
// files: it waits for the lock of a file that it wants to remove.
func TestASweepThatIsUnderWayLeavesANewRunAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(4)
	b.index(t, rag.Fresh)
	b.folder.put("d0/f000.txt", "of a run that is given up")
	b.giveUp(t)

	swept := make(chan error, 1)
	err := b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM rag_file WHERE from_revision > 1 FOR UPDATE`); err != nil {
			return err
		}
		go func() {
			_, err := b.svc.Sweep(context.WithoutCancel(ctx))
			swept <- err
		}()
		require.Eventually(t, func() bool {
			var waits int
			err := b.db.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%DELETE FROM rag_file%'`).Scan(&waits)
			return err == nil && waits == 1
		}, waitFor, tick)
		// What a run that began now would do: it puts things in order, and writes.
		for _, sql := range []string{
			`DELETE FROM rag_file WHERE from_revision > 1`,
			`UPDATE rag_file SET to_revision = NULL WHERE to_revision > 1`,
			`WITH n AS (INSERT INTO node_run (project_id, flowchart_node_id, kind, title, status, max_attempts, timeout_seconds, execution_index, queue, triggers)
				VALUES (1, 'quick', 'rag_index', 'x', 'queued', 1, 60, 1, 'llmctl_studio.rag.index', '[]') RETURNING id)
			 INSERT INTO rag_index_run (rag_source_id, node_run_id, mode, status, index_revision) SELECT ` + itoa(b.source) + `, id, 'delta', 'indexing', 3 FROM n`,
			`UPDATE rag_file SET to_revision = 3 WHERE path = 'd0/f000.txt'`,
			`INSERT INTO rag_file (rag_source_id, path, from_revision, fingerprint, signature, content_hash, size, kind)
			 VALUES (` + itoa(b.source) + `, 'd0/f000.txt', 3, 'v3', 's1', '', 1, 'text')`,
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, <-swept)
	require.Equal(t, 1, b.number(t, `SELECT count(*) FROM rag_file WHERE from_revision = 3`), "the new run's file is there")
	require.Equal(t, 1, b.number(t, `SELECT count(*) FROM rag_file WHERE to_revision = 3`), "and the one that it replaces is replaced")
}

func TestARunWhoseNodeEndedWithoutItIsEndedByTheSweep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(1)
	v := b.start(t, index.StartRequest{Mode: rag.Fresh})
	// As a process of an older release does it, which knows nothing of index runs.
	_, err := b.db.Exec(t.Context(), `UPDATE node_run SET status = 'cancelled', finished_at = now() WHERE id = $1`, v.NodeID)
	require.NoError(t, err)
	_, err = b.tryStart(t, index.StartRequest{Mode: rag.Fresh})
	require.Error(t, err)

	swept, err := b.svc.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), swept.Orphans)
	require.Equal(t, index.Cancelled, b.view(t, v.ID).Status)
	v, _ = b.index(t, rag.Fresh)
	require.Equal(t, index.Succeeded, v.Status)
}

func TestFilesThatFailedUnderAnotherEmbedderAreIndexedByTheNextDelta(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(3)
	b.index(t, rag.Fresh)
	b.model = newModel(t, b.db, "two")
	first := b.start(t, index.StartRequest{Mode: rag.Delta})
	c := b.claim(t, first.NodeID)
	b.folder.lose("d0/f000.txt") // when its turn comes
	res, _ := b.attempt(t.Context(), c)
	b.finish(t, c, res)
	require.Equal(t, index.Partly, res.Outcome)
	b.folder.find("d0/f000.txt")

	v, _ := b.index(t, rag.Delta)
	require.Equal(t, int32(1), v.Counts.Changed)
	require.Equal(t, 6, b.vectors(t), "every chunk has a vector of the new model")
}

func TestFailedFilesAloneAreNotEnoughUnderAnotherEmbedder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(3)
	b.folder.put("bad.txt", "BROKEN")
	v, _ := b.index(t, rag.Fresh)
	require.Equal(t, int32(1), v.Counts.Failed)
	b.model = newModel(t, b.db, "two")
	b.folder.put("bad.txt", "mended")
	again := b.start(t, index.StartRequest{Mode: rag.Delta, OnlyFailedOf: &v.ID})
	b.work(t, again.NodeID)
	require.Equal(t, 7, b.vectors(t), "every chunk has a vector of the new model")
}

// vectors is how many visible chunks have one of the visible index's embedder.
func (b *bundle) vectors(t *testing.T) int {
	t.Helper()
	n := 0
	for _, row := range b.visible(t, b.source) {
		if fields := strings.Split(row, "|"); len(fields) == 13 {
			n++
		}
	}
	return n
}
