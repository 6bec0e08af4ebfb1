package schedule

import (
	"errors"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

// Preview is what an expression means.
type Preview struct {
	Cron        string
	Description string
	Times       []Occurrence
}

// Occurrence is a due time as a clock in the zone shows it.
type Occurrence struct {
	At    time.Time
	Local string // with the zone's abbreviation or offset
}

// PreviewOf gives the next count due times after now. Error: invalid, with
// everything that is wrong.
func PreviewOf(cron, zoneName string, count int, now time.Time) (Preview, error) {
	e, errCron := ParseCron(cron)
	zone, errZone := ParseZone(zoneName)
	if err := errors.Join(errCron, errZone); err != nil {
		return Preview{}, errs.E(errs.Invalid, "schedule.invalid", "The times cannot be told.", append(detailsOf(errCron), detailsOf(errZone)...)...)
	}
	p := Preview{Cron: e.String(), Description: e.Describe(), Times: make([]Occurrence, 0, count)}
	for t := e.Next(now, zone); len(p.Times) < count && !t.IsZero(); t = e.Next(t, zone) {
		p.Times = append(p.Times, Occurrence{At: t, Local: t.In(zone).Format("Mon 2006-01-02 15:04 MST")})
	}
	return p, nil
}

// Bucket is a piece of a calendar strip with the firings that fall into it.
type Bucket struct {
	Index int
	Count int
}

// Strip is the firings of one schedule over a time.
type Strip struct {
	Schedule Row
	Buckets  []Bucket // only those with firings
}

// Calendar counts the planned firings of the schedules from a time on, in n
// buckets of a width.
func Calendar(rows []Row, from time.Time, width time.Duration, n int) []Strip {
	out := make([]Strip, 0, len(rows))
	end := from.Add(width * time.Duration(n))
	for i := range rows {
		r := &rows[i]
		s := Strip{Schedule: *r, Buckets: []Bucket{}}
		m, err := timingOf(r)
		if err != nil || r.NextDueAt == nil || r.NextFireAt == nil {
			continue
		}
		for due, fire := *r.NextDueAt, *r.NextFireAt; !due.IsZero() && due.Before(end); due, fire = m.after(due) {
			s.add(max(0, int(fire.Sub(from)/width)), n)
		}
		out = append(out, s)
	}
	return out
}

func (s *Strip) add(index, n int) {
	switch last := len(s.Buckets) - 1; {
	case index >= n:
	case last >= 0 && s.Buckets[last].Index == index:
		s.Buckets[last].Count++
	default:
		s.Buckets = append(s.Buckets, Bucket{Index: index, Count: 1})
	}
}
