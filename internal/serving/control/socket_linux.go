package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
)

// bind makes the socket's file. Linux gives a new file the permissions of the
// socket it is bound to, less the umask, so setting them before leaves no moment in
// which the file is more open. The umask itself belongs to the whole process and
// is not touched.
func bind(ctx context.Context, path string, mode fs.FileMode) (*net.UnixListener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var set error
		err := raw.Control(func(fd uintptr) { set = syscall.Fchmod(int(fd), uint32(mode.Perm())) })
		return errors.Join(err, set)
	}}
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	listener, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen gave a %T", l), l.Close())
	}
	return listener, nil
}

// peerOf asks the kernel who is at the other end.
func peerOf(conn *net.UnixConn) Peer {
	raw, err := conn.SyscallConn()
	if err != nil {
		return unknownPeer()
	}
	peer := unknownPeer()
	_ = raw.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			peer = Peer{PID: int(cred.Pid), UID: int(cred.Uid), GID: int(cred.Gid)}
		}
	})
	return peer
}
