package retention

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/realtime"
)

// source makes one with events of its stream.
func (b *bundle) source(t *testing.T, name string, events int) (id int64, stream string) {
	t.Helper()
	require.NoError(t, b.db.QueryRow(t.Context(), `INSERT INTO rag_source (name, kind, config) VALUES ($1, 'local', '{}') RETURNING id`, name).Scan(&id))
	stream = fmt.Sprintf("rag_source:%d", id)
	b.append(t, stream, events, stream, "studio")
	return id, stream
}

func TestOldEventsOfASourceGoWhileItLives(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cleaner.batch, b.cleaner.events = 2, 4
	_, stream := b.source(t, "busy", 13)
	_, quiet := b.source(t, "quiet", 3)
	b.exec(t, `UPDATE event SET emitted_at = now() - interval '181 days' WHERE stream = $1 AND sequence <= 9 OR stream = $2`, stream, quiet)
	// One that is stamped late stays in its place: a stream never has holes.
	b.exec(t, `UPDATE event SET emitted_at = now() - interval '181 days' WHERE stream = $1 AND sequence = 11`, stream)
	var youngest uint64
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT max(xid::text::numeric)::bigint FROM event WHERE stream = $1`, quiet).Scan(&youngest))
	require.Equal(t, Report{Events: 12, Done: true}, b.clean(t))
	head, left := b.stream(t, stream)
	require.Equal(t, event.Head{Last: 13, Oldest: 10}, head)
	require.Equal(t, 4, left)
	head, left = b.stream(t, quiet)
	require.Equal(t, event.Head{Last: 3, Oldest: 4}, head, "the stream stays while the source does")
	require.Zero(t, left)
	horizon, err := realtime.ReadHorizon(t.Context(), b.db)
	require.NoError(t, err)
	require.Equal(t, youngest, horizon, "who resumes from before is told")
	require.Equal(t, Report{Done: true}, b.clean(t))
	b.append(t, quiet, 1, quiet)
	head, _ = b.stream(t, quiet)
	require.Equal(t, event.Head{Last: 4, Oldest: 4}, head, "it goes on with its numbers")
	b.set(t, func(s *Settings) { s.EventDays = nil })
	b.exec(t, `UPDATE event SET emitted_at = now() - interval '5 years'`)
	require.Equal(t, Report{Done: true}, b.clean(t), "for ever")
}

func TestStreamOfARemovedSourceGoesWhenItsLastEventIsOld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cleaner.batch, b.cleaner.events = 2, 4
	_, kept := b.source(t, "kept", 2)
	id, gone := b.source(t, "gone", 9)
	b.exec(t, `DELETE FROM rag_source WHERE id = $1`, id)
	require.Equal(t, Report{Done: true}, b.clean(t), "its deletion is news")
	b.exec(t, `UPDATE event SET emitted_at = now() - interval '181 days' WHERE stream = $1`, gone)
	require.Equal(t, Report{Events: 9, Done: true}, b.clean(t))
	require.Zero(t, b.count(t, `SELECT count(*) FROM event_stream WHERE name = $1`, gone))
	_, left := b.stream(t, kept)
	require.Equal(t, 2, left)
}

func TestJournalsOfIndexRunsGoInPieces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cleaner.batch, b.cleaner.events = 2, 4
	src, _ := b.source(t, "docs", 0)
	b.exec(t, `CREATE TABLE removed_lines (xid xid8, n bigint)`)
	b.exec(t, `CREATE FUNCTION note_removed() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO removed_lines SELECT pg_current_xact_id(), count(*) FROM gone; RETURN NULL; END $$`)
	b.exec(t, `CREATE TRIGGER note_removed AFTER DELETE ON rag_index_file REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_removed()`)
	inRun := b.ran(t, 40, 0, 0)
	b.exec(t, `INSERT INTO node_run (flowchart_node_id, kind, status, timeout_seconds, execution_index, finished_at)
		VALUES ('quick', 'rag_index', 'succeeded', 1, 1, now() - interval '40 days')`)
	b.exec(t, `INSERT INTO rag_index_run (rag_source_id, node_run_id, mode, status, index_revision, finished_at)
		SELECT $1, id, 'delta', 'succeeded', id, now() FROM node_run`, src)
	b.exec(t, `INSERT INTO rag_index_file (rag_index_run_id, path, action) SELECT r.id, 'f' || i, 'add' FROM rag_index_run r, generate_series(1, 11) i`)
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM rag_index_run r JOIN node_run n ON n.id = r.node_run_id WHERE n.flowchart_run_id = $1 OR n.flowchart_run_id IS NULL`, inRun))

	b.set(t, func(s *Settings) { s.RunDays = new(int32(30)) })
	require.Equal(t, Report{Runs: 2, Done: true}, b.clean(t))
	require.Zero(t, b.count(t, `SELECT count(*) FROM rag_index_run`))
	require.Equal(t, 22, b.count(t, `SELECT sum(n) FROM removed_lines`))
	require.LessOrEqual(t, b.count(t, `SELECT max(n) FROM (SELECT sum(n) AS n FROM removed_lines GROUP BY xid) x`), 4)
}
