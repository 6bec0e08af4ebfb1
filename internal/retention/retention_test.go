package retention

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bundle struct {
	db      *postgres.DB
	log     *event.Log
	cleaner *Cleaner
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{db: pgtest.DB(t), log: event.NewLog(nil, time.Now)}
	b.cleaner = New(b.db, realtime.RaiseHorizon)
	b.exec(t, `INSERT INTO flowchart (name, version) VALUES ('f', 1)`)
	b.exec(t, `INSERT INTO flowchart_version (flowchart_id, number, graph, node_count) VALUES (1, 1, '{}', 1)`)
	return b
}

func (b *bundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (b *bundle) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, b.db.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// ran makes a run with one node run that ended so many days ago (0: it runs),
// with events and text.
func (b *bundle) ran(t *testing.T, days, events, texts int) (id int64) {
	t.Helper()
	status := "succeeded"
	var end *time.Time
	if days > 0 {
		end = new(time.Now().AddDate(0, 0, -days))
	} else {
		status = "running"
	}
	ctx := t.Context()
	require.NoError(t, b.db.QueryRow(ctx, `INSERT INTO flowchart_run (flowchart_id, flowchart_version_id, version, status, start_node_id,
		max_node_executions, max_parallel_nodes, finished_at) VALUES (1, 1, 1, $1, 's', 1, 1, $2) RETURNING id`, status, end).Scan(&id))
	var node int64
	require.NoError(t, b.db.QueryRow(ctx, `INSERT INTO node_run (flowchart_run_id, flowchart_id, flowchart_node_id, kind, status, timeout_seconds,
		execution_index, finished_at) VALUES ($1, 1, 's', 'start', $2, 1, 0, $3) RETURNING id`, id, status, end).Scan(&node))
	run := fmt.Sprintf("flowchart_run:%d", id)
	b.append(t, run, events, run, "studio")
	b.append(t, fmt.Sprintf("node_log:%d", node), texts, fmt.Sprintf("task:%d", node), run)
	return id
}

func (b *bundle) append(t *testing.T, stream string, n int, rooms ...string) {
	t.Helper()
	require.NoError(t, b.db.InTx(t.Context(), func(_ context.Context, tx *postgres.Tx) error {
		for range n {
			err := b.log.Append(tx, event.Draft{Stream: stream, Type: "test", EntityKind: "x", EntityID: "1", Rooms: rooms})
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

func (b *bundle) set(t *testing.T, change func(*Settings)) {
	t.Helper()
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		_, _, err := Save(ctx, tx, 0, change)
		return err
	}))
}

func (b *bundle) clean(t *testing.T) Report {
	t.Helper()
	r, err := b.cleaner.Clean(t.Context())
	require.NoError(t, err)
	require.True(t, r.Done)
	return r
}

func (b *bundle) stream(t *testing.T, name string) (event.Head, int) {
	t.Helper()
	h, err := event.ReadHead(t.Context(), b.db, name)
	require.NoError(t, err)
	return h, b.count(t, `SELECT count(*) FROM event WHERE stream = $1`, name)
}

func TestEventsAndTextGoWhenTheyAreOldAndRunsStay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	oldest, middle, young, live := b.ran(t, 200, 3, 4), b.ran(t, 100, 3, 4), b.ran(t, 1, 3, 4), b.ran(t, 0, 3, 4)
	require.Equal(t, Report{Events: 3, Text: 8, Done: true}, b.clean(t), "180 days for events, 90 for text")
	require.Equal(t, Report{Done: true}, b.clean(t))

	head, left := b.stream(t, fmt.Sprintf("flowchart_run:%d", oldest))
	require.Equal(t, event.Head{Last: 3, Oldest: 4}, head, "the stream keeps its numbers")
	require.Zero(t, left)
	_, left = b.stream(t, fmt.Sprintf("flowchart_run:%d", middle))
	require.Equal(t, 3, left)
	for _, id := range []int64{young, live} {
		require.Equal(t, 4, b.count(t, `SELECT count(*) FROM event e JOIN node_run n ON e.stream = 'node_log:' || n.id WHERE n.flowchart_run_id = $1`, id))
	}
	require.Equal(t, 4, b.count(t, `SELECT count(*) FROM flowchart_run`))
}

func TestWorkIsCutIntoSmallTransactions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 7 {
		b.ran(t, 200, 5, 11)
	}
	b.cleaner.batch, b.cleaner.events = 2, 4
	require.Equal(t, Report{Events: 35, Text: 77, Done: true}, b.clean(t))
	require.Zero(t, b.count(t, `SELECT count(*) FROM event`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM event_stream WHERE oldest_sequence <> last_sequence + 1`))
	b.ran(t, 199, 1, 1)
	require.Equal(t, Report{Events: 1, Text: 1, Done: true}, b.clean(t), "it goes on from where it was")
}

func TestQuickNodesAreRunsOfTheirOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO node_run (flowchart_node_id, kind, status, timeout_seconds, execution_index, finished_at)
		VALUES ('q', 'task', 'succeeded', 1, 0, now() - interval '200 days')`)
	b.append(t, "task:1", 2, "task:1")
	b.append(t, "node_log:1", 3, "task:1")
	require.Equal(t, Report{Events: 2, Text: 3, Done: true}, b.clean(t))
}

func TestRunsGoOnlyWhenThatIsAskedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.ran(t, 400, 2, 2)
	again := b.ran(t, 1, 2, 2)
	b.exec(t, `UPDATE flowchart_run SET retry_of = $1 WHERE id = $2`, old, again)
	b.exec(t, `UPDATE node_run SET reused_from = (SELECT id FROM node_run WHERE flowchart_run_id = $1) WHERE flowchart_run_id = $2`, old, again)
	hash, err := blob.Put(t.Context(), b.db, []byte("large"))
	require.NoError(t, err)
	b.exec(t, `UPDATE node_run SET output_blob = $1, output_bytes = 5 WHERE flowchart_run_id = $2`, []byte(hash), old)
	b.exec(t, `INSERT INTO artifact (flowchart_run_id, node_run_id, attempt, name, kind, media_type, size, blob)
		SELECT $2, id, 1, 'a', 'file', 'text/plain', 5, $1 FROM node_run WHERE flowchart_run_id = $2`, []byte(hash), old)
	b.exec(t, `UPDATE blob SET touched_at = now() - interval '1 day'`)

	b.clean(t)
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM flowchart_run`), "kept for ever")
	b.set(t, func(s *Settings) { s.RunDays = new(int32(30)) })
	require.EqualValues(t, 1, b.clean(t).Runs)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM flowchart_run WHERE id = $1 AND retry_of IS NULL`, again))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM node_run`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM event_stream WHERE name = $1`, fmt.Sprintf("flowchart_run:%d", old)))
	n, err := blob.Collect(t.Context(), b.db, time.Hour)
	require.NoError(t, err)
	require.EqualValues(t, 1, n, "nobody refers to it any more")
}

func TestQuickNodesGoWithTheRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ran(t, 1, 1, 1)
	quick := func(days int) (id int64) {
		t.Helper()
		require.NoError(t, b.db.QueryRow(t.Context(), `INSERT INTO node_run (flowchart_node_id, kind, status, timeout_seconds, execution_index, finished_at)
			VALUES ('quick', 'task', 'failed', 1, 1, $1) RETURNING id`, time.Now().AddDate(0, 0, -days)).Scan(&id))
		b.append(t, fmt.Sprintf("task:%d", id), 2, "studio")
		b.append(t, fmt.Sprintf("node_log:%d", id), 3, "studio")
		return id
	}
	old, young := quick(40), quick(1)
	b.exec(t, `UPDATE node_run SET retry_of = $1 WHERE id = $2`, old, young)
	b.exec(t, `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues) VALUES (gen_random_uuid(), 't', 'h', 1, 'v', 1, '{}')`)
	b.exec(t, `INSERT INTO node_attempt (node_run_id, number, worker_process_id, status, queued_at, deadline_at, finished_at)
		SELECT $1, 1, id, 'failed', now(), now(), now() FROM worker_process`, old)
	require.Equal(t, Report{Done: true}, b.clean(t), "they stay until somebody wants them gone")
	b.set(t, func(s *Settings) { s.RunDays = new(int32(30)) })
	require.Equal(t, Report{Runs: 1, Done: true}, b.clean(t))
	require.Zero(t, b.count(t, `SELECT count(*) FROM node_run WHERE id = $1`, old))
	require.Zero(t, b.count(t, `SELECT count(*) FROM event_stream WHERE name IN ('task:' || $1::bigint, 'node_log:' || $1::bigint)`, old))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM node_run WHERE id = $1 AND retry_of IS NULL`, young))
	_, left := b.stream(t, fmt.Sprintf("task:%d", young))
	require.Equal(t, 2, left)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM flowchart_run`))
}

