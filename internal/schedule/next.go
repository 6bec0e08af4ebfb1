package schedule

import (
	"hash/fnv"
	"strconv"
	"time"
)

// horizon is how far ahead a time is looked for. The rarest that an expression can
// name is a 29 February on a given weekday over a century without one.
const horizon = 45 * 366

// Next gives the first due time after t, in UTC; none: the zero time. Due times
// strictly increase.
func (e Expression) Next(t time.Time, zone *time.Location) time.Time {
	if e.everyHour() {
		return e.nextElapsed(t, zone)
	}
	return e.nextOfDay(t, zone)
}

// fitsDay is cron's rule: where day of month and day of week are both restricted,
// either will do.
func (e Expression) fitsDay(month time.Month, day int, weekday time.Weekday) bool {
	if e.month&(1<<month) == 0 {
		return false
	}
	byDay, byWeekday := e.day&(1<<day) != 0, e.week&(1<<weekday) != 0
	if !e.anyDay && !e.anyWeekday {
		return byDay || byWeekday
	}
	return byDay && byWeekday
}

// nextElapsed walks through real time, minute by minute on days that fit.
func (e Expression) nextElapsed(t time.Time, zone *time.Location) time.Time {
	t = t.UTC()
	end := t.AddDate(0, 0, horizon)
	// Zones of the past had offsets with seconds, so a wall-clock minute need not begin with one of UTC.
	local := t.In(zone)
	t = t.Add(time.Minute - time.Duration(local.Second())*time.Second - time.Duration(local.Nanosecond()))
	for !t.After(end) {
		local = t.In(zone)
		switch {
		case !e.fitsDay(local.Month(), local.Day(), local.Weekday()):
			t = laterDay(local, t)
		case e.minute&(1<<local.Minute()) == 0:
			t = t.Add(time.Minute)
		default:
			return t
		}
	}
	return time.Time{}
}

// laterDay goes towards the next day, but not past its beginning, wherever a clock
// that jumps may put it.
func laterDay(local, t time.Time) time.Time {
	const widest = 3 * time.Hour // that a clock jumps at midnight
	start := time.Date(local.Year(), local.Month(), local.Day()+1, 0, 0, 0, 0, local.Location()).Add(-widest).UTC()
	if start.After(t) {
		return start
	}
	return t.Add(time.Minute)
}

// nextOfDay looks through the times of the day, day by day.
func (e Expression) nextOfDay(t time.Time, zone *time.Location) time.Time {
	local := t.In(zone)
	year, month, day := local.Date()
	for i := range horizon {
		// Noon exists on all days but those that a zone skipped whole; UTC knows all of them.
		date := time.Date(year, month, day+i, 12, 0, 0, 0, time.UTC)
		if !e.fitsDay(date.Month(), date.Day(), date.Weekday()) {
			continue
		}
		if due, ok := e.nextOnDay(date, t, zone); ok {
			return due
		}
	}
	return time.Time{}
}

// nextOnDay gives the first time of the day that is after t.
func (e Expression) nextOnDay(date, t time.Time, zone *time.Location) (time.Time, bool) {
	for hour := range 24 {
		if e.hour&(1<<hour) == 0 {
			continue
		}
		for minute := range 60 {
			if e.minute&(1<<minute) == 0 {
				continue
			}
			wall := time.Date(date.Year(), date.Month(), date.Day(), hour, minute, 0, 0, time.UTC)
			if due := instant(wall, zone); due.After(t) {
				return due, true
			}
		}
	}
	return time.Time{}, false
}

// instant gives the moment at which a clock in the zone first shows wall (whose
// own zone does not count), or, if it never does, the end of the gap.
func instant(wall time.Time, zone *time.Location) time.Time {
	guess := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), 0, 0, zone)
	start, end := guess.ZoneBounds()
	// The offsets that may hold around it: of the bounds' other sides and its own.
	var first time.Time
	for _, at := range []time.Time{start.Add(-1), guess, end} {
		_, offset := at.In(zone).Zone()
		candidate := wall.Add(-time.Duration(offset) * time.Second)
		if shows(candidate, wall, zone) && (first.IsZero() || candidate.Before(first)) {
			first = candidate
		}
	}
	if !first.IsZero() {
		return first.UTC()
	}
	for _, jump := range []time.Time{start, end} {
		if !jump.IsZero() && clock(jump.Add(-1), zone).Before(wall) && !clock(jump, zone).Before(wall) {
			return jump.UTC()
		}
	}
	return guess.UTC() // no zone's rules lead here
}

// clock is what a clock in the zone shows at t, as if it were UTC.
func clock(t time.Time, zone *time.Location) time.Time {
	l := t.In(zone)
	return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), l.Second(), l.Nanosecond(), time.UTC)
}

func shows(t, wall time.Time, zone *time.Location) bool { return clock(t, zone).Equal(wall) }

// timing is when a schedule is due and when that is fired.
type timing struct {
	id     int64
	cron   Expression
	zone   *time.Location
	every  time.Duration // 0: cron says when
	from   time.Time     // what every counts from
	jitter time.Duration
}

// next gives the first due time after t; zero: none.
func (m timing) next(t time.Time) time.Time {
	if m.every == 0 {
		return m.cron.Next(t, m.zone)
	}
	if t.Before(m.from) {
		t = m.from
	}
	passed := t.Sub(m.from)
	return m.from.Add(passed - passed%m.every + m.every).UTC()
}

// after gives the first due time after t and when it is fired; zero: none.
func (m timing) after(t time.Time) (due, fire time.Time) {
	due = m.next(t)
	if due.IsZero() {
		return due, due
	}
	return due, due.Add(m.delay(due))
}

// delay is the jitter of a due time: always the same for it, at most what the
// schedule allows, and before the next due time, so that firings keep their order.
func (m timing) delay(due time.Time) time.Duration {
	most := m.jitter
	if most <= 0 {
		return 0
	}
	if next := m.next(due); !next.IsZero() {
		most = min(most, next.Sub(due)-time.Second)
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(strconv.FormatInt(m.id, 10) + "@" + strconv.FormatInt(due.Unix(), 10)))
	return time.Duration(h.Sum64()%uint64(most/time.Second+1)) * time.Second
}
