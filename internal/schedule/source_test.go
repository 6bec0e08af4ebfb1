package schedule_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/schedule"
)

// indexes starts index runs that are nothing but a node run.
type indexes struct {
	asked   []string
	busy    bool
	started func(ctx context.Context) // before the transaction ends; nil: nothing happens
}

func (x *indexes) StartIndexTx(ctx context.Context, tx *postgres.Tx, sourceID int64, mode string, by schedule.Origin) (id int64, err error) {
	if x.busy {
		return 0, errs.E(errs.Conflict, "rag.source_active", "Node 5 indexes it.")
	}
	if _, err := tx.Exec(ctx, `SELECT FROM rag_source WHERE id = $1 FOR NO KEY UPDATE`, sourceID); err != nil {
		return 0, err
	}
	if x.started != nil {
		x.started(ctx)
	}
	x.asked = append(x.asked, fmt.Sprint(sourceID, " ", mode, " ", by.CorrelationID != ""))
	err = tx.QueryRow(ctx, `INSERT INTO node_run (flowchart_node_id, kind, title, status, config, timeout_seconds, execution_index)
		VALUES ('x', 'rag_index', 'x', 'queued', '{}', 60, 0) RETURNING id`).Scan(&id)
	return id, err
}

// source makes one with a schedule that is due.
func (b *bundle) source(t *testing.T, name string, s schedule.SourceSchedule) (sourceID, scheduleID int64) {
	t.Helper()
	require.NoError(t, b.db.QueryRow(t.Context(), `INSERT INTO rag_source (name, kind, config) VALUES ($1, 'local', '{}') RETURNING id`, name).Scan(&sourceID))
	require.NoError(t, b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		return b.schedules.SetForSource(ctx, tx, sourceID, name, &s, nil)
	}))
	has, err := b.schedules.OfSources(t.Context(), b.db, []int64{sourceID})
	require.NoError(t, err)
	return sourceID, has[sourceID].ID
}

func everyHour() schedule.SourceSchedule {
	return schedule.SourceSchedule{EverySeconds: new(int32(3600)), TimeZone: "UTC", Mode: rag.Fresh, Enabled: true}
}

// passed lets an hour and more pass for a schedule.
func (b *bundle) passed(t *testing.T, id int64) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), `UPDATE schedule SET created_at = created_at - interval '1 hour', index_due_at = index_due_at - interval '1 hour',
		index_fire_at = index_fire_at - interval '1 hour' WHERE id = $1`, id)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `UPDATE schedule_firing SET due_at = due_at - interval '1 hour' WHERE schedule_id = $1`, id)
	require.NoError(t, err)
}

func TestDueSourceIsIndexedInItsModeAndTheFiringNamesTheNode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	x := &indexes{}
	firer := schedule.NewFirer(b.schedules, b.engine, slog.New(slog.DiscardHandler), nil).Indexing(x)
	src, id := b.source(t, "Docs", everyHour())
	b.passed(t, id)
	n, err := firer.FireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []string{fmt.Sprint(src, " fresh true")}, x.asked)
	f := b.firings(t, id)[0]
	require.Equal(t, schedule.OutcomeStarted, f.ScheduleFiring.Outcome)
	require.NotNil(t, f.ScheduleFiring.NodeRunID)
	require.Equal(t, "queued", f.NodeStatus)
	item, err := b.schedules.Get(t.Context(), b.db, id)
	require.NoError(t, err)
	require.Equal(t, "Docs", item.SourceName)
	require.Equal(t, f.ScheduleFiring.NodeRunID, item.LastNodeRunID)
	require.Equal(t, time.Hour, item.Schedule.NextDueAt.Sub(f.ScheduleFiring.DueAt), "the interval is counted from the due time")

	// Its own index run goes on.
	b.passed(t, id)
	_, err = firer.FireDue(t.Context())
	require.NoError(t, err)
	last := b.firings(t, id)[0].ScheduleFiring
	require.Equal(t, schedule.OutcomeSkipped, last.Outcome)
	require.Equal(t, "schedule.overlap", last.Reason)
	// Somebody else's does.
	_, err = b.db.Exec(t.Context(), `UPDATE node_run SET status = 'succeeded', finished_at = now()`)
	require.NoError(t, err)
	x.busy = true
	b.passed(t, id)
	_, err = firer.FireDue(t.Context())
	require.NoError(t, err)
	last = b.firings(t, id)[0].ScheduleFiring
	require.Equal(t, schedule.OutcomeSkipped, last.Outcome)
	require.Equal(t, "schedule.overlap", last.Reason)
	require.Contains(t, last.Message, "Node 5")
	x.busy = false
	b.passed(t, id)
	_, err = firer.FireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, schedule.OutcomeStarted, b.firings(t, id)[0].ScheduleFiring.Outcome)
}

func TestSchedulerWithoutIndexerSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, id := b.source(t, "Docs", everyHour())
	b.passed(t, id)
	_, err := b.firer.FireDue(t.Context())
	require.NoError(t, err)
	f := b.firings(t, id)[0].ScheduleFiring
	require.Equal(t, schedule.OutcomeFailed, f.Outcome)
	require.Equal(t, "schedule.no_indexer", f.Reason)
}

func TestFlowchartsMayBeStartedByAnInterval(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.schedule(t, 0, func(f *schedule.Fields) { f.Cron, f.EverySeconds = "", new(int32(90)) })
	_, err := b.firer.FireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, schedule.OutcomeStarted, b.firings(t, id)[0].ScheduleFiring.Outcome)
	item, err := b.schedules.Get(t.Context(), b.db, id)
	require.NoError(t, err)
	require.Equal(t, "Every 90 seconds", schedule.DescribeRow(&item.Schedule))
	upcoming := schedule.Upcoming(&item.Schedule, 3)
	require.Equal(t, 90*time.Second, upcoming[1].Sub(upcoming[0]))
	require.Equal(t, 90*time.Second, upcoming[2].Sub(upcoming[1]))
	err = b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		return b.schedules.Update(ctx, tx, id, 0, func(f *schedule.Fields) { f.Cron = "* * * * *" })
	})
	require.Equal(t, "body.every_seconds", errs.As(err).Details[0].Location, "one of them")
}

func TestScheduleOfASourceKeepsItsTarget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	src, id := b.source(t, "Docs", everyHour())
	flow := b.flowchart(t)
	update := func(change func(*schedule.Fields)) error {
		return b.tx(t, func(ctx context.Context, tx *postgres.Tx) error { return b.schedules.Update(ctx, tx, id, 0, change) })
	}
	require.True(t, errs.HasReason(update(func(f *schedule.Fields) { f.FlowchartID = flow }), "schedule.source_target"))
	require.NoError(t, update(func(f *schedule.Fields) { f.Enabled = false }))
	has, err := b.schedules.OfSources(t.Context(), b.db, []int64{src})
	require.NoError(t, err)
	require.False(t, has[src].Enabled)
	require.Equal(t, rag.Fresh, has[src].Mode)
	err = b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		_, err := b.schedules.FireNow(ctx, tx, b.engine, id, nil)
		return err
	})
	require.True(t, errs.HasReason(err, "schedule.source_target"))

	remove := func(id int64, deleted bool) error {
		return b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
			return b.schedules.SetDeleted(ctx, tx, id, 0, deleted)
		})
	}
	require.NoError(t, remove(id, true))
	require.NoError(t, b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		return b.schedules.SetForSource(ctx, tx, src, "Docs", new(everyHour()), nil)
	}))
	require.True(t, errs.HasReason(remove(id, false), "schedule.source_scheduled"), "there is another one")
	_, err = b.db.Exec(t.Context(), `UPDATE rag_source SET deleted_at = now()`)
	require.NoError(t, err)
	require.True(t, errs.HasReason(remove(id, false), "rag.source_deleted"))
}
