package realtime_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/retention"
)

// TestWhatRetentionRemovedIsAskedForAndMeansResync runs the real clean-up beside a
// real hub: who was there goes on, who comes back for what is gone is told so.
func TestWhatRetentionRemovedIsAskedForAndMeansResync(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for _, sql := range []string{
		`INSERT INTO flowchart (name, version) VALUES ('f', 1)`,
		`INSERT INTO flowchart_version (flowchart_id, number, graph, node_count) VALUES (1, 1, '{}', 1)`,
		`INSERT INTO flowchart_run (flowchart_id, flowchart_version_id, version, status, start_node_id, max_node_executions, max_parallel_nodes, finished_at)
			VALUES (1, 1, 1, 'succeeded', 's', 1, 1, now() - interval '400 days')`,
	} {
		_, err := b.db.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	const old, live = "flowchart_run:1", "flowchart_run:2"
	before, err := event.ReadSnapshot(t.Context(), b.db)
	require.NoError(t, err)
	b.commitTo(t, []string{"studio"}, old)
	b.commitTo(t, []string{"studio"}, old)
	there := b.connect(t, "there")
	there.subscribe(t, m{"rooms": []string{"studio"}})

	_, err = retention.New(b.db, realtime.RaiseHorizon).Clean(t.Context())
	require.NoError(t, err)
	head, err := event.ReadHead(t.Context(), b.db, old)
	require.NoError(t, err)
	require.Equal(t, event.Head{Last: 2, Oldest: 3}, head)

	b.commitTo(t, []string{"studio"}, live)
	there.expect(t, live, 1)

	back := b.connect(t, "back")
	a := back.subscribe(t, m{"rooms": []string{"studio"}, "position": before.String()})
	require.Equal(t, []string{"studio"}, a.Resync, "its position asks for what is gone")
	counting := b.connect(t, "counting")
	a = counting.subscribe(t, m{"rooms": []string{old}, "after": map[string]int64{old: 1}})
	require.Equal(t, []string{old}, a.Resync, "and so does its number")
	knowing := b.connect(t, "knowing")
	a = knowing.subscribe(t, m{"rooms": []string{old}, "after": map[string]int64{old: 2}})
	require.Empty(t, a.Resync, "who has seen all of it lacks nothing")

	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		days := int32(30)
		_, _, err := retention.Save(ctx, tx, 0, func(s *retention.Settings) { s.RunDays = &days })
		return err
	}))
	_, err = retention.New(b.db, realtime.RaiseHorizon).Clean(t.Context())
	require.NoError(t, err)
	late := b.connect(t, "late")
	a = late.subscribe(t, m{"rooms": []string{old}, "after": map[string]int64{old: 1}})
	require.Equal(t, []string{old}, a.Resync, "also when the stream is gone with its run")
}
