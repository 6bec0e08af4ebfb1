package socketio

import (
	"net"
	"syscall"
)

// wrapper is a connection that only observes the one beneath: who writes there must tell it how much. A connection that
// changes what it carries, as that of TLS does, has no such method.
type wrapper interface {
	NetConn() net.Conn
	Wrote(n int)
}

// direct returns the way to the socket beneath conn, and whom to tell what was written there. It returns nil where
// there is none, or none that this system offers; then only conn itself is used.
func direct(conn net.Conn) (syscall.RawConn, []wrapper) {
	var observers []wrapper
	for {
		w, ok := conn.(wrapper)
		if !ok {
			break
		}
		observers = append(observers, w)
		conn = w.NetConn()
	}
	if sc, ok := conn.(syscall.Conn); ok && directIO {
		if raw, err := sc.SyscallConn(); err == nil {
			return raw, observers
		}
	}
	return nil, nil
}
