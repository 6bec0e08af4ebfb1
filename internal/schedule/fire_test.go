package schedule_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/schedule"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noJobs is a queue that nobody works.
type noJobs struct{}

func (noJobs) InsertNodes(context.Context, *postgres.Tx, []run.Job) error { return nil }

type bundle struct {
	db         *postgres.DB
	log        *event.Log
	engine     *run.Engine
	flowcharts *store.Store
	schedules  *schedule.Store
	firer      *schedule.Firer
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{db: pgtest.DB(t), log: event.NewLog(nil, time.Now)}
	b.engine = run.NewEngine(run.Options{
		DB: b.db, Log: b.log, Jobs: noJobs{}, ExecutorFor: func(string) string { return "inline" }, Now: time.Now,
	})
	b.flowcharts = store.New(b.db, b.log, time.Now)
	b.schedules = schedule.NewStore(b.db, b.log)
	b.firer = b.newFirer(b.engine)
	return b
}

func (b *bundle) newFirer(s schedule.Starter) *schedule.Firer {
	return schedule.NewFirer(b.schedules, s, slog.New(slog.DiscardHandler), nil)
}

func (b *bundle) tx(t *testing.T, f func(ctx context.Context, tx *postgres.Tx) error) error {
	t.Helper()
	return b.db.InTx(t.Context(), f)
}

// flowchart makes one whose runs wait for a worker that never comes.
func (b *bundle) flowchart(t *testing.T) int64 {
	t.Helper()
	var id int64
	require.NoError(t, b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		id, err = b.flowcharts.Create(ctx, tx, store.Fields{Name: "Report"}, graph(t, "script"), nil)
		return err
	}))
	return id
}

func graph(t *testing.T, kind string) *flowchart.Graph {
	t.Helper()
	g, err := flowchart.Parse([]byte(`{"nodes":[
		{"id":"start","kind":"start","title":"Start","position":{"x":0,"y":0},"config":{}},
		{"id":"work","kind":"` + kind + `","title":"Work","position":{"x":0,"y":0},"config":{"command":["true"]}}],
		"edges":[{"id":"e","source":"start","target":"work","mode":"solid"}]}`))
	require.NoError(t, err)
	return g
}

// schedule makes one and sets its time back, so that it is due.
func (b *bundle) schedule(t *testing.T, overdue time.Duration, change func(*schedule.Fields)) int64 {
	t.Helper()
	f := schedule.Defaults()
	f.Name, f.Cron = "Yearly", "0 0 1 1 *" // so that nothing but what is set back is due
	if change != nil {
		change(&f)
	}
	if f.FlowchartID == 0 {
		f.FlowchartID = b.flowchart(t)
	}
	var id int64
	require.NoError(t, b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		id, err = b.schedules.Create(ctx, tx, f, nil)
		return err
	}))
	b.setBack(t, id, overdue)
	return id
}

func (b *bundle) setBack(t *testing.T, id int64, by time.Duration) {
	t.Helper()
	unit := "minute"
	if by < time.Minute {
		unit = "second"
	}
	_, err := b.db.Exec(t.Context(), `UPDATE schedule SET next_due_at = date_trunc($3, now()) - make_interval(secs => $2),
		next_fire_at = date_trunc($3, now()) - make_interval(secs => $2) WHERE id = $1`, id, by.Seconds(), unit)
	require.NoError(t, err)
}

func (b *bundle) firings(t *testing.T, id int64) []schedule.Firing {
	t.Helper()
	f, err := b.schedules.Firings(t.Context(), id, 0, 1000)
	require.NoError(t, err)
	return f
}

// outcomes lists what became of a schedule's times, oldest first.
func (b *bundle) outcomes(t *testing.T, id int64) []string {
	t.Helper()
	var out []string
	for _, f := range b.firings(t, id) {
		x := f.ScheduleFiring
		out = append([]string{x.Outcome + " " + x.Origin}, out...)
	}
	return out
}

func TestDueScheduleStartsARunThatNamesIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.schedule(t, 0, func(f *schedule.Fields) { f.Input = json.RawMessage(`{"day":"today"}`) })
	n, err := b.firer.FireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = b.firer.FireDue(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "its next time lies ahead")

	f := b.firings(t, id)[0].ScheduleFiring
	require.Equal(t, schedule.OutcomeStarted, f.Outcome)
	d, err := b.engine.Get(t.Context(), *f.FlowchartRunID)
	require.NoError(t, err)
	require.Equal(t, id, *d.Run.ScheduleID)
	require.True(t, f.DueAt.Equal(*d.Run.DueAt))
	require.JSONEq(t, `{"day":"today"}`, string(d.Run.Input))
	events, err := event.ReadStream(t.Context(), b.db, run.StreamOfRun(d.Run.ID), 0, 10)
	require.NoError(t, err)
	var payload struct {
		FlowchartRun run.View `json:"flowchart_run"`
	}
	require.NoError(t, json.Unmarshal(events[0].Envelope.Payload, &payload))
	require.Equal(t, id, *payload.FlowchartRun.ScheduleID)
	item, err := b.schedules.Get(t.Context(), b.db, id)
	require.NoError(t, err)
	require.True(t, item.Schedule.NextDueAt.After(item.DbNow))
	require.Equal(t, "queued", b.firings(t, id)[0].RunStatus)
}

func TestManyFirersFireEachTimeOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []int64
	flow := b.flowchart(t)
	for range 5 {
		ids = append(ids, b.schedule(t, 9*time.Minute, func(f *schedule.Fields) {
			f.FlowchartID, f.Cron, f.CatchUpLimit, f.OverlapPolicy = flow, "* * * * *", 100, schedule.OverlapAllow
		}))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				_, err := b.newFirer(b.engine).FireDue(t.Context())
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		firings := b.firings(t, id)
		require.GreaterOrEqual(t, len(firings), 10)
		runs := map[int64]bool{}
		for i, f := range firings {
			x := f.ScheduleFiring
			require.Equal(t, schedule.OutcomeStarted, x.Outcome)
			require.False(t, runs[*x.FlowchartRunID])
			runs[*x.FlowchartRunID] = true
			if i > 0 {
				require.Equal(t, time.Minute, firings[i-1].ScheduleFiring.DueAt.Sub(x.DueAt), "no time is left out")
			}
		}
		require.Equal(t, len(firings), b.count(t, `SELECT count(*) FROM flowchart_run WHERE schedule_id = $1`, id))
	}
}

func (b *bundle) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, b.db.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

func TestPoliciesDecideWhatIsMissedAndWhatOverlaps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	skip := b.schedule(t, time.Hour, func(f *schedule.Fields) { f.MissedPolicy, f.Cron = schedule.MissedSkip, "*/7 * * * *" })
	once := b.schedule(t, time.Hour, func(f *schedule.Fields) { f.Cron, f.OverlapPolicy = "*/13 * * * *", schedule.OverlapAllow })
	twice := b.schedule(t, 3*time.Hour, func(f *schedule.Fields) { f.Cron, f.CatchUpLimit = "0 */2 1 1 *", 2 })
	_, err := b.firer.FireDue(t.Context())
	require.NoError(t, err)
	require.Contains(t, b.outcomes(t, skip), "missed due")
	require.NotContains(t, b.outcomes(t, skip), "started catch_up")
	require.Equal(t, "missed due", b.outcomes(t, once)[0], "all but the newest")
	require.Contains(t, b.outcomes(t, once), "started catch_up")
	require.Equal(t, []string{"started catch_up"}, b.outcomes(t, twice), "a time that is named is never lost")

	live := b.schedule(t, 0, nil)
	_, err = b.firer.FireDue(t.Context())
	require.NoError(t, err)
	b.setBack(t, live, -1) // the next one
	_, err = b.db.Exec(t.Context(), `UPDATE schedule SET next_due_at = next_due_at - interval '30 seconds', next_fire_at = now() WHERE id = $1`, live)
	require.NoError(t, err)
	_, err = b.firer.FireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"started due", "skipped due"}, b.outcomes(t, live), "the last run still runs")
	last := b.firings(t, live)[0].ScheduleFiring
	require.Equal(t, "schedule.previous_run_live", last.Reason)
	require.Contains(t, last.Message, "had not ended")
}

func TestFlowchartThatDoesNotRunGivesAFailedFiringAndTheScheduleGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	flow := b.flowchart(t)
	id := b.schedule(t, 0, func(f *schedule.Fields) { f.FlowchartID = flow })
	require.NoError(t, b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		return b.flowcharts.SetDeleted(ctx, tx, flow, 0, true)
	}))
	n, err := b.firer.FireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	f := b.firings(t, id)[0].ScheduleFiring
	require.Equal(t, schedule.OutcomeFailed, f.Outcome)
	require.Equal(t, "flow.deleted", f.Reason)
	require.Contains(t, f.Message, "Restore it")
	item, err := b.schedules.Get(t.Context(), b.db, id)
	require.NoError(t, err)
	require.True(t, item.Schedule.NextDueAt.After(item.DbNow), "it goes on")
	events, err := event.ReadStream(t.Context(), b.db, "config:schedule:1", 1, 10)
	require.NoError(t, err)
	require.Equal(t, "config:schedule:updated", events[0].Envelope.EventType)
	require.Contains(t, string(events[0].Envelope.Payload), "flow.deleted")
}

func TestNewestValidVersionRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	flow := b.flowchart(t)
	id := b.schedule(t, 0, func(f *schedule.Fields) { f.FlowchartID = flow })
	require.NoError(t, b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		_, _, err := b.flowcharts.SaveGraph(ctx, tx, flow, 0, graph(t, "memory"), nil) // a kind that does not run
		return err
	}))
	_, err := b.firer.FireDue(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, b.firings(t, id)[0].RunVersion)
}

// flaky starts nothing, as often as it is told.
type flaky struct {
	schedule.Starter
	left int
}

func (f *flaky) StartTx(ctx context.Context, tx *postgres.Tx, req run.StartRequest) (run.Run, error) {
	if f.left--; f.left >= 0 {
		return run.Run{}, errors.New("connection reset")
	}
	return f.Starter.StartTx(ctx, tx, req)
}

func TestTroubleInsideIsTriedAgainAndAtLastWrittenDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.schedule(t, 0, nil)
	other := b.schedule(t, 0, nil)
	shaky := b.newFirer(&flaky{Starter: b.engine, left: 1})
	_, err := shaky.FireDue(t.Context())
	require.ErrorContains(t, err, "connection reset")
	require.Equal(t, 1, len(b.firings(t, id))+len(b.firings(t, other)), "the other one is not held up, and nothing half is left")
	_, err = shaky.FireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"started due"}, b.outcomes(t, id))

	never := b.schedule(t, 0, nil)
	broken := b.newFirer(&flaky{Starter: b.engine, left: 100})
	for range 4 {
		_, err = broken.FireDue(t.Context())
		require.Error(t, err)
	}
	_, err = broken.FireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"failed due"}, b.outcomes(t, never))
}

func TestOnlyWhatDecidesTheTimeMovesIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.schedule(t, 0, func(f *schedule.Fields) { f.Cron = "0 3 * * *" })
	update := func(revision int64, change func(*schedule.Fields)) error {
		return b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
			return b.schedules.Update(ctx, tx, id, revision, change)
		})
	}
	get := func() schedule.Row {
		i, err := b.schedules.Get(t.Context(), b.db, id)
		require.NoError(t, err)
		return i.Schedule
	}
	before := get()
	require.NoError(t, update(1, func(f *schedule.Fields) { f.Name = "Other" }))
	require.Equal(t, before.NextDueAt, get().NextDueAt)
	require.True(t, errs.Is(update(1, func(*schedule.Fields) {}), errs.Precondition))
	require.NoError(t, update(0, func(f *schedule.Fields) { f.Enabled = false }))
	require.Nil(t, get().NextDueAt)
	require.NoError(t, update(0, func(f *schedule.Fields) { f.Enabled = true }))
	require.True(t, get().NextDueAt.After(time.Now()), "from now on, not from when it was disabled")
	err := update(0, func(f *schedule.Fields) {
		f.Cron, f.TimeZone, f.JitterSeconds, f.Name, f.Input = "x", "y", 9999, " ", []byte("[]")
	})
	var places []string
	for _, d := range errs.As(err).Details {
		places = append(places, d.Location)
	}
	require.Equal(t, []string{"body.name", "body.cron", "body.time_zone", "body.jitter_seconds", "body.input"}, places, "all at once")
	err = update(0, func(f *schedule.Fields) { f.FlowchartID = 999 })
	require.Equal(t, "body.flowchart_id", errs.As(err).Details[0].Location)

	remove := func(deleted bool) error {
		return b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
			return b.schedules.SetDeleted(ctx, tx, id, 0, deleted)
		})
	}
	require.NoError(t, remove(true))
	require.Nil(t, get().NextDueAt)
	require.True(t, errs.Is(update(0, func(*schedule.Fields) {}), errs.Conflict))
	require.NoError(t, remove(false))
	require.NotNil(t, get().NextDueAt)
}

func TestZoneThatIsNotKnownAnyMoreIsToldOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.schedule(t, 0, nil)
	_, err := b.db.Exec(t.Context(), `UPDATE schedule SET time_zone = 'Mars/Olympus' WHERE id = $1`, id)
	require.NoError(t, err)
	for range 2 {
		_, err = b.firer.FireDue(t.Context())
		require.NoError(t, err)
	}
	require.Equal(t, []string{"failed due"}, b.outcomes(t, id))
	require.Contains(t, b.firings(t, id)[0].ScheduleFiring.Message, "Mars/Olympus")
}