func TestLastFiringOfAScheduleStays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO schedule (name, target_kind, flowchart_id, cron, time_zone, missed_policy, overlap_policy) VALUES ('s', 'flowchart', 1, '* * * * *', 'UTC', 'skip', 'skip')`)
	b.exec(t, `INSERT INTO schedule_firing (schedule_id, due_at, fired_at, origin, outcome, reason)
		SELECT 1, now() - make_interval(days => d), now() - make_interval(days => d), 'due', 'failed', 'x' FROM unnest(ARRAY[400, 300, 200]) d`)
	require.Equal(t, Report{Firings: 2, Done: true}, b.clean(t))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM schedule_firing WHERE fired_at > now() - interval '201 days'`))
}

// downloaded makes a download that ended so many days ago (0: it waits), with events.
func (b *bundle) downloaded(t *testing.T, days, events int) (id int64) {
	t.Helper()
	status := "queued"
	var end *time.Time
	if days > 0 {
		status, end = "failed", new(time.Now().AddDate(0, 0, -days))
	}
	require.NoError(t, b.db.QueryRow(t.Context(), `INSERT INTO download_job (repo_id, revision, commit_id, target, status, bytes_total, files_total, finished_at)
		VALUES ('o/m', 'main', 'c', gen_random_uuid()::text, $1, 1, 1, $2) RETURNING id`, status, end).Scan(&id))
	stream := fmt.Sprintf("download_job:%d", id)
	b.append(t, stream, events, stream, "studio")
	return id
}

func TestEventsOfDownloadsGoWhenTheyAreOld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cleaner.batch, b.cleaner.events = 2, 4
	old := []int64{b.downloaded(t, 200, 3), b.downloaded(t, 190, 3), b.downloaded(t, 181, 3)}
	young, live := b.downloaded(t, 100, 3), b.downloaded(t, 0, 3)
	require.Equal(t, Report{Events: 9, Done: true}, b.clean(t))
	for _, id := range old {
		head, left := b.stream(t, fmt.Sprintf("download_job:%d", id))
		require.Equal(t, event.Head{Last: 3, Oldest: 4}, head, "the stream keeps its numbers")
		require.Zero(t, left)
	}
	for _, id := range []int64{young, live} {
		_, left := b.stream(t, fmt.Sprintf("download_job:%d", id))
		require.Equal(t, 3, left)
	}
	require.Equal(t, 5, b.count(t, `SELECT count(*) FROM download_job`))
}

func TestStreamsOfDeletedDownloadsGoWhenTheirLastEventIsOld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cleaner.batch, b.cleaner.events = 2, 4
	kept := b.downloaded(t, 1, 2)
	for range 3 {
		b.downloaded(t, 1, 3)
	}
	b.exec(t, `DELETE FROM download_job WHERE id <> $1`, kept)
	require.Equal(t, Report{Done: true}, b.clean(t), "they are young")
	b.exec(t, `UPDATE event SET emitted_at = now() - interval '181 days' WHERE stream <> 'download_job:2'`)
	require.Equal(t, Report{Events: 6, Done: true}, b.clean(t))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM event_stream`))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM event WHERE stream = $1`, fmt.Sprintf("download_job:%d", kept)))
	require.Equal(t, 3, b.count(t, `SELECT count(*) FROM event WHERE stream = 'download_job:2'`))
}

