package beat_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/periodic"
	"github.com/llmctl/studio/internal/schedule"
)

// TestThreeBeatsThatAreKilledFireEachTimeOnce drives the clock of eight schedules
// while three beats are killed without notice, one after the other, for half a
// minute. Then every time has one firing and every firing one run.
func TestThreeBeatsThatAreKilledFireEachTimeOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []int64
	for range 8 {
		ids = append(ids, b.minutely(t))
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	beats := []*process{start(t, b.uri), start(t, b.uri), start(t, b.uri)}
	b.eventually(t, "three schedulers", `SELECT count(*) = 3 FROM beat_process`)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var driver sync.WaitGroup
	driver.Go(func() {
		for tick := time.NewTicker(150 * time.Millisecond); ctx.Err() == nil; <-tick.C {
			if err := b.pull(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	kills := 0
	for ctx.Err() == nil {
		victim := random.IntN(len(beats))
		beats[victim].kill()
		kills++
		beats[victim] = start(t, b.uri)
		select {
		case <-time.After(time.Duration(200+random.IntN(900)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
	driver.Wait()
	b.eventually(t, "all that is due is fired", `SELECT bool_and(next_fire_at > now()) FROM schedule`)

	total := 0
	for _, id := range ids {
		firings, err := b.schedules.Firings(t.Context(), id, 0, 100000)
		require.NoError(t, err)
		total += len(firings)
		for i, f := range firings {
			require.Equal(t, schedule.OutcomeStarted, f.ScheduleFiring.Outcome, f.ScheduleFiring.Message)
			require.NotNil(t, f.ScheduleFiring.FlowchartRunID)
			if i > 0 {
				require.Equal(t, time.Minute, firings[i-1].ScheduleFiring.DueAt.Sub(f.ScheduleFiring.DueAt), "no time is left out, none is doubled")
			}
		}
	}
	t.Logf("%d kills, %d firings", kills, total)
	require.Greater(t, kills, 15)
	require.Greater(t, total, 200)
	require.Equal(t, total, b.count(t, `SELECT count(*) FROM flowchart_run`), "one run each")
	require.Equal(t, total, b.count(t, `SELECT count(DISTINCT (schedule_id, due_at)) FROM flowchart_run`))
	require.Equal(t, total, b.count(t, `SELECT count(*) FROM event WHERE event_type = 'flowchart:run:updated' AND sequence = 1`), "announced once each")

	for _, p := range beats {
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	}
	for _, p := range beats {
		err := <-p.exit
		p.exit <- err
		require.NoError(t, err, "it ends with 0")
	}
	// What was killed stays on the list until it is thought dead; what ended has left it.
	alive, err := periodic.Schedulers(t.Context(), b.db)
	require.NoError(t, err)
	for _, a := range alive {
		for _, p := range beats {
			require.NotEqual(t, p.cmd.Process.Pid, a.PID)
		}
	}
}

func TestBeatGoesOnWhenTheDatabaseIsBackAndSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.minutely(t)
	p := start(t, b.uri)
	p.log.await(t, "beat ready")
	b.eventually(t, "the canary lives", `SELECT count(*) = 1 FROM periodic_task WHERE name = 'canary' AND outcome = 'succeeded'`)

	// From a database beside it, nobody gets in any more and who is in is thrown out.
	config, err := pgx.ParseConfig(b.uri)
	require.NoError(t, err)
	name := config.Database
	config.Database = "postgres"
	outside, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	defer func() { _ = outside.Close(context.WithoutCancel(t.Context())) }()
	allow := func(yes string) {
		_, err := outside.Exec(t.Context(), `ALTER DATABASE `+pgx.Identifier{name}.Sanitize()+` ALLOW_CONNECTIONS `+yes)
		require.NoError(t, err)
	}
	allow("false")
	defer allow("true")
	_, err = outside.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, name)
	require.NoError(t, err)
	p.log.await(t, "does not work, trying again")
	allow("true")
	p.log.await(t, "works again")
	require.Eventually(t, func() bool { return b.pull(t.Context()) == nil }, patience, 50*time.Millisecond)
	b.eventually(t, "it fires again", `SELECT count(*) > 0 FROM schedule_firing WHERE schedule_id = $1 AND outcome = 'started'`, id)
}
