// Package periodic runs the system's own periodic tasks: each period of a task is
// claimed by one process, whatever the number of processes that offer to do it.
// It also keeps the list of those processes, so that people can be told that
// there is none.
//
// It must not know what the tasks do, nor schedules of users.
//
// # Once a period
//
// A task is a row with the time of its next period. A claim takes the row (FOR
// UPDATE SKIP LOCKED), moves that time to the end of the period by the
// database's clock, numbers the claim and leases it for as long as the task may
// take. So a period is claimed once at most, also when its process dies in the
// middle: the next one finds the lease over and notes that the work was
// interrupted. Tasks are such that the next period does what an interrupted one
// left. The number is the fence of the report at the end: who was given up
// reports nothing.
//
// A task that lasts longer than its period is not run twice at a time; the periods
// that begin meanwhile are left out.
package periodic
