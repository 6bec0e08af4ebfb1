// Package llm is the provider-neutral way to talk to a language model: one Request,
// streamed Deltas, one Response, and errors that say what a user can do.
//
// The package must not know flowcharts, threads or where keys are stored. Its
// sub-packages speak the protocols of the providers; registry picks one.
//
// Invariants that the conformance suite holds for every provider: nothing is
// retried (the engine does that, and must be able to count); when the context of
// Chat ends, the provider's connection is closed at once; a stream that breaks off
// is an error, never a short answer; no error carries the key.
package llm
