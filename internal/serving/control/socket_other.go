//go:build !linux

package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// bind makes the socket in a folder that only this user can enter, and moves it to
// its place once its permissions are set.
func bind(ctx context.Context, path string, mode fs.FileMode) (*net.UnixListener, error) {
	private, err := os.MkdirTemp(filepath.Dir(path), ".")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	first := filepath.Join(private, "s")
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", first)
	if err != nil {
		return nil, err
	}
	listener, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen gave a %T", l), l.Close())
	}
	listener.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(first, mode.Perm()), os.Rename(first, path)); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// peerOf knows nothing of the other end.
func peerOf(*net.UnixConn) Peer { return unknownPeer() }
