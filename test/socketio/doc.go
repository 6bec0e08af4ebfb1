// Package socketio drives our Socket.IO server with the official JavaScript client. It holds tests only; what the
// client checks is in client.mjs.
package socketio
