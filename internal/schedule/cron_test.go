package schedule_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/schedule"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return v.UTC()
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := schedule.ParseZone(name)
	require.NoError(t, err)
	return z
}

// dueTimes gives n due times after a moment, in UTC.
func dueTimes(t *testing.T, cron, zoneName, after string, n int) []string {
	t.Helper()
	e, err := schedule.ParseCron(cron)
	require.NoError(t, err)
	z := zone(t, zoneName)
	out := []string{}
	for due := at(t, after); len(out) < n; {
		due = e.Next(due, z)
		if due.IsZero() {
			break
		}
		out = append(out, due.Format("01-02T15:04Z"))
	}
	return out
}

// TestClocksThatJump is the table that the package comment promises.
func TestClocksThatJump(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, cron, zone, after string
		want                    []string
	}{
		{
			"a time of day in the gap is taken at its end", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
			[]string{"03-29T01:00Z", "03-30T00:30Z"},
		},
		{
			"several times in the gap are one", "0,15,30 2 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"03-29T01:00Z", "03-30T00:00Z"},
		},
		{
			"a time at the end of the gap is that one", "0 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"03-29T01:00Z", "03-30T00:00Z", "03-30T01:00Z"},
		},
		{
			"a time of day that comes twice is taken the first time", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"10-25T00:30Z", "10-26T01:30Z"},
		},
		{
			"the second time is not taken by who comes in between", "30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z",
			[]string{"10-26T01:30Z"},
		},
		{
			"quarter hours go through the gap evenly", "*/15 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z",
			[]string{"03-29T00:45Z", "03-29T01:00Z", "03-29T01:15Z"},
		},
		{
			"quarter hours go through the overlap evenly", "*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z",
			[]string{"10-25T00:30Z", "10-25T01:00Z", "10-25T01:30Z", "10-25T02:00Z"},
		},
		{
			"every hour on the hour has 23 and 25 hours", "@hourly", "America/New_York", "2026-11-01T04:30:00Z",
			[]string{"11-01T05:00Z", "11-01T06:00Z", "11-01T07:00Z"},
		},
		{
			"a gap at midnight", "0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z",
			[]string{"09-06T04:00Z", "09-07T03:00Z"},
		},
		{
			"an overlap at midnight", "30 23 * * *", "America/Santiago", "2026-04-04T12:00:00Z",
			[]string{"04-05T02:30Z", "04-06T03:30Z"},
		},
		{
			"a day that follows its elapsed hours after a gap at midnight", "0 * 6 9 *", "America/Santiago", "2026-09-06T03:00:00Z",
			[]string{"09-06T04:00Z", "09-06T05:00Z"},
		},
		{
			"half an hour's jump", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z",
			[]string{"10-03T15:30Z", "10-04T15:15Z"},
		},
		{
			"a zone that skipped a day", "0 9 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z",
			[]string{"12-29T19:00Z", "12-30T10:00Z", "12-30T19:00Z"},
		},
		{"a zone without jumps", "30 2 * * *", "UTC", "2026-03-28T12:00:00Z", []string{"03-29T02:30Z", "03-30T02:30Z"}},
		{"a zone with 45 minutes", "0 6 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", []string{"01-01T00:15Z", "01-02T00:15Z"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, dueTimes(t, tt.cron, tt.zone, tt.after, len(tt.want)))
		})
	}
}

func TestDaysAreChosenAsCronDoes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cron string
		want []string
	}{
		{"0 0 13 * 5", []string{"02-06T00:00Z", "02-13T00:00Z", "02-20T00:00Z"}},  // either will do
		{"0 0 */2 * 1", []string{"02-09T00:00Z", "02-23T00:00Z", "03-09T00:00Z"}}, // a star in one: both
		{"0 0 31 * *", []string{"03-31T00:00Z", "05-31T00:00Z"}},
		{"0 0 29 2 *", []string{"02-29T00:00Z"}},
		{"0 12 * jan-mar sun", []string{"02-01T12:00Z", "02-08T12:00Z"}},
		{"0 12 * * 7", []string{"02-01T12:00Z", "02-08T12:00Z"}},
		{"0 12 * * 5-7", []string{"02-01T12:00Z", "02-06T12:00Z", "02-07T12:00Z"}},
		{"50/5 1 1 * *", []string{"02-01T01:50Z", "02-01T01:55Z", "03-01T01:50Z"}},
		{"@Weekly", []string{"02-01T00:00Z", "02-08T00:00Z"}},
		{"@yearly", []string{"01-01T00:00Z"}},
	} {
		require.Equal(t, tt.want, dueTimes(t, tt.cron, "UTC", "2026-01-31T23:59:59Z", len(tt.want)), tt.cron)
	}
}

// naive says whether an expression of plain values and stars names a minute, by
// the book.
func naive(t *testing.T, cron string, local time.Time) bool {
	t.Helper()
	for i, f := range strings.Fields(cron) {
		v := []int{local.Minute(), local.Hour(), local.Day(), int(local.Month()), int(local.Weekday())}[i]
		if f != "*" && f != strconv.Itoa(v) {
			return false
		}
	}
	return true
}

