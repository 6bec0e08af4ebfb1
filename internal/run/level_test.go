package run_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/run"
)

func TestRetrievalIsNotStartedWhileAWorkerDoesNotKnowIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asks := b.flowchart(t, map[string]string{"start": "start", "look": "rag"}, "start->look")
	other := b.flowchart(t, map[string]string{"start": "start", "work": `script {"command":["true"]}`}, "start->work")
	done := b.start(t, asks, `{}`)
	old := b.newWorker(t)
	_, err := b.db.Exec(t.Context(), `UPDATE worker_process SET level = 4 WHERE id = $1`, old)
	require.NoError(t, err)
	b.jobs.jobs = nil

	_, err = b.engine.Start(t.Context(), run.StartRequest{FlowchartID: asks})
	requireReason(t, err, run.ReasonOldWorker)
	require.Contains(t, errs.As(err).Message, "nodes of the kind rag")
	_, err = b.db.Exec(t.Context(), `UPDATE flowchart_run SET status = 'failed', finished_at = now() WHERE id = $1`, done.ID)
	require.NoError(t, err)
	_, err = b.retry(t, done.ID, 0, 0)
	requireReason(t, err, run.ReasonOldWorker)
	for _, kind := range []string{"rag", "rag_index"} {
		_, err = b.quickNode(t, run.NodeRequest{Kind: kind, Config: json.RawMessage(`{}`)})
		requireReason(t, err, run.ReasonOldWorker)
	}
	require.Empty(t, b.jobs.jobs)
	b.start(t, other, `{}`) // what it knows goes on

	_, err = b.db.Exec(t.Context(), `UPDATE worker_process SET stopped_at = now() WHERE id = $1`, old)
	require.NoError(t, err)
	b.start(t, asks, `{}`)
}
