// Package download brings models from a hub onto the disk: plans, jobs that any
// worker can take up, and what people can order of them. hub speaks with the hub,
// transfer writes the disk.
//
// It knows no transport and no queue: who enqueues, seals and listens is given to
// it.
//
// Invariants. A job is pinned to a commit and to the list of its files when it is
// made; both never change. Every write of an attempt carries its number and its
// worker and is a no-op when another attempt has begun. Endings are final, which
// the database holds. One unfinished job at a time has a target folder, which a
// unique index holds. A paused job holds no slot and no worker. The token of a job
// is sealed, is never read back by anybody but a worker, and is gone when the job
// has ended.
package download
