// Package peers makes the web workers of all replicas of an installation one: a
// request may arrive anywhere and is answered by the worker that it belongs to. It
// knows workers, addresses and HTTP, and nothing of sockets or events; what a session
// is, it knows only by the name that its id begins with.
//
// # Who is there
//
// Each worker has a row in web_worker, which it renews every two seconds ([Registry]);
// the list is read with the same rhythm and kept, so that no request waits for the
// database. A name that is not in the list is looked up at once, but not more often
// than a few times a second, whatever is asked for. A row that was not renewed for ten
// seconds counts as dead, unless the worker answers when it is asked, which begins after
// five: requests for it are not passed on, and those that wait for it are let go. So what
// ends a connection is that a worker does not answer, not that its entry is late. Without the database the last list stays.
//
// A worker that ends takes its row along; that of a killed one is removed by its master,
// or, when that died as well, by any other worker that finds nobody at its replica's
// address, or a replica that says it has no such worker. One that cannot be reached
// otherwise stays on the list for a minute, for people.
//
// # How a request travels
//
//	client -> any worker -> internal listener of the owner's replica -> owner's private socket
//
// or, between workers of one master, straight to the private socket. On the internal
// listener a request must prove where it comes from: a MAC with a key that is derived
// from the installation's secret key, over method, path, query, date and hop, not older
// (nor younger) than thirty seconds ([Signer]). Within that time it could be replayed by
// somebody who reads the network, who could as well read the answer: the internal
// listener belongs on a network of one's own. The body is not covered.
//
// Invariants:
//
//   - A request makes one hop between replicas. It arrives at a private socket, and what
//     arrives there is never passed on ([Arrived]).
//   - The owner's death, a refusal, and a stranger at the address are all the same to the
//     client: the answer of a server that does not know the session, after which the
//     official client makes a new one at once. Only an answer that carries the owner's
//     name counts as the owner's.
//   - Nothing waits without a limit: a second for a connection, the longest long poll for
//     an answer.
package peers
