package queue

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func newBoard(t *testing.T, db *postgres.DB, c *Client) *Board {
	t.Helper()
	if c == nil {
		var err error
		c, err = NewClient(Options{DB: db, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
	}
	return NewBoard(db, c, event.NewLog(nil, time.Now), time.Now)
}

// seen reads anew, whatever was read just before.
func seen(t *testing.T, b *Board) Snapshot {
	t.Helper()
	b.forget()
	s, err := b.Snapshot(t.Context())
	require.NoError(t, err)
	return s
}

func exec(t *testing.T, db *postgres.DB, sql string, args ...any) {
	t.Helper()
	_, err := db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func addWorker(t *testing.T, db *postgres.DB, slots int, set string, queues ...string) uuid.UUID {
	t.Helper()
	id := uuid.New()
	exec(t, db, `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues) VALUES ($1, 'test', 'h', 1, 'v', $2, $3)`, id, slots, queues)
	if set != "" {
		exec(t, db, `UPDATE worker_process SET `+set+` WHERE id = $1`, id)
	}
	return id
}

// hold makes a node run that a worker holds.
func hold(t *testing.T, db *postgres.DB, worker uuid.UUID, queue string) int64 {
	t.Helper()
	var id int64
	require.NoError(t, db.QueryRow(t.Context(), `INSERT INTO node_run (flowchart_node_id, kind, title, status, attempt, timeout_seconds, execution_index, queue)
		VALUES ('a', 'script', 'A', 'running', 1, 60, 1, $1) RETURNING id`, queue).Scan(&id))
	exec(t, db, `INSERT INTO node_attempt (node_run_id, number, worker_process_id, status, executor, queued_at, deadline_at)
		VALUES ($1, 1, $2, 'running', 'process', now(), now() + interval '1 minute')`, id, worker)
	return id
}

// fetch makes a download that a worker holds.
func fetch(t *testing.T, db *postgres.DB, worker uuid.UUID, status string) int64 {
	t.Helper()
	var id int64
	require.NoError(t, db.QueryRow(t.Context(), `INSERT INTO download_job (repo_id, revision, commit_id, target, status, attempt, worker_process_id, bytes_total, files_total)
		VALUES ('own/er', 'main', 'c0ffee', 'm' || gen_random_uuid(), $1, 2, $2, 10, 1) RETURNING id`, status, worker).Scan(&id))
	exec(t, db, `INSERT INTO download_attempt (download_job_id, number, worker_process_id, status, bytes_before, finished_at)
		VALUES ($1, 1, $2, 'lost', 0, now()), ($1, 2, $2, 'running', 0, NULL)`, id, worker)
	return id
}

func TestDownloadsTakeSlotsAsNodeRunsDo(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	b := newBoard(t, db, nil)
	worker := addWorker(t, db, 3, "", Default, Downloads)
	node := hold(t, db, worker, Default)
	first, second := fetch(t, db, worker, "downloading"), fetch(t, db, worker, "cancelling")

	s := seen(t, b)
	require.Len(t, s.Workers, 1)
	require.Equal(t, StateBusy, s.Workers[0].State)
	held := s.Workers[0].Held
	require.Len(t, held, 3)
	require.Equal(t, []int64{node, first, second}, []int64{held[0].ID, held[1].ID, held[2].ID}, "the oldest first")
	for _, h := range held[1:] {
		require.WithinDuration(t, s.At, h.Since, time.Minute)
	}
	one := held[1]
	one.Since = time.Time{}
	require.Equal(t, Holding{Kind: TargetDownload, ID: first, Attempt: 2, Queue: Downloads, Title: "own/er", Status: "running", Stage: "downloading"}, one)
	require.Equal(t, "cancelling", held[2].Status)
	require.Equal(t, 2, s.queue(Downloads).Running)
	require.Zero(t, s.queue(Downloads).FreeSlots)

	running, err := b.Jobs(t.Context(), JobQuery{Queue: Downloads, State: JobsRunning, Limit: 10})
	require.NoError(t, err)
	require.Len(t, running, 2)
	require.Equal(t, Target{Kind: TargetDownload, ID: first, Title: "own/er", Status: "downloading"}, *running[0].Target)
	require.Equal(t, []string{"download", "h"}, []string{running[0].Kind, running[0].Worker})
	require.Equal(t, int32(2), running[0].Attempt)
	next, err := b.Jobs(t.Context(), JobQuery{Queue: Downloads, State: JobsRunning, Limit: 10, After: running[0].Due, AfterID: running[0].ID})
	require.NoError(t, err)
	require.Equal(t, running[1:], next)
}

func TestJobsOfDownloadsShowWhatTheyBring(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	b := newBoard(t, db, nil)
	var id int64
	require.NoError(t, db.QueryRow(t.Context(), `INSERT INTO download_job (repo_id, revision, commit_id, target, status, attempt, bytes_total, files_total)
		VALUES ('own/er', 'main', 'c0ffee', 'm', 'queued', 4, 10, 1) RETURNING id`).Scan(&id))
	require.NoError(t, insert(t, db, b.client, Pointer{Kind: TargetDownload, ID: id, Queue: Downloads}))
	jobs, err := b.Jobs(t.Context(), JobQuery{Queue: Downloads, State: JobsWaiting, Limit: 10})
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	want := Target{Kind: TargetDownload, ID: id, Title: "own/er", Status: "queued"}
	require.Equal(t, want, *jobs[0].Target)
	require.Equal(t, int32(4), jobs[0].Attempt)

	exec(t, db, `UPDATE river_job SET state = 'discarded', finalized_at = now()`)
	dead, err := b.Dead(t.Context(), DeadQuery{Queue: Downloads, Limit: 10})
	require.NoError(t, err)
	require.Len(t, dead, 1)
	require.Equal(t, want, *dead[0].Target)
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error { return b.RetryJob(ctx, tx, &dead[0]) }))
}

func TestWorkersAreToldWithWhatTheyAre(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	b := newBoard(t, db, nil)
	want := map[uuid.UUID]State{
		addWorker(t, db, 2, "", Default):                                        StateReady,
		addWorker(t, db, 2, "draining_at = now()", Default):                     StateDraining,
		addWorker(t, db, 2, "beat_at = now() - interval '9 seconds'", Default):  StateSuspect,
		addWorker(t, db, 2, "tombstone_at = now()", Default):                    StateDead,
		addWorker(t, db, 2, "stopped_at = now() - interval '59 min'", Default):  StateStopped,
		addWorker(t, db, 2, "draining_at = now(), stopped_at = now()", Default): StateStopped,
	}
	busy := addWorker(t, db, 1, "", RAGGit)
	id := hold(t, db, busy, RAGGit)
	want[busy] = StateBusy
	addWorker(t, db, 2, "stopped_at = now() - interval '61 min'", Default)
	addWorker(t, db, 0, "stopped_at = now()", Default) // of an import

	s := seen(t, b)
	got := map[uuid.UUID]State{}
	for _, w := range s.Workers {
		got[w.ID] = w.State
		if w.ID == busy {
			require.Len(t, w.Held, 1)
			h := w.Held[0]
			require.Equal(t, id, h.ID)
			require.Equal(t, []string{"node_run", "script", "A", "running", "process", RAGGit}, []string{h.Kind, h.NodeKind, h.Title, h.Status, h.Executor, h.Queue})
			require.WithinDuration(t, s.At, h.Since, time.Minute)
		}
	}
	require.Equal(t, want, got, "those that ended more than an hour ago are gone")
	require.True(t, s.Workers[0].Live(), "live ones come first")
	require.False(t, s.Workers[len(s.Workers)-1].Live())

	total, taken := s.Slots()
	require.Equal(t, []int{7, 1}, []int{total, taken}, "the sum over live workers")
	q := s.queue(Default)
	require.Equal(t, []int{1, 1, 2, 2}, []int{q.Consumers, q.DrainingConsumers, q.Slots, q.FreeSlots})
	git := s.queue(RAGGit)
	require.Equal(t, []int{1, 1, 1, 0}, []int{git.Running, git.Consumers, git.Slots, git.FreeSlots})
}

func TestAllQueuesAreShownAndWhatWaitsWithoutAConsumer(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	b := newBoard(t, db, nil)
	s := seen(t, b)
	var names []string
	for _, q := range s.Queues {
		names = append(names, q.Name)
		require.False(t, q.NoConsumer(), "nothing waits")
	}
	require.Equal(t, Names(), names)

	require.NoError(t, insert(t, db, b.client,
		Pointer{Kind: "thing", ID: 1, Queue: Downloads}, Pointer{Kind: "thing", ID: 2, Queue: Downloads},
		Pointer{Kind: "thing", ID: 3, Queue: RAGIndex, At: time.Now().Add(time.Hour)}))
	exec(t, db, `UPDATE river_job SET scheduled_at = now() - interval '90 seconds' WHERE args @> '{"id": 2}'`)
	worker := addWorker(t, db, 2, "", RAGIndex)
	s = seen(t, b)
	q := s.queue(Downloads)
	require.Equal(t, []int{2, 0}, []int{q.Waiting, q.Scheduled})
	require.True(t, q.NoConsumer())
	require.WithinDuration(t, s.At.Add(-90*time.Second), *q.WaitingSince, time.Second)
	q = s.queue(RAGIndex)
	require.Equal(t, []int{0, 1}, []int{q.Waiting, q.Scheduled})
	require.False(t, q.NoConsumer())
	require.Nil(t, q.WaitingSince)

	exec(t, db, `UPDATE worker_process SET draining_at = now() WHERE id = $1`, worker)
	s = seen(t, b)
	require.True(t, s.queue(RAGIndex).NoConsumer(), "it takes nothing")
}

func TestFiguresAreReadOnceASecondHoweverManyAsk(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	b := newBoard(t, db, nil)
	now := time.Now()
	b.now = func() time.Time { return now }
	first, err := b.Snapshot(t.Context())
	require.NoError(t, err)
	again, err := b.Snapshot(t.Context())
	require.NoError(t, err)
	require.Equal(t, first.At, again.At)
	now = now.Add(freshEnough)
	later, err := b.Snapshot(t.Context())
	require.NoError(t, err)
	require.True(t, later.At.After(first.At))
}

func TestCountsOfSeveralProcessesAddUp(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	now := time.Now()
	one, two := NewMeter(db, slog.New(slog.DiscardHandler), func() time.Time { return now }), NewMeter(db, slog.New(slog.DiscardHandler), func() time.Time { return now })
	one.Enqueued(Default, 3)
	one.Worked(Default, time.Millisecond, 40*time.Millisecond, false)
	one.Worked(RAGGit, 0, time.Hour, true)
	require.NoError(t, one.Flush(t.Context()))
	two.Worked(Default, 20*time.Minute, 40*time.Millisecond, true)
	require.NoError(t, two.Flush(t.Context()))
	one.Enqueued(Default, 1)
	require.NoError(t, one.Flush(t.Context()))
	require.NoError(t, one.Flush(t.Context()), "nothing to write")

	b := newBoard(t, db, nil)
	s := seen(t, b)
	q := s.queue(Default)
	require.Len(t, q.Minutes, 1)
	m := q.Minutes[0]
	require.Equal(t, []int64{4, 2, 1}, []int64{m.Enqueued, m.Finished, m.Failed})
	waited, took := q.Distributions()
	require.Equal(t, []int64{1, 1, 2}, []int64{waited[0], waited[len(waited)-2], took[5]}, "by bucket, the bound included")
	_, took = s.queue(RAGGit).Distributions()
	require.Equal(t, int64(1), took[len(took)-1], "beyond the last bound")
	var nobody *Meter
	nobody.Enqueued(Default, 1)
	nobody.Worked(Default, 0, 0, false)
}

func TestWhatCannotBeWrittenIsKept(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	m := NewMeter(db, slog.New(slog.DiscardHandler), time.Now)
	m.Enqueued(Default, 2)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, m.Flush(gone))
	m.Enqueued(Default, 1)
	require.NoError(t, m.Flush(t.Context()))
	var n int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT sum(enqueued) FROM queue_minute`).Scan(&n))
	require.Equal(t, 3, n)
}

func TestMinutesAreForgottenAfterADay(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	now := time.Now().Add(-25 * time.Hour)
	m := NewMeter(db, slog.New(slog.DiscardHandler), func() time.Time { return now })
	m.Enqueued(Default, 1)
	require.NoError(t, m.Flush(t.Context()))
	now = time.Now()
	m.Enqueued(Default, 1)
	require.NoError(t, m.Flush(t.Context()))
	var n int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM queue_minute`).Scan(&n))
	require.Equal(t, 1, n)
}

