// Package socketio is a Socket.IO server: Engine.IO protocol 4 below, Socket.IO protocol 5 above, over HTTP
// long-polling and WebSocket.
//
// It knows nothing of the program around it. Authorisation and what events mean belong to the caller, who gets a
// [Handler] per namespace and sends with [Socket.Send]; an event for many sockets is encoded once, as a [Message], and
// shared by all of them. Who keeps sets of sockets anyway sends to each; for others there are rooms, see [Audience].
//
// Layers, from the wire up:
//
//   - frame.go, packet.go, binary.go: the encodings, pure functions.
//   - direct.go, source.go, flush.go, workers.go, greeting.go: sockets, read and written with as little as possible.
//   - polling.go, websocket.go, upgrade.go: how packets travel.
//   - conn.go, close.go: one Engine.IO session: its bounded queue, heartbeat and end.
//   - dispatch.go, socket.go: namespaces, events, acknowledgements.
//   - rooms.go: who is in which room, and sending to those.
//   - server.go, origin.go, stats.go: the HTTP face.
//   - raw.go: Engine.IO alone.
//
// Invariants:
//
//   - Nobody who sends ever waits for a peer. A frame is queued or refused; a peer whose queue is full is cut off.
//   - What one sender queues on one socket arrives in that order, also across the change from polling to WebSocket.
//   - For one socket, Connect, every Event and Disconnect run one after another, never at the same time.
//   - Everything a peer can make us keep is bounded by [Options].
//   - No goroutine belongs to an idle session except the one that waits for its WebSocket to say something, and that one
//     has no buffer and never grows its stack.
//   - Flushers never wait for a peer.
//
// Lock order: conn.inbound, conn.mu, then Server.mu, Socket.mu or flushers.mu, then roster.mu. Handlers run without locks.
package socketio
