// Package tracing makes OpenTelemetry spans and sends them to a collector. It is off
// unless a collector is configured: a nil *Tracer is a tracer that is off, and every
// function works on a context without a span.
//
// It must not know what is traced: no runs, no nodes, no providers; all names stand in
// names.go, since the conventions still move.
//
// Invariants. A collector that is slow, hung or gone never holds up the work: ended
// spans go into a bounded queue, and what does not fit is counted and dropped. What a
// span hangs under is kept as a row (a W3C traceparent) and the ids of the spans that
// others hang under are derived from rows, so whoever goes on with the work of a
// process that died makes spans of the same tree.
package tracing
