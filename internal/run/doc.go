// Package run is the run engine: the transactional state machine that moves a
// flowchart run from its start to its end.
//
// Each public operation is one transaction that locks the run's row, asks the
// pure flowchart package what follows, and writes everything that follows from
// it together: states, node runs, queue jobs and events (invariant "one
// commit"). Between transactions nothing lives in memory: the marking (tokens,
// live activations, counters) is a column of the run.
//
// Control nodes (start, end, decision) are evaluated in the transaction that
// activates them; they have a node run but no attempt and no job.
//
// Attempts are fenced. Claim is a compare-and-set that numbers the attempt;
// every later write carries that number and changes nothing when it is stale
// (ErrSuperseded). Endings are final; the database refuses to change them.
//
// Attempts in pods outlive the worker that claimed them (ADR 11). Whoever holds one
// is fenced by the attempt and the worker, and another worker adopts it; the pod is
// fenced by a token, its own id and the numbers of its events (Report, ReportEnd).
//
// A quick node is a node run that belongs to no run. Its own row stands where the
// run's row stands otherwise, and nothing follows from its end.
//
// When a node fails for good, or the run is cancelled, the run becomes
// "cancelling": what was not started is cancelled at once, what is running gets
// an order to stop, and the run ends (failed or cancelled) when each of them has
// confirmed.
//
// The package knows no transport, no executor and no queue library; it is given
// Jobs to enqueue with and a Signaller for stop orders.
package run