func TestNextAgreesWithALookAtEveryMinute(t *testing.T) {
	t.Parallel()
	for _, cron := range []string{"7 * * * *", "0 * 3 * *", "59 23 * * *", "0 0 * * 0", "* 5 * 6 *", "30 12 28 2 *"} {
		e, err := schedule.ParseCron(cron)
		require.NoError(t, err)
		// Without jumps both kinds of expressions are what the book says; with them, those that follow elapsed time.
		zones := []string{"UTC", "Asia/Kolkata"}
		if strings.Fields(cron)[1] == "*" {
			zones = append(zones, "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe")
		}
		for _, name := range zones {
			z := zone(t, name)
			for _, from := range []time.Time{at(t, "2026-02-20T00:00:00Z"), at(t, "2026-09-01T00:00:00Z")} {
				next := e.Next(from, z)
				for m := from.Add(time.Minute); m.Before(from.AddDate(0, 0, 70)); m = m.Add(time.Minute) {
					if naive(t, cron, m.In(z)) && !m.Equal(next) {
						require.Equal(t, m, next, "%s in %s", cron, name)
					}
					if m.Equal(next) {
						require.True(t, naive(t, cron, m.In(z)))
						next = e.Next(m, z)
					}
				}
			}
		}
	}
}

func TestFaultsNameTheFieldWhatWasGivenAndWhatIsAccepted(t *testing.T) {
	t.Parallel()
	for cron, want := range map[string]string{
		"":                                      "has 0 fields; accepted are five",
		"* * * *":                               "has 4 fields",
		"* * * * * *":                           "has 6 fields",
		"60 * * * *":                            `minute is "60"; accepted are *, 0-59`,
		"0 24 * * *":                            `hour is "24"; accepted are *, 0-23`,
		"0 0 0 * *":                             `day of month is "0"; accepted are *, 1-31`,
		"0 0 1 foo *":                           `month is "foo"; accepted are *, 1-12 or JAN-DEC`,
		"0 0 * * 8":                             `day of week is "8"`,
		"*/0 * * * *":                           `minute is "*/0"`,
		"5-1 * * * *":                           `minute is "5-1"`,
		"1,,2 * * * *":                          `minute is "" in "1,,2"`,
		"-1 * * * *":                            `minute is "-1"`,
		"1/2/3 * * * *":                         `minute is "1/2/3"`,
		"0 0 30 2 *":                            "a day that no month has",
		"0 0 31 4,6,9,11 *":                     "a day that no month has",
		"@every 5m":                             "has 2 fields",
		"@reboot":                               `is "@reboot"`,
		"TZ=UTC 0 * * * *":                      "has 6 fields",
		strings.Repeat("1,", 150) + "1 * * * *": "at most 200 are accepted",
	} {
		_, err := schedule.ParseCron(cron)
		require.True(t, errs.Is(err, errs.Invalid), cron)
		require.Equal(t, "body.cron", errs.As(err).Details[0].Location)
		require.Contains(t, errs.As(err).Details[0].Message, want)
	}
	for _, name := range []string{"", "Local", "+02:00", "Mars/Olympus", "../etc/passwd", "right/UTC", strings.Repeat("a", 65), "Europe\\Berlin"} {
		_, err := schedule.ParseZone(name)
		require.True(t, errs.Is(err, errs.Invalid), name)
		require.Contains(t, errs.As(err).Details[0].Message, "Europe/Berlin")
	}
}

func TestExpressionsAreDescribed(t *testing.T) {
	t.Parallel()
	for cron, want := range map[string]string{
		"* * * * *":        "Every minute",
		"*/15 * * * *":     "Every 15 minutes",
		"0 * * * *":        "Every hour, on the hour",
		"5,35 * * * *":     "Every hour at :05 and :35",
		"30 2 * * *":       "At 02:30 every day",
		"0 9,17 * * 1-5":   "At 09:00 and 17:00 on weekdays",
		"0 0 1 * *":        "At 00:00 on day 1 of the month",
		"0 0 1 1 *":        "At 00:00 on day 1 of the month in January",
		"0 */6 * * *":      "Every 6 hours at :00 every day",
		"*/5 9-17 * * 1-5": "Every 5 minutes of the hours 9 to 17 on weekdays",
		"0 0 13 * 5":       "At 00:00 on day 13 of the month and on Fridays",
		"0 12 * * 0,6":     "At 12:00 on Saturdays and Sundays",
		"*/10 * * * 2":     "Every 10 minutes on Tuesdays",
		"* 3 * * *":        "Every minute of the hour 3 every day",
	} {
		e, err := schedule.ParseCron(cron)
		require.NoError(t, err)
		require.Equal(t, want, e.Describe(), cron)
	}
}

func FuzzCron(f *testing.F) {
	for _, s := range []string{"* * * * *", "*/15 9-17 1,15 jan-mar mon-fri", "@daily", "0 0 29 2 *", "0 0 29 2 1", "59 23 31 12 7", "1-5/2,7 * * * *", "@x", "9999999999 * * * *"} {
		f.Add(s, "Europe/Berlin", int64(1774742400))
	}
	f.Add("30 2 * * *", "America/Santiago", int64(0))
	f.Fuzz(func(t *testing.T, cron, name string, unix int64) {
		z, err := schedule.ParseZone(name)
		if err != nil {
			require.NotEmpty(t, errs.As(err).Details)
			z = time.UTC
		}
		e, err := schedule.ParseCron(cron)
		if err != nil {
			require.NotEmpty(t, errs.As(err).Details)
			return
		}
		again, err := schedule.ParseCron(e.String())
		require.NoError(t, err)
		require.NotEmpty(t, e.Describe())
		after := time.Unix(unix%(1<<33), 0)
		for range 3 {
			next := e.Next(after, z)
			require.False(t, next.IsZero(), "what is accepted fires")
			require.True(t, next.After(after))
			require.Equal(t, next, again.Next(after, z))
			after = next
		}
	})
}
