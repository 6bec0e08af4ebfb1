// Package uplink is the pod's side of the executor protocol over HTTP: it fetches the
// payload, asks whether the attempt may start, sends events in batches, and the
// result last. It must not know kinds of nodes or what stores the events.
//
// Invariants. Events are sent in order, one request at a time, and are kept until an
// answer says that they are stored; so a repeated request changes nothing, and an API
// that is away for a while costs no event and does not stop the work. What is not
// answered yet is bounded: then Report waits. Only an answer that is final ends the
// attempt: ErrRefused.
package uplink
