package schedule

import "time"

// grace is how late a firing may be without counting as missed: a restart or a
// short outage of the database must not cost one.
const grace = time.Minute

// maxOverdue bounds how many overdue times are counted: more than a year of
// minutes. What lies beyond is not told apart any more.
const maxOverdue = 600_000

// overdue is a time that has come.
type overdue struct {
	due    time.Time
	missed bool
}

// plan is what one transaction does to a schedule whose time has come.
type plan struct {
	missed     int       // times that are only noted
	lastMissed time.Time // of those
	fire       *overdue  // the time to be fired; nil: none
	due, next  time.Time // what comes afterwards, and when that is fired; zero: nothing
}

// planOf decides what is done now. At most one time is fired; what is left over
// comes with the next transaction.
func planOf(r *Row, m timing, now time.Time) plan {
	keep := 0 // how many missed ones are fired
	if r.MissedPolicy == MissedCatchUp {
		keep = int(r.CatchUpLimit)
	}
	var p plan
	var waiting []overdue // missed ones that are fired, then those that are just due
	missed := 0           // of waiting
	due, fire := *r.NextDueAt, *r.NextFireAt
	for n := 0; !due.IsZero() && !fire.After(now); n++ {
		late := fire.Before(now.Add(-grace))
		waiting = append(waiting, overdue{due, late})
		if late {
			missed++
		}
		if missed > keep {
			p.missed++
			p.lastMissed = waiting[0].due
			waiting = waiting[1:]
			missed--
		}
		if n == maxOverdue {
			due, fire = m.after(now.Add(-grace))
			continue
		}
		due, fire = m.after(due)
	}
	if len(waiting) == 0 {
		p.due, p.next = due, fire
		return p
	}
	p.fire = &waiting[0]
	p.due, p.next = m.after(waiting[0].due)
	return p
}
