// Package socketio drives our Socket.IO server with the official JavaScript client, and puts it into a cluster with the
// official server and emitter. It holds tests only; what is checked is in client.mjs and interop.mjs.
package socketio
