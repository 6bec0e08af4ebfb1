// Package realtime delivers the event log to sockets: each event of a socket's
// rooms once, each stream in order, across reconnects and on any worker.
//
// It knows streams, rooms and snapshots, and nothing of what events mean or how
// they travel: a connection is a [Conn], which package app makes of a socket.
//
// # The hub
//
// One goroutine, that of [Hub.Run], owns all state. It never waits for a
// database or a socket: reading is done by goroutines that hand it their
// results, and sending only queues.
//
//   - position P: a snapshot of the database. Every event visible in P has been
//     processed.
//   - cursor per stream: the number last processed. A stream without a cursor has
//     nothing processed beyond what P shows.
//   - rooms: who is in which.
//
// A hint with an event whose number is the cursor's next one is processed at
// once; one that P shows or that the cursor has passed is dropped; any other
// (gap, unknown stream, no envelope) asks for a sweep. A sweep, once a second in
// any case, takes one read-only transaction with snapshot S, reads and processes
// all events that P did not show and the cursors have not passed (with hints, next
// to none), and sets P to S. What a
// snapshot shows of a stream is a prefix of it (package event), so a sweep never
// leaves a gap, and a lost hint costs at most the second. While the database
// does not answer, hints without gaps still flow.
//
// Processing an event gives it, encoded once, to every session that is in one of
// its rooms and whose floor (the snapshot up to which it is served already) does
// not show it.
//
// # Subscribing
//
// The requests of a session are served one after another. For a subscription the
// hub puts the session into the new rooms and lets its live events wait in a
// bounded buffer. Then a goroutine reads, in one transaction with snapshot S:
//
//   - for the new rooms, what the client's position did not show, without what the
//     session's other rooms have brought or will bring;
//   - for the streams in `after`, everything above that number, to the word (a
//     client that asks for it wants it, sent before or not). For these streams
//     `after` counts and the position does not;
//   - for the rooms it had, what P did not show: the hub then keeps of it what it
//     has not processed yet, since with floor S it would skip it.
//
// The answer goes first, then what was missed by stream and number, then the
// buffer without what S shows, then live events with floor S. A position given
// for a room that the session is in already has no effect: it is being served.
//
// # Resync
//
// What cannot be replayed (removed by retention, more than the limit, a position
// of another database) is answered with the rooms in `resync`; they start at S and
// the client fetches their state anew. A hub that finds too much in a sweep skips
// it and sends `rt.resync {rooms, position, reason}` to every session.
//
// # Positions
//
// `rt.position` goes to a session at most once a second, after P has come to show
// an event that it was sent. P never runs ahead of what the session was sent, so
// a client that comes back with it loses nothing; it may get again what it got
// after that position, which it tells by stream and number. The position in the
// answer to a subscription comes before what was missed: a client that asked for
// a replay keeps its old one until the next `rt.position`, which follows the
// replay. A room that was left keeps the position of the moment it was left.
package realtime
