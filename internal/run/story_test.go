package run_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/run"
)

func TestAttemptsNameTheirWorkerAndWhyTheyEnded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{"start": "start", "a": script(`"retry":{"max_attempts":2,"backoff_seconds":0}`), "end": "end"}, "start->a a->end")
	r := b.start(t, id, `{}`)
	b.claim(t, r.ID, "a")
	first := b.worker
	_, err := b.db.Exec(t.Context(), `UPDATE worker_process SET tombstone_at = now(), hostname = 'gone', pid = 77 WHERE id = $1`, first)
	require.NoError(t, err)
	_, err = b.engine.Recover(t.Context())
	require.NoError(t, err)
	b.worker = b.newWorker(t)
	for _, res := range []run.Result{
		{Status: run.Lost, Error: &run.Failure{Code: run.CodeHandedOver}},
		{Status: run.Failed, Error: &run.Failure{Code: run.CodeTimeout, Retryable: true}},
		ok(`{"stdout":"a"}`),
	} {
		b.finish(t, b.claim(t, r.ID, "a"), res)
	}
	d, err := b.engine.GetNode(t.Context(), b.nodeRunID(t, r.ID, "a"))
	require.NoError(t, err)
	var ends []string
	for _, a := range d.Attempts {
		ends = append(ends, run.Ended(&a.Attempt))
	}
	require.Equal(t, []string{run.EndWorkerDied, run.EndHandedOver, run.EndTimedOut, run.EndSucceeded}, ends)
	w := d.Attempts[0].Worker
	require.Equal(t, first, w.ID)
	require.Equal(t, "gone", w.Hostname)
	require.Equal(t, int32(77), w.PID)
	require.NotNil(t, w.TombstoneAt)
	require.Nil(t, d.Attempts[3].Worker.TombstoneAt)
	require.Equal(t, int32(1), d.NodeRun.Lost, "a hand-over is no loss")
	require.Equal(t, int32(1), d.NodeRun.Failures)
}
