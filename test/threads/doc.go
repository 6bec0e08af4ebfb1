// Package threads runs the program itself: answers of a model are streamed to the official Socket.IO client while
// processes are killed. It needs bin/llmctl, node and test/socketio's packages.
package threads
