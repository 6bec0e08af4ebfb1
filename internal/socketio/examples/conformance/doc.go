// Command conformance serves what the official Engine.IO and Socket.IO conformance
// suites ask for: docs/engine.io-protocol/v4-test-suite and
// docs/socket.io-protocol/v5-test-suite in the repository of Socket.IO, both of
// which expect http://localhost:3000.
//
//	go run ./internal/socketio/examples/conformance --listen 127.0.0.1:3000
//
// With --peers it is one of a group: a session lives in the process that opened it,
// and each process passes on what it gets of another one's session. The suites then
// pass behind a proxy that picks a process for each request at random or in turn:
//
//	for port in 3001 3002 3003 3004; do
//		go run ./internal/socketio/examples/conformance --listen 127.0.0.1:$port \
//			--peers 127.0.0.1:3001,127.0.0.1:3002,127.0.0.1:3003,127.0.0.1:3004 &
//	done
//
// nginx.conf in this folder is such a proxy: nginx -c "$PWD/nginx.conf".
package main
