package schedule_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/schedule"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// What the release before has scheduled looks for with. It takes everything that it finds for the schedule of a flowchart.
const (
	claimOfOldRelease = `SELECT s.id FROM schedule s
		WHERE s.next_fire_at <= now() + interval '1000 years' AND s.id <> ALL ('{}'::bigint[])
		ORDER BY s.next_fire_at LIMIT 1 FOR UPDATE SKIP LOCKED`
	plannedOfOldRelease = `SELECT id FROM schedule WHERE next_due_at IS NOT NULL ORDER BY next_fire_at LIMIT 100`
	setNextOfOldRelease = `UPDATE schedule SET next_due_at = now(), next_fire_at = now() WHERE id = $1`
	deleteOfOldRelease  = `UPDATE schedule
		SET deleted_at = now(), next_due_at = NULL, next_fire_at = NULL, revision = revision + 1, updated_at = now() WHERE id = $1`
)

func TestSchedulersOfTheReleaseBeforeDoNotSeeSchedulesOfSources(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, id := b.source(t, "Docs", everyHour())
	for _, sql := range []string{claimOfOldRelease, plannedOfOldRelease} {
		var found int64
		require.True(t, postgres.NotFound(b.db.QueryRow(t.Context(), sql).Scan(&found)), sql)
	}
	_, err := b.db.Exec(t.Context(), setNextOfOldRelease, id)
	require.ErrorContains(t, err, "schedule_times", "it cannot be brought before them")

	// Such a release deletes it without knowing its times: it is not fired any more.
	b.passed(t, id)
	_, err = b.db.Exec(t.Context(), deleteOfOldRelease, id)
	require.NoError(t, err)
	x := &indexes{}
	n, err := schedule.NewFirer(b.schedules, b.engine, slog.New(slog.DiscardHandler), nil).Indexing(x).FireDue(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	require.Empty(t, x.asked)
}

func TestMigrationKeepsTheTimesOfSchedulesOfSources(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), postgres.Options{URI: pgtest.Empty(t)})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	log := slog.New(slog.DiscardHandler)
	require.NoError(t, pool.MigrateTo(t.Context(), postgres.Versions{Schema: 15}, log))
	var src int64
	require.NoError(t, pool.QueryRow(t.Context(), `WITH s AS (INSERT INTO rag_source (name, kind, config) VALUES ('Docs', 'local', '{}') RETURNING id)
		INSERT INTO schedule (name, target_kind, rag_source_id, cron, time_zone, missed_policy, overlap_policy, next_due_at, next_fire_at)
		SELECT 'Docs', 'rag_source', id, '0 3 * * *', 'UTC', 'catch_up', 'skip', '2126-01-01', '2126-01-02' FROM s RETURNING rag_source_id`).Scan(&src))
	require.NoError(t, pool.Migrate(t.Context(), log))
	has, err := schedule.NewStore(pool, nil).OfSources(t.Context(), pool, []int64{src})
	require.NoError(t, err)
	require.True(t, has[src].NextDueAt.Equal(time.Date(2126, 1, 1, 0, 0, 0, 0, time.UTC)))
	require.True(t, postgres.NotFound(pool.QueryRow(t.Context(), claimOfOldRelease).Scan(new(int64))))
}

// notYet refuses to start anything while workers of an older release run.
type notYet struct {
	schedule.Starter
	old bool
}

func (n *notYet) StartTx(ctx context.Context, tx *postgres.Tx, req run.StartRequest) (run.Run, error) {
	if n.old {
		return run.Run{}, errs.E(errs.Conflict, run.ReasonOldWorker, "Update them.")
	}
	return n.Starter.StartTx(ctx, tx, req)
}

func TestWhatIsDueDuringAnUpdateWaitsForItsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	starter := &notYet{Starter: b.engine, old: true}
	firer := b.newFirer(starter)
	id := b.schedule(t, 2*time.Minute, func(f *schedule.Fields) { f.OverlapPolicy = schedule.OverlapAllow })
	_, err := firer.FireDue(t.Context())
	require.NoError(t, err, "it is nobody's fault")
	require.Empty(t, b.firings(t, id))
	item, err := b.schedules.Get(t.Context(), b.db, id)
	require.NoError(t, err)
	require.True(t, item.Schedule.NextFireAt.After(item.DbNow), "it is tried again later")
	require.True(t, item.Schedule.NextDueAt.Before(item.DbNow), "for the same time")

	starter.old = false
	_, err = b.db.Exec(t.Context(), `UPDATE schedule SET next_fire_at = now() WHERE id = $1`, id)
	require.NoError(t, err)
	_, err = firer.FireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, schedule.OutcomeStarted, b.firings(t, id)[0].ScheduleFiring.Outcome)

	starter.old = true
	b.setBack(t, id, 11*time.Minute)
	_, err = firer.FireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, schedule.OutcomeFailed, b.firings(t, id)[0].ScheduleFiring.Outcome, "not for ever")
	require.Equal(t, run.ReasonOldWorker, b.firings(t, id)[0].ScheduleFiring.Reason)
}

// A person saves a source while its schedule fires. Both lock the source first, so neither waits for the other for ever.
func TestFiringAScheduleDoesNotWaitForAnEditOfItsSource(t *testing.T) {
	t.Parallel()
	b := setup(t)
	src, id := b.source(t, "Docs", everyHour())
	b.passed(t, id)
	x := &indexes{}
	firer := schedule.NewFirer(b.schedules, b.engine, slog.New(slog.DiscardHandler), nil).Indexing(x)
	require.NoError(t, b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		_, err := tx.Exec(ctx, `SELECT FROM rag_source WHERE id = $1 FOR UPDATE`, src)
		require.NoError(t, err)
		n, err := firer.FireDue(t.Context()) //nolint:contextcheck // in another transaction
		require.NoError(t, err)
		require.Zero(t, n, "the source is in somebody's hands: the next round fires it")
		return b.schedules.SetForSource(ctx, tx, src, "Docs", new(everyHour()), nil)
	}))
	n, err := firer.FireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)

	// The other order: the firing holds both, and the edit waits until it is committed.
	b.passed(t, id)
	_, err = b.db.Exec(t.Context(), `UPDATE node_run SET status = 'succeeded', finished_at = now()`)
	require.NoError(t, err)
	x.started = func(ctx context.Context) {
		_, err := b.db.Exec(ctx, `SELECT FROM rag_source WHERE id = $1 FOR UPDATE NOWAIT`, src)
		require.ErrorContains(t, err, "could not obtain lock")
		_, err = b.db.Exec(ctx, `SELECT FROM schedule WHERE id = $1 FOR UPDATE NOWAIT`, id)
		require.ErrorContains(t, err, "could not obtain lock")
	}
	n, err = firer.FireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
}
