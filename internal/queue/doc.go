// Package queue is the work queue: River on Postgres under the public queue
// names, the registry of worker processes, and the recovery sweep.
//
// A job is only a pointer to a domain row. The row is the truth, so a doubled,
// lost or stale job does no harm: working it finds nothing to claim. River's own
// retries, time-outs and rescue are therefore switched off; the domain has its
// own, counted in seconds.
//
// Liveness. Each worker process beats every 2 s (a counter in its row). All processes
// watch the counters together, in rows too, so that what one saw counts for the others:
// a counter that stands still through 10 s of an unbroken watch means death, for good: a
// tombstone. Pauses break the watch, so a database outage or a machine that slept kills
// nobody. A worker that finds its own tombstone takes no more work.
//
// Slots. A process has one set of slots for all of its queues and kinds; jobs are
// fetched only for slots that were granted before, fairly among the queues (slots,
// driver). What needs to wake whom is in bell and wake; what must happen in time
// without depending on any one process is in due and Sweeper. The decisions are in
// docs/adr/0007-queue-and-slots.md.
//
// The package does not know what its jobs do: a Handler works each kind, a Domain
// says what became of the rows.
package queue
