// Package control is the control socket: a Unix socket on which the arbiter of
// the web workers can be looked at and steered, in Gunicorn's protocol, so that
// gunicornc works on it unchanged. The package has both ends, Server and Client.
//
// A frame is a length of four bytes, big endian, and that many bytes of JSON. A
// request is {"id", "command", "args"}; the answer carries the same id and
// {"status": "ok", "data": {…}} or {"status": "error", "error": "…"}. The members
// of each answer are Gunicorn's; ours come in addition to them, never in their place.
//
// Who may connect is decided by the permissions of the socket's file alone, as
// with Gunicorn; who it was is read from the kernel and goes into the log and to
// Options.Audit with each command.
//
// What holds:
//   - The socket's file is never more open than its mode, not even while it is made.
//   - A file that is not a socket, or a socket that somebody answers on, is never removed.
//   - Memory is bounded: connections, the size of a frame, and commands in flight
//     have limits, and every wait has a deadline.
//   - What a client sends cannot end the arbiter: a command that panics is an
//     answer and a line in the log.
//
// The package knows the arbiter only as the interface Arbiter, and neither
// processes nor signals nor the configuration.
package control