func TestRatesSlideOverMinutes(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 10, 15, 0, time.UTC)
	minute := at.Truncate(time.Minute)
	q := Stats{Minutes: []Minute{
		{Minute: minute.Add(-5 * time.Minute), Enqueued: 100},
		{Minute: minute.Add(-time.Minute), Enqueued: 60, Finished: 40},
		{Minute: minute, Enqueued: 15},
	}}
	in, out := q.Rates(at)
	require.InDelta(t, 15+.75*60, in.M1, .001, "three quarters of the minute before")
	require.InDelta(t, (15+60+.75*100)/5, in.M5, .001)
	require.InDelta(t, 175.0/60, in.M60, .001)
	require.InDelta(t, 30, out.M1, .001)
	hour := q.Hour(at)
	require.Len(t, hour, shownMinutes)
	require.Equal(t, []int64{15, 60, 0}, []int64{hour[59].Enqueued, hour[58].Enqueued, hour[57].Enqueued})
	require.Equal(t, minute.Add(-59*time.Minute), hour[0].Minute)
}

func TestQuantilesLieWithinTheirBucket(t *testing.T) {
	t.Parallel()
	counts := make([]int64, len(Bounds())+1)
	_, ok := Quantile(counts, .5)
	require.False(t, ok)
	counts[2] = 4 // 2.5 to 5 ms
	v, ok := Quantile(counts, .5)
	require.True(t, ok)
	require.InDelta(t, .00375, v, 1e-9)
	counts[len(counts)-1] = 100
	v, _ = Quantile(counts, .99)
	require.InDelta(t, 1800, v, 0, "the last bound is all that is known")
}

