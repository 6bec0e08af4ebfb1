package app

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// notify tells the service manager how this process is doing, in systemd's protocol:
// a datagram to the socket that NOTIFY_SOCKET names. Without one nobody is told, and
// that it cannot be told is no reason to stop.
func notify(environ []string, state string) {
	path := ""
	for _, pair := range environ {
		if value, ok := strings.CutPrefix(pair, "NOTIFY_SOCKET="); ok {
			path = value
		}
	}
	if path == "" {
		return
	}
	if strings.HasPrefix(path, "@") {
		path = "\x00" + path[1:] // an abstract name
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte(state))
}

// notifyReady says that this process serves and is the one to watch: after an
// upgrade it is not the one that was started.
func notifyReady(environ []string) { notify(environ, fmt.Sprintf("READY=1\nMAINPID=%d", os.Getpid())) }