func TestEndedWorkersGoWhenNothingRefersToThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cleaner.batch = 2
	worker := func(what, end string) {
		b.exec(t, `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, stopped_at, tombstone_at)
			VALUES (gen_random_uuid(), 't', $1, 1, 'v', 1, '{}', `+end+`)`, what)
	}
	const old = `now() - interval '31 days'`
	for range 5 {
		worker("gone", old+", NULL")
		worker("gone", "NULL, "+old)
	}
	for _, what := range []string{"node", "fetched", "fetches"} {
		worker(what, "NULL, "+old)
	}
	worker("young", `now() - interval '29 days', NULL`)
	worker("lives", "NULL, NULL")
	b.ran(t, 1, 0, 0)
	b.exec(t, `INSERT INTO node_attempt (node_run_id, number, worker_process_id, status, executor, queued_at, deadline_at, finished_at)
		SELECT 1, 1, id, 'succeeded', 'inline', now(), now(), now() FROM worker_process WHERE hostname = 'node'`)
	b.downloaded(t, 0, 0)
	b.exec(t, `INSERT INTO download_attempt (download_job_id, number, worker_process_id, status, bytes_before, finished_at)
		SELECT 1, 1, id, 'lost', 0, now() FROM worker_process WHERE hostname = 'fetched'`)
	b.exec(t, `UPDATE download_job SET status = 'planning', worker_process_id = (SELECT id FROM worker_process WHERE hostname = 'fetches')`)

	require.Equal(t, Report{Workers: 10, Done: true}, b.clean(t))
	require.Equal(t, 5, b.count(t, `SELECT count(*) FROM worker_process WHERE hostname <> 'gone'`))
	b.exec(t, `DELETE FROM node_attempt`)
	require.Equal(t, Report{Workers: 1, Done: true}, b.clean(t))
}

func TestNothingIsRemovedForEver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ran(t, 4000, 3, 3)
	b.set(t, func(s *Settings) { *s = Settings{} })
	require.Equal(t, Report{Done: true}, b.clean(t))
	s, revision, err := Load(t.Context(), b.db)
	require.NoError(t, err)
	require.Equal(t, Settings{}, s)
	require.EqualValues(t, 2, revision)
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	save := func(revision int64, days int32) error {
		return b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
			_, _, err := Save(ctx, tx, revision, func(s *Settings) { s.TextDays, s.RunDays = &days, &days })
			return err
		})
	}
	require.NoError(t, save(1, 5))
	require.True(t, errs.Is(save(1, 6), errs.Precondition))
	err := save(2, 0)
	require.Equal(t, "body.run_days", errs.As(err).Details[0].Location)
	require.Equal(t, "is 0; accepted are 1 to 36500, or null for ever", errs.As(err).Details[1].Message)
}

func TestHorizonCoversWhatWasRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ran(t, 200, 3, 0)
	var youngest string
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT max(xid::text::numeric)::text FROM event`).Scan(&youngest))
	b.clean(t)
	horizon, err := realtime.ReadHorizon(t.Context(), b.db)
	require.NoError(t, err)
	require.Equal(t, youngest, fmt.Sprint(horizon))
}

// failing refuses the horizon, and with it the removal.
func failing(context.Context, postgres.Querier, uint64) error { return pgx.ErrTxClosed }

func TestNothingIsRemovedWithoutTheHorizon(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ran(t, 200, 3, 3)
	b.cleaner = New(b.db, failing)
	_, err := b.cleaner.Clean(t.Context())
	require.ErrorIs(t, err, pgx.ErrTxClosed)
	require.Equal(t, 6, b.count(t, `SELECT count(*) FROM event`))
}

func TestWhatPodsWroteGoesWithTheText(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old, young := b.ran(t, 100, 0, 2), b.ran(t, 10, 0, 2)
	b.exec(t, `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues) VALUES (gen_random_uuid(), 't', 'h', 1, 'v', 1, '{}')`)
	b.exec(t, `INSERT INTO node_attempt (node_run_id, number, worker_process_id, status, executor, queued_at, deadline_at, finished_at)
		SELECT n.id, 1, w.id, 'succeeded', 'kubernetes', now(), now(), now() FROM node_run n, worker_process w`)
	b.exec(t, `INSERT INTO attempt_pod_log (node_run_id, number, seq, text) SELECT node_run_id, 1, 1, 'x' FROM node_attempt`)
	b.clean(t)
	require.Equal(t, 0, b.count(t, `SELECT count(*) FROM attempt_pod_log l JOIN node_run n ON n.id = l.node_run_id WHERE n.flowchart_run_id = $1`, old))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM attempt_pod_log l JOIN node_run n ON n.id = l.node_run_id WHERE n.flowchart_run_id = $1`, young))
	b.set(t, func(s *Settings) { s.RunDays = new(int32(5)) })
	b.clean(t)
	require.Zero(t, b.count(t, `SELECT count(*) FROM node_attempt`), "and both go with the run")
}
