package serving

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A worker's private socket lies in a folder that only this account may enter. The
// master asks there for figures, and other workers pass on requests that belong to
// a session of this one.

const (
	runDirPattern = "llmctl-serve-*"
	nameLength    = 12
	privateDial   = time.Second
)

// RunDir is the folder of the private sockets. A lock on it says that somebody uses
// it; process ids would not, since containers that share a folder count them apart.
type RunDir struct {
	Path string
	lock *os.File
}

// MakeRunDir makes the folder, and removes those that nobody uses any more. It lies
// in the system's temporary folder, since the path of a socket must be short.
func MakeRunDir() (*RunDir, error) {
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), runDirPattern))
	for _, dir := range old {
		removeUnused(dir)
	}
	path, err := os.MkdirTemp("", runDirPattern)
	if err != nil {
		return nil, fmt.Errorf("make folder for sockets: %w", err)
	}
	return OpenRunDir(path)
}

// OpenRunDir uses the folder of an earlier master as well.
func OpenRunDir(path string) (*RunDir, error) {
	lock, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open folder for sockets: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_SH); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("lock folder for sockets: %w", err)
	}
	return &RunDir{Path: path, lock: lock}, nil
}

// Close lets go of the folder; remove also removes it.
func (d *RunDir) Close(remove bool) {
	if remove {
		_ = os.RemoveAll(d.Path)
	}
	_ = d.lock.Close()
}

// removeUnused removes a folder that is a minute old and that nobody has locked. One
// that is younger may be about to be locked; one of another account stays.
func removeUnused(dir string) {
	info, err := os.Stat(dir)
	if err != nil || time.Since(info.ModTime()) < time.Minute {
		return
	}
	lock, err := os.Open(dir)
	if err != nil {
		return
	}
	defer func() { _ = lock.Close() }()
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		_ = os.RemoveAll(dir)
	}
}

// NewName makes a name that no worker of any replica had before.
func NewName() string { return rand.Text()[:nameLength] }

// ValidName tells whether name could be a worker's.
func ValidName(name string) bool {
	return len(name) == nameLength && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

func privatePath(dir, name string) string { return filepath.Join(dir, name) }

// listenPrivate opens a private socket; its name was never used before.
func listenPrivate(dir, name string) (*Listener, error) {
	path := privatePath(dir, name)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		return nil, fmt.Errorf("open private socket: %w", err)
	}
	ln.SetUnlinkOnClose(false)
	defer func() { _ = ln.Close() }()
	fd, err := duplicate(ln)
	if err != nil {
		return nil, err
	}
	return &Listener{Address: "unix:" + path, Addr: ln.Addr(), fd: fd, path: path, inode: inodeOf(path)}, nil
}

// HasPrivateSocket tells whether the folder has the socket of a worker of that name,
// which need not live any more.
func HasPrivateSocket(dir, name string) bool {
	_, err := os.Lstat(privatePath(dir, name))
	return err == nil
}

// OpenPrivate opens the private socket of a process that has no master.
func OpenPrivate(dir *RunDir, name string) (net.Listener, error) {
	l, err := listenPrivate(dir.Path, name)
	if err != nil {
		return nil, err
	}
	return l.Open()
}

// PrivateTransport reaches the private socket of one worker. An answer must begin
// within patience.
func PrivateTransport(dir, name string, patience time.Duration) *http.Transport {
	path := privatePath(dir, name)
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: privateDial}).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true, ResponseHeaderTimeout: patience,
	}
}
