// Package doctor looks at a deployment from where a browser is, and names what is
// wrong between the two, each with its fix.
//
// It speaks HTTP, Socket.IO's transports and TLS to an address, and knows nothing
// of the server's insides. What the server believes about a request it asks for, at
// operations made for that, which need an API key; without one those checks are
// skipped and say so.
//
// Invariants: a check changes nothing on the server; every request has a deadline
// and every answer a limit; a finding's id is stable; a deployment as the
// documentation has it yields none.
package doctor
