// Package serving is the process model of llmctl serve, after Gunicorn's: a
// master, the [Arbiter], opens the listening sockets and keeps a number of worker
// processes that accept on them. It knows processes, signals, sockets and time; what
// the workers serve is a handler that it is given.
//
// # Who owns what
//
// The arbiter is one goroutine. Signals, exits of children, messages of workers and
// calls from other goroutines are events of its loop, so its state needs no lock.
// It never serves a request and never waits for a worker.
//
// Listening sockets are opened once and inherited, never reopened: a socket that
// several processes share keeps its backlog when one of them stops accepting, so a
// connection that the kernel has accepted for us is never refused because a worker
// goes. (With one socket per process, SO_REUSEPORT, it would be.)
//
// # Channel
//
// Each worker has one end of a socket pair. Over it the worker says that it is
// ready, beats once a second with its figures, and asks to be replaced; the arbiter
// orders. Its end is also how a worker learns that the arbiter is gone, whatever
// killed it: then the worker stops accepting at once, ends what it has, and exits.
// The kernel's parent-death signal says the same to a worker that does not read.
//
// # Life of a worker
//
//	starting -> serving -> leaving -> draining -> (exit)
//
// starting: forked, not ready. serving: accepts. leaving: still accepts, but is to be
// replaced (reload, recycling). draining: told to go; accepts nothing more, and is
// killed when its grace is over. A worker is told to drain only when enough others
// serve, so the number of those that accept never falls below what was asked for.
//
// # Drain
//
// A master that stops closes its copy of the sockets first, so that the kernel refuses
// what nobody would serve. A draining worker closes its copy of the sockets and answers each further request
// on the connections it has with "Connection: close". It does not close a connection
// because it is idle right now: a request may be on its way. Connections that stay idle
// end with the keep-alive time, as they always do. Sockets of the realtime side are
// told to move, spread over a while, so that they do not all arrive elsewhere at once.
package serving
