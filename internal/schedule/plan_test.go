package schedule

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPlanOfOverdueTimes(t *testing.T) {
	t.Parallel()
	base := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	minutes := func(n int) time.Time { return base.Add(time.Duration(n) * time.Minute) }
	tests := []struct {
		name   string
		policy string
		limit  int32
		now    time.Time
		missed int
		fire   int // minute; -1: none
		late   bool
		next   int
	}{
		{"just due", MissedSkip, 1, minutes(0), 0, 0, false, 1},
		{"due within the grace", MissedSkip, 1, base.Add(50 * time.Second), 0, 0, false, 1},
		{"skip leaves out what was missed", MissedSkip, 1, base.Add(10*time.Minute + time.Second), 10, 10, false, 11},
		{"catch up fires the newest one", MissedCatchUp, 1, base.Add(10*time.Minute + time.Second), 9, 9, true, 10},
		{"catch up fires as many as it may, oldest of them first", MissedCatchUp, 3, base.Add(10*time.Minute + time.Second), 7, 7, true, 8},
		{"catch up of fewer than it may", MissedCatchUp, 100, base.Add(5*time.Minute + time.Second), 0, 0, true, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &Row{ID: 7, Cron: "* * * * *", TimeZone: "UTC", MissedPolicy: tt.policy, CatchUpLimit: tt.limit, NextDueAt: &base, NextFireAt: &base}
			m, err := timingOf(r)
			require.NoError(t, err)
			p := planOf(r, m, tt.now)
			require.Equal(t, tt.missed, p.missed)
			if tt.missed > 0 {
				require.Equal(t, minutes(tt.missed-1), p.lastMissed)
			}
			require.NotNil(t, p.fire)
			require.Equal(t, overdue{minutes(tt.fire), tt.late}, *p.fire)
			require.Equal(t, minutes(tt.next), p.due)
		})
	}
}

func TestPlanSkipsWhatWasMissedAndWaitsForTheNext(t *testing.T) {
	t.Parallel()
	base := time.Date(2026, 5, 1, 3, 0, 0, 0, time.UTC)
	r := &Row{ID: 7, Cron: "0 3 * * *", TimeZone: "UTC", MissedPolicy: MissedSkip, CatchUpLimit: 1, NextDueAt: &base, NextFireAt: &base}
	m, err := timingOf(r)
	require.NoError(t, err)
	p := planOf(r, m, base.AddDate(0, 0, 3).Add(time.Hour))
	require.Equal(t, 4, p.missed)
	require.Nil(t, p.fire)
	require.Equal(t, base.AddDate(0, 0, 4), p.due)
}

func TestYearsOfMissedMinutesEndInOnePlan(t *testing.T) {
	t.Parallel()
	base := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	r := &Row{ID: 7, Cron: "* * * * *", TimeZone: "UTC", MissedPolicy: MissedCatchUp, CatchUpLimit: 2, NextDueAt: &base, NextFireAt: &base}
	m, err := timingOf(r)
	require.NoError(t, err)
	now := base.AddDate(3, 0, 0)
	p := planOf(r, m, now)
	require.Greater(t, p.missed, maxOverdue-10)
	require.NotNil(t, p.fire)
	require.True(t, p.due.After(p.fire.due))
}

func TestJitterIsStableBoundedAndKeepsTheOrder(t *testing.T) {
	t.Parallel()
	r := &Row{ID: 7, Cron: "*/2 * * * *", TimeZone: "UTC", JitterSeconds: 3600}
	m, err := timingOf(r)
	require.NoError(t, err)
	other := m
	other.id = 8
	due := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	var last time.Time
	delays, differ := map[time.Duration]bool{}, false
	for range 200 {
		next, fire := m.after(due)
		_, again := m.after(due)
		require.Equal(t, fire, again)
		require.True(t, fire.After(last), "firings keep their order")
		require.GreaterOrEqual(t, fire.Sub(next), time.Duration(0))
		require.Less(t, fire.Sub(next), 2*time.Minute, "before the next due time")
		delays[fire.Sub(next)] = true
		_, theirs := other.after(due)
		differ = differ || theirs != fire
		due, last = next, fire
	}
	require.Greater(t, len(delays), 50, "it is spread")
	require.True(t, differ, "schedules differ")
}

func TestCalendarCountsFirings(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	first := from.Add(20 * time.Minute)
	rows := []Row{{ID: 1, Cron: "*/20 * * * *", TimeZone: "UTC", NextDueAt: &first, NextFireAt: &first}, {ID: 2, Cron: "0 3 * * *", TimeZone: "UTC"}}
	strips := Calendar(rows, from, time.Hour, 3)
	require.Len(t, strips, 1, "what is not planned has no strip")
	require.Equal(t, []Bucket{{0, 2}, {1, 3}, {2, 3}}, strips[0].Buckets)
	require.Equal(t, []time.Time{first, first.Add(20 * time.Minute)}, Upcoming(&rows[0], 2))
	require.Empty(t, Upcoming(&rows[1], 2))
}
