// Package redisadapter lets a socketio.Server share broadcasts with foreign Socket.IO servers and emitters over Redis:
// with those that speak the format of @socket.io/redis-adapter and @socket.io/redis-emitter ([Adapter], [Emitter]), and
// with programs that publish python-socketio's JSON messages ([PythonBridge]).
//
// It knows the package socketio and Redis, and nothing of the program around it.
//
// # Who is in a room
//
// Foreign messages address rooms, and a socket is in the rooms that it was put into with socketio.Socket.Join: by the
// program, or by a join request from outside. A program with rooms of its own, where a client must be let in, puts its
// sockets into rooms of the same names when it has let them in. Join and leave requests from outside change only who
// gets what comes from outside.
//
// Redis is trusted: whoever can publish there can send anything to any client and disconnect it, as with every server
// of this kind.
//
// # Guarantees
//
// Few. What comes through here is outside of any ordering or replay that the program has for its own events: it comes
// at most once, in the order in which Redis hands it on, and what is published while the subscription is away is lost.
// A subscription proves every [Options.PingEvery] that it still hears, and is made anew with back-off.
//
// What comes from the same [Options.Group] is ignored: its members have ways of their own to tell each other.
//
// # The classic format
//
// Channels, with the prefix "socket.io" (Options.Key) and a namespace that includes its slash:
//
//   - socket.io#/ns# and socket.io#/ns#room#: MessagePack [uid, packet, opts]. The room in the channel's name is there to
//     skip a message early; opts.rooms says who is meant. An empty room part is a message to several rooms or to the
//     whole namespace. A room may contain a #.
//   - socket.io-request#/ns#: JSON or MessagePack. Answered are 0 (sockets), 1 (rooms), 2 (join), 3 (leave),
//     4 (disconnect), 5 (fetch) and 7 (broadcast with acknowledgements); 6 (events between servers) is for programs
//     that have them, so it is counted and ignored.
//   - socket.io-response#/ns#: our answers.
//
// Limits: messages, nesting, attachments and rooms of a message are bounded, and so is what waits to be published;
// what exceeds them is dropped and counted, see [Status].
package redisadapter
