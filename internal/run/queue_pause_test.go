package run_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/run"
)

func TestNodeRunsOfAPausedQueueAreNotClaimed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{"start": "start", "a": script(""), "b": script(""), "end": "end"}, "start->a a->b b->end")
	r := b.start(t, id, `{}`)
	first, _ := b.jobs.take()
	claim, err := b.engine.Claim(t.Context(), first.NodeRunID, b.worker)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `INSERT INTO queue_pause (queue) VALUES ('llmctl_studio')`)
	require.NoError(t, err)

	// The worker would go on with b, without a job; the pause holds for that, too.
	next, err := b.engine.Finish(t.Context(), claim.NodeRun.ID, claim.Attempt, ok(`{"stdout":"a"}`), run.FinishOptions{Next: &b.worker})
	require.NoError(t, err)
	require.Nil(t, next)
	job, found := b.jobs.take()
	require.True(t, found, "b waits with a job of its own")
	claim, err = b.engine.Claim(t.Context(), job.NodeRunID, b.worker)
	require.NoError(t, err)
	require.Nil(t, claim)

	_, err = b.db.Exec(t.Context(), `DELETE FROM queue_pause`)
	require.NoError(t, err)
	claim, err = b.engine.Claim(t.Context(), job.NodeRunID, b.worker)
	require.NoError(t, err)
	require.NotNil(t, claim)
	_, err = b.engine.Finish(t.Context(), claim.NodeRun.ID, claim.Attempt, ok(`{"stdout":"b"}`), run.FinishOptions{})
	require.NoError(t, err)
	got, _ := b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
}
