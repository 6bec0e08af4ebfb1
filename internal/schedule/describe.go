package schedule

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// DescribeRow tells when a schedule fires, in words; "" when that cannot be read any more.
func DescribeRow(r *Row) string {
	if r.EverySeconds != nil {
		return describeEvery(int(*r.EverySeconds))
	}
	e, err := ParseCron(r.Cron)
	if err != nil {
		return ""
	}
	return e.Describe()
}

// describeEvery names an interval in the largest unit that it is a multiple of.
func describeEvery(seconds int) string {
	for _, u := range []struct {
		size int
		name string
	}{{7 * 24 * 3600, "week"}, {24 * 3600, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}} {
		switch n := seconds / u.size; {
		case seconds%u.size != 0:
		case n == 1:
			return "Every " + u.name
		default:
			return "Every " + strconv.Itoa(n) + " " + u.name + "s"
		}
	}
	return ""
}

// Describe says in words what the expression means.
func (e Expression) Describe() string {
	days := e.describeDays()
	when := e.describeTime()
	if days == "" {
		return when
	}
	return when + " " + days
}

func (e Expression) describeTime() string {
	minutes, hours := values(e.minute), values(e.hour)
	switch {
	case e.everyHour() && len(minutes) == 60:
		return "Every minute"
	case e.everyHour() && stepOf(minutes, 60) > 0:
		return fmt.Sprintf("Every %d minutes", stepOf(minutes, 60))
	case e.everyHour() && len(minutes) == 1 && minutes[0] == 0:
		return "Every hour, on the hour"
	case e.everyHour():
		return "Every hour at " + list(minutes, minuteName)
	case len(minutes) == 60:
		return "Every minute of " + hoursText(hours)
	case stepOf(minutes, 60) > 0:
		return fmt.Sprintf("Every %d minutes of %s", stepOf(minutes, 60), hoursText(hours))
	case len(minutes) == 1 && stepOf(hours, 24) > 0:
		return fmt.Sprintf("Every %d hours at %s", stepOf(hours, 24), minuteName(minutes[0]))
	case len(minutes)*len(hours) <= 6:
		var times []string
		for _, h := range hours {
			for _, m := range minutes {
				times = append(times, fmt.Sprintf("%02d:%02d", h, m))
			}
		}
		return "At " + join(times)
	}
	return "At " + list(minutes, minuteName) + " of " + hoursText(hours)
}

func (e Expression) describeDays() string {
	var parts []string
	allDays, allWeek, allMonths := bits.OnesCount64(e.day) == 31, bits.OnesCount64(e.week) == 7, bits.OnesCount64(e.month) == 12
	dayText := "on day " + list(values(e.day), strconv.Itoa) + " of the month"
	weekText := "on " + e.weekdays()
	switch {
	case allDays && allWeek && allMonths:
		if e.everyHour() {
			return ""
		}
		return "every day"
	case allDays && allWeek:
	case !e.anyDay && !e.anyWeekday:
		parts = append(parts, dayText+" and "+weekText) // either will do, so both kinds of days count
	case !allDays && !allWeek:
		parts = append(parts, weekText+", if it is day "+list(values(e.day), strconv.Itoa)+" of the month")
	case !allDays:
		parts = append(parts, dayText)
	default:
		parts = append(parts, weekText)
	}
	if !allMonths {
		parts = append(parts, "in "+list(values(e.month), func(m int) string { return time.Month(m).String() }))
	}
	return strings.Join(parts, " ")
}

func (e Expression) weekdays() string {
	switch e.week {
	case 0b0111110:
		return "weekdays"
	case 0b1000001:
		return "Saturdays and Sundays"
	}
	return list(values(e.week), func(d int) string { return time.Weekday(d).String() + "s" })
}

func values(set uint64) []int {
	var out []int
	for v := range 64 {
		if set&(1<<v) != 0 {
			out = append(out, v)
		}
	}
	return out
}

// stepOf gives n where the values are 0, n, 2n, ... below the size, which n
// divides; else 0.
func stepOf(v []int, size int) int {
	if len(v) < 2 || v[0] != 0 || size%v[1] != 0 || len(v) != size/v[1] || v[1] == 1 {
		return 0
	}
	for i := range v {
		if v[i] != i*v[1] {
			return 0
		}
	}
	return v[1]
}

func list(v []int, name func(int) string) string {
	out := make([]string, len(v))
	for i, n := range v {
		out[i] = name(n)
	}
	return join(out)
}

func join(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

func minuteName(m int) string { return fmt.Sprintf(":%02d", m) }

// hoursText names hours, those that follow each other by the first and the last.
func hoursText(hours []int) string {
	switch n := len(hours); {
	case n == 1:
		return "the hour " + strconv.Itoa(hours[0])
	case n > 2 && hours[n-1]-hours[0] == n-1:
		return fmt.Sprintf("the hours %d to %d", hours[0], hours[n-1])
	}
	return "the hours " + list(hours, strconv.Itoa)
}
