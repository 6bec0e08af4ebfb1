package periodic_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/periodic"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func runner(t *testing.T, db *postgres.DB, tasks ...periodic.Task) *periodic.Runner {
	t.Helper()
	r, err := periodic.NewRunner(db, slog.New(slog.DiscardHandler), tasks...)
	require.NoError(t, err)
	require.NoError(t, r.Enroll(t.Context()))
	return r
}

// due runs what is due and waits for it.
func due(ctx context.Context, t *testing.T, r *periodic.Runner) {
	t.Helper()
	var wg sync.WaitGroup
	require.NoError(t, r.RunDue(ctx, &wg))
	wg.Wait()
}

func task(name string, do func(ctx context.Context) (any, error)) periodic.Task {
	return periodic.Task{Name: name, Period: time.Hour, Limit: time.Minute, Do: do}
}

func state(t *testing.T, db *postgres.DB, name string) periodic.State {
	t.Helper()
	list, err := periodic.List(t.Context(), db)
	require.NoError(t, err)
	for _, s := range list {
		if s.Name == name {
			return s
		}
	}
	require.Fail(t, "no task "+name)
	return periodic.State{}
}

func rewind(t *testing.T, db *postgres.DB, by time.Duration) {
	t.Helper()
	_, err := db.Exec(t.Context(), `UPDATE periodic_task SET next_at = now() - make_interval(secs => $1)`, by.Seconds())
	require.NoError(t, err)
}

func TestEachPeriodIsDoneOnceByAnyNumberOfProcesses(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	var done atomic.Int64
	do := func(context.Context) (any, error) { done.Add(1); return map[string]int{"things": 3}, nil }
	for period := int64(1); period <= 5; period++ {
		var wg, running sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				r := runner(t, db, task("sweep", do))
				for range 5 {
					if err := r.RunDue(t.Context(), &running); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		running.Wait()
		require.Equal(t, period, done.Load())
		rewind(t, db, 10*time.Second)
	}
	s := state(t, db, "sweep")
	require.Equal(t, "succeeded", s.Outcome)
	require.JSONEq(t, `{"things":3}`, string(s.Detail))
	require.False(t, s.Running)
	require.Greater(t, s.LateSeconds, 9.0)
}

func TestNextTimeStaysOnTheGrid(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	r := runner(t, db, task("sweep", func(context.Context) (any, error) { return "done", nil }))
	rewind(t, db, 150*time.Minute)
	before := state(t, db, "sweep").NextAt
	due(t.Context(), t, r)
	require.Equal(t, 3*time.Hour, state(t, db, "sweep").NextAt.Sub(*before).Round(time.Millisecond), "two periods are left out")
}

func TestFailureIsToldAndTheNextPeriodComes(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	fail := true
	r := runner(t, db, task("sweep", func(context.Context) (any, error) {
		if fail {
			return nil, errors.New("disk full")
		}
		return "done", nil
	}))
	due(t.Context(), t, r)
	require.Equal(t, "failed", state(t, db, "sweep").Outcome)
	require.Contains(t, state(t, db, "sweep").Error, "the log of the scheduler says what")
	fail = false
	rewind(t, db, 0)
	due(t.Context(), t, r)
	require.Equal(t, "succeeded", state(t, db, "sweep").Outcome)
	require.Empty(t, state(t, db, "sweep").Error)
}

func TestTaskWhoseProcessDiedIsInterruptedAndReportsNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	frozen := runner(t, db, task("sweep", func(context.Context) (any, error) {
		close(entered)
		<-leave
		return "of the frozen one", nil
	}))
	var wg sync.WaitGroup
	require.NoError(t, frozen.RunDue(t.Context(), &wg))
	<-entered
	require.True(t, state(t, db, "sweep").Running)

	ran := false
	other := runner(t, db, task("sweep", func(context.Context) (any, error) { ran = true; return "of the other", nil }))
	rewind(t, db, 0)
	due(t.Context(), t, other)
	require.False(t, ran, "it is not done twice at a time")

	_, err := db.Exec(t.Context(), `UPDATE periodic_task SET lease_until = now() - interval '1 second'`)
	require.NoError(t, err)
	require.Equal(t, "interrupted", state(t, db, "sweep").Outcome)
	due(t.Context(), t, other)
	require.True(t, ran)
	close(leave)
	wg.Wait()
	require.JSONEq(t, `"of the other"`, string(state(t, db, "sweep").Detail), "who was given up reports nothing")
}

func TestStopCutsATaskShortAndSaysSo(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := runner(t, db, task("sweep", func(ctx context.Context) (any, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	var wg sync.WaitGroup
	require.NoError(t, ignoreCancel(r.RunDue(ctx, &wg)))
	wg.Wait()
	require.Equal(t, "interrupted", state(t, db, "sweep").Outcome)
}

// ignoreCancel is for the look for a second task, which comes after the end.
func ignoreCancel(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func TestTasksThatCannotRunAreRefused(t *testing.T) {
	t.Parallel()
	do := func(context.Context) (any, error) { return "done", nil }
	for _, tasks := range [][]periodic.Task{
		{{Name: "", Period: time.Second, Limit: 1, Do: do}},
		{{Name: "a", Period: time.Millisecond, Limit: 1, Do: do}},
		{{Name: "a", Period: time.Second, Limit: 1}},
		{task("a", do), task("a", do)},
	} {
		_, err := periodic.NewRunner(nil, slog.New(slog.DiscardHandler), tasks...)
		require.True(t, errs.Is(err, errs.Invalid))
	}
}

func TestWorkDoneElsewhereIsNoted(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	note := func(failure error, n int) {
		require.NoError(t, periodic.Note(t.Context(), db, "cleanup", "host-1", time.Minute, failure, map[string]int{"n": n}))
	}
	note(nil, 1)
	note(nil, 2)
	require.JSONEq(t, `{"n":1}`, string(state(t, db, "cleanup").Detail), "not more often than people look")
	note(errors.New("no"), 3)
	s := state(t, db, "cleanup")
	require.Equal(t, "failed", s.Outcome, "but a change at once")
	require.Equal(t, "host-1", s.Host)
	require.Nil(t, s.NextAt)
}

func TestSchedulersAreSeenWhileTheyLive(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	p := periodic.NewPresence(db, "host-1", "v1")
	require.NoError(t, p.Announce(t.Context()))
	alive := func() int {
		list, err := periodic.Schedulers(t.Context(), db)
		require.NoError(t, err)
		return len(list)
	}
	require.Equal(t, 1, alive())
	_, err := db.Exec(t.Context(), `UPDATE beat_process SET beat_at = now() - interval '20 seconds'`)
	require.NoError(t, err)
	require.Zero(t, alive())
	require.NoError(t, p.Announce(t.Context()))
	require.Equal(t, 1, alive())
	require.NoError(t, p.Retire(t.Context()))
	require.Zero(t, alive())
	_, err = db.Exec(t.Context(), `INSERT INTO beat_process (id, hostname, pid, version, beat_at) VALUES (gen_random_uuid(), 'h', 1, 'v', now() - interval '2 hours')`)
	require.NoError(t, err)
	require.NoError(t, periodic.Forget(t.Context(), db))
	var n int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM beat_process`).Scan(&n))
	require.Zero(t, n)
}
