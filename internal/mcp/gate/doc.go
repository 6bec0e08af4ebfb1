// Package gate waits until MCP servers are ready, so that what needs them starts
// after them.
//
// An endpoint is ready when it completes the protocol's initialize handshake over
// streamable HTTP. All endpoints share one deadline and are tried at the same
// time, each with growing pauses. The package knows neither the environment nor
// where its findings are shown.
//
// Invariants: Wait never outlives its deadline by more than the time that a closed
// connection takes; every failed try has a reason in words; a password in an
// endpoint's address is never shown.
package gate