func TestJobsAreListedByWhatIsAskedOfThem(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	b := newBoard(t, db, nil)
	worker := addWorker(t, db, 2, "", Default)
	held := hold(t, db, worker, Default)
	var waits int64
	require.NoError(t, db.QueryRow(t.Context(), `INSERT INTO node_run (flowchart_node_id, kind, title, status, timeout_seconds, execution_index)
		VALUES ('b', 'task', 'B', 'queued', 60, 1) RETURNING id`).Scan(&waits))
	now := time.Now()
	require.NoError(t, insert(t, db, b.client,
		Pointer{Kind: KindNode, ID: waits, Queue: Default}, Pointer{Kind: KindNode, ID: 999_999, Queue: Default},
		Pointer{Kind: KindNode, ID: waits, Queue: Default, At: now.Add(time.Hour)}, Pointer{Kind: KindNode, ID: waits, Queue: RAGGit}))

	list := func(q JobQuery) []Job {
		jobs, err := b.Jobs(t.Context(), q)
		require.NoError(t, err)
		return jobs
	}
	jobs := list(JobQuery{Queue: Default, State: JobsWaiting, Limit: 10})
	require.Len(t, jobs, 2)
	require.Equal(t, Target{Kind: "node_run", ID: waits, NodeKind: "task", Title: "B", Status: "queued"}, *jobs[0].Target)
	require.Nil(t, jobs[1].Target, "its row is gone")
	next := list(JobQuery{Queue: Default, State: JobsWaiting, Limit: 10, After: jobs[0].Due, AfterID: jobs[0].ID})
	require.Equal(t, jobs[1:], next)
	require.Len(t, list(JobQuery{Queue: Default, State: JobsScheduled, Limit: 10}), 1)
	running := list(JobQuery{Queue: Default, State: JobsRunning, Limit: 10})
	require.Len(t, running, 1)
	require.Equal(t, held, running[0].Target.ID)
	require.Equal(t, "h", running[0].Worker)
	_, err := b.Jobs(t.Context(), JobQuery{Queue: "nope", Limit: 1})
	require.True(t, errs.HasReason(err, "queue.not_found"), "%v", err)
}

