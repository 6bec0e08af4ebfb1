// Package redisconn turns the address of a Redis deployment into a client: a
// single server, with or without TLS, a Sentinel group, or a Cluster.
//
// It knows nothing of what is sent through Redis. The forms of the address are
// told in docs/operations/redis.md; an error says which part is wrong and what is
// accepted, and never shows a password.
//
// Clients from here try once and wait for a bounded time: the callers have their
// own idea of when to try again, and what they send may be lost.
package redisconn
