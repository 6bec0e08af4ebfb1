// Package accesslog writes a line for each request: in a format of Gunicorn's
// terms, or as JSON.
//
// A line is written when its request is over: after the answer, for a connection
// that was taken over (a WebSocket) when it is closed. Lines are collected and
// written by one goroutine, so that a slow disk or a full pipe holds up nobody: what
// does not fit into the bounded buffer is dropped and counted, and the log says so.
//
// What holds:
//   - Nothing that a client sends can begin a new line or end a quoted text: quotes,
//     backslashes and control characters are escaped, and what is too long is cut.
//   - Credentials stay out: the values of query parameters such as token are hidden,
//     and a format that names the Authorization or Cookie header is refused.
//   - Each write to the log is of whole lines, and of at most as many bytes as a pipe
//     takes in one piece, so that several processes can share it.
//
// The package knows neither the API nor the configuration; request and correlation
// id are taken from the headers of the answer.
package accesslog