func TestDeadIsWhatFailedForGoodAndWhatRiverGaveUp(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	b := newBoard(t, db, nil)
	exec(t, db, `INSERT INTO node_run (flowchart_node_id, kind, title, status, attempt, failures, lost, timeout_seconds, execution_index, error, finished_at)
		SELECT 'n' || i, 'script', 'N' || i, s, 3, 1, 2, 60, 1, jsonb_build_object('code', c, 'message', 'because'), now()
		FROM (VALUES (1, 'failed', 'exit'), (2, 'failed', 'lost'), (3, 'cancelled', 'x')) v (i, s, c)`)
	require.NoError(t, insert(t, db, b.client, Pointer{Kind: "strange", ID: 1, Queue: Default}, Pointer{Kind: "strange", ID: 2, Queue: Default}))
	exec(t, db, `UPDATE river_job SET state = 'discarded', finalized_at = now(), attempt = 1,
		errors = array_append(errors, '{"error": "unhandled kind", "attempt": 1}'::jsonb) WHERE args @> '{"id": 1}'`)

	list := func(q DeadQuery) []DeadLetter {
		q.Queue = Default
		got, err := b.Dead(t.Context(), q)
		require.NoError(t, err)
		return got
	}
	all := list(DeadQuery{Limit: 10})
	require.Len(t, all, 3)
	require.Equal(t, []string{"lost", "exit", CodeDiscarded}, []string{all[0].Code, all[1].Code, all[2].Code}, "newest first, then jobs")
	require.Equal(t, "because", all[0].Message)
	require.Equal(t, []int32{3, 1, 2}, []int32{all[0].Attempts, all[0].Failures, all[0].Lost})
	require.Equal(t, "unhandled kind", all[2].Message)
	require.Equal(t, all[1:], list(DeadQuery{Limit: 10, Before: all[0].DeadID}))
	require.Equal(t, all[:1], list(DeadQuery{Limit: 10, Code: "lost"}))
	require.Equal(t, all[2:], list(DeadQuery{Limit: 10, Kind: DeadJob}))
	require.Equal(t, all[:2], list(DeadQuery{Limit: 10, Kind: DeadNode}))
	byID, err := b.DeadByID(t.Context(), Default, []DeadID{all[1].DeadID, {DeadJob, 1 << 40}})
	require.NoError(t, err)
	require.Equal(t, all[1:2], byID)
	s := seen(t, b)
	require.Equal(t, []int{3, 1}, []int{s.queue(Default).Dead, s.queue(Default).Discarded})

	for _, text := range []string{"", "55", "node_run-", "node_run-x", "node_run--1", "cat-1", "job-0"} {
		_, err := ParseDeadID(text)
		require.True(t, errs.HasReason(err, "queue.dead_id"), text)
	}
	id, err := ParseDeadID(all[2].String())
	require.NoError(t, err)
	require.Equal(t, all[2].DeadID, id)
}

func TestDiscardedJobIsRetriedOnlyIfItsRowWaits(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	b := newBoard(t, db, nil)
	var waits int64
	require.NoError(t, db.QueryRow(t.Context(), `INSERT INTO node_run (flowchart_node_id, kind, status, timeout_seconds, execution_index)
		VALUES ('b', 'task', 'queued', 60, 1) RETURNING id`).Scan(&waits))
	require.NoError(t, insert(t, db, b.client, Pointer{Kind: KindNode, ID: waits, Queue: Default}, Pointer{Kind: KindNode, ID: 999_999, Queue: Default}))
	exec(t, db, `UPDATE river_job SET state = 'discarded', finalized_at = now()`)
	dead, err := b.Dead(t.Context(), DeadQuery{Queue: Default, Limit: 10})
	require.NoError(t, err)
	require.Len(t, dead, 2)
	retry := func(d *DeadLetter) error {
		return db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error { return b.RetryJob(ctx, tx, d) })
	}
	require.True(t, errs.HasReason(retry(&dead[0]), "queue.nothing_to_retry"))
	require.NoError(t, retry(&dead[1]))
	s := seen(t, b)
	require.Equal(t, 1, s.queue(Default).Waiting)
}
