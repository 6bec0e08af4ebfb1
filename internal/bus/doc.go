// Package bus carries hints between the processes of an installation: "stream X
// has reached number N", often with the event itself, and small control signals.
//
// Nothing here is the truth. Hints and signals may be lost, doubled, late or in
// another order; whoever needs all of them reads the event log (package event)
// or asks the database again. That is why publishing never blocks and never
// fails: what does not fit is dropped and counted.
//
// What a process publishes reaches its own subscribers at once, without the
// transport; the transport's echo of it is skipped by the origin id. A driver
// proves with a canary that it still hears: a marker goes through the transport
// and must come back. If it does not, the driver reports itself unhealthy and
// subscribes anew.
//
// Handlers run on the publisher's or the listener's goroutine: they must return
// at once and must not take a lock that is held while publishing.
//
// The package knows the envelope's shape only to forward it. Package bustest has
// the conformance suite that every driver passes.
package bus
