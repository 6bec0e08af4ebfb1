package index_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/run"
)

func (b *bundle) retry(t *testing.T, nodeID int64) (n run.NodeRun, err error) {
	t.Helper()
	err = b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		did, err := b.engine.RetryNode(ctx, tx, nodeID, run.RetryRequest{})
		if err == nil {
			n = *did.NodeRun
		}
		return err
	})
	return n, err
}

func TestARetryHoldsItsSourceFromTheStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(2)
	first, _ := b.index(t, rag.Fresh)
	again, err := b.retry(t, first.NodeID)
	require.NoError(t, err)
	runs, err := b.svc.List(t.Context(), b.db, index.Filter{NodeRunID: again.ID, Limit: 5})
	require.NoError(t, err)
	require.Len(t, runs, 1)
	require.Equal(t, index.Queued, runs[0].Status)

	_, err = b.retry(t, first.NodeID)
	require.True(t, errs.HasReason(err, "rag.source_active"), "%v", err)
	require.Contains(t, errs.As(err).Details, errs.Detail{Location: "node_id", Message: strconv.FormatInt(again.ID, 10)})
	require.Equal(t, 2, b.number(t, `SELECT count(*) FROM node_run`), "a refused retry leaves no node")

	res, _ := b.work(t, again.ID)
	require.Equal(t, index.Done, res.Outcome)
	require.Equal(t, index.Succeeded, b.view(t, runs[0].ID).Status)
}

func TestARetryForADeletedSourceIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(1)
	first, _ := b.index(t, rag.Fresh)
	_, err := b.db.Exec(t.Context(), `UPDATE rag_source SET deleted_at = now()`)
	require.NoError(t, err)
	_, err = b.retry(t, first.NodeID)
	require.True(t, errs.HasReason(err, "rag.source_not_found"), "%v", err)
}
