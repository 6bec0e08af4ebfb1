// Package schedule starts flowcharts when their time comes.
//
// It must not know who calls it (commands, HTTP), nor how many others do the same:
// any number of processes may fire the same schedules.
//
// # Once
//
// A firing is a row, unique by schedule and due time. [Firer.FireDue] takes a
// schedule whose time has come (FOR UPDATE SKIP LOCKED, by the database's clock),
// writes the firing, starts the run with its jobs and events, and sets the next
// time, all in one transaction. A process that dies before the commit has done
// nothing, one that dies after it has done everything; whoever comes next finds
// the row as it is. Nobody is elected, so nothing waits for an election.
//
// # Times
//
// [Expression] names wall-clock times, in a time zone of the IANA database. Where
// the clock jumps, wall clock and time differ, and this is what holds:
//
//   - An expression that does not restrict the hour follows elapsed time: each
//     minute of the hour that comes twice counts, those of the hour that is left
//     out do not exist.
//   - One that restricts the hour means times of the day: a time that is left out
//     is taken at the end of the gap, one that comes twice is taken the first time.
//
// So "every 15 minutes" never pauses or doubles, and "every day at 02:30" fires
// once a day, each day.
//
// A due time is what the expression names; the jitter moves its firing later, by
// an amount that depends on schedule and due time only, and never past the next
// due time.
//
// # Sources
//
// A schedule may index a source instead. The release before knows no such schedules and
// takes whatever has a next_fire_at for one of a flowchart; so the times of sources'
// schedules are stored in index_due_at and index_fire_at, where it does not look. [Row]s
// that this package gives have them in NextDueAt and NextFireAt like all others.
//
// # Locks
//
// A source is locked before its schedule, by an edit of either as by a firing. Who takes
// a due schedule locks both and waits for neither.
package schedule
