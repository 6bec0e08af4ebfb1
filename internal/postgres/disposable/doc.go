// Package disposable gives a PostgreSQL server for a while: for one command's run,
// or, when asked, until it is stopped by name of its port.
//
// It knows nothing of schemas. What a server of it holds is thrown away.
//
// Invariants: servers that are not kept share nothing, so any number of them run
// side by side; a kept one is found by its port, by the account that started it
// only; a server is never stopped by anybody who did not ask for it by its port.
package disposable
