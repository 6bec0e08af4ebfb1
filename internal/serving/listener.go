package serving

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/llmctl/studio/internal/errs"
)

// Listener is an open listening socket that worker processes inherit. The arbiter
// never accepts on it.
type Listener struct {
	Address string   // as configured: host:port or unix:/path
	Addr    net.Addr // as bound
	fd      int
	path    string // of a Unix socket
	inode   uint64 // of that path, so that only our own is removed
}

const (
	// takeover is how long an address may be taken by what an earlier process of
	// ours left behind: its workers let go as soon as they notice.
	takeover      = 3 * time.Second
	takeoverPause = 50 * time.Millisecond
)

// Listen opens a listening socket of GUNICORN_BIND; see ListenFor.
func Listen(ctx context.Context, address string, log *slog.Logger) (*Listener, error) {
	return ListenFor(ctx, "GUNICORN_BIND", address, log)
}

// ListenFor opens the listening socket that a setting names. An address that is
// taken is tried again for a moment; the error then names the process that has it, if
// that can be found out.
func ListenFor(ctx context.Context, setting, address string, log *slog.Logger) (*Listener, error) {
	deadline := time.Now().Add(takeover)
	for {
		l, err := listenOnce(ctx, address)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
		holder := holderOf(address)
		if holder.orphanOfOurs() {
			log.WarnContext(ctx, "ending a worker that an earlier master left behind", "pid", holder.pid, "address", address)
			_ = syscall.Kill(holder.pid, syscall.SIGKILL)
		}
		if !time.Now().Add(takeoverPause).Before(deadline) || ctx.Err() != nil {
			return nil, errs.Ef(errs.Conflict, "serve.address_taken", "The address %s is taken%s. Stop what uses it, or choose another one with %s.", address, holder, setting)
		}
		timer := time.NewTimer(takeoverPause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

func listenOnce(ctx context.Context, address string) (*Listener, error) {
	network, target := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, target = "unix", path
		if err := clearSocket(ctx, path); err != nil {
			return nil, err
		}
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, network, target)
	if err != nil {
		return nil, explainListen(address, err)
	}
	defer func() { _ = ln.Close() }()
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	l := &Listener{Address: address, Addr: ln.Addr()}
	if l.fd, err = duplicate(ln); err != nil {
		return nil, err
	}
	if network == "unix" {
		l.path = target
		l.inode = inodeOf(target)
	}
	return l, nil
}

func explainListen(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return err
	case errors.Is(err, syscall.EACCES):
		return errs.Ef(errs.Invalid, "serve.address_denied", "This account may not listen on %s. Ports below 1024 and folders of others need more rights.", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return errs.Ef(errs.Invalid, "serve.address_unknown", "This machine has no address %s. Set GUNICORN_BIND to one that it has, or to 0.0.0.0:<port>.", address)
	case errors.Is(err, syscall.EINVAL) && strings.HasPrefix(address, "unix:"):
		return errs.Ef(errs.Invalid, "serve.path_too_long", "The path of %s is too long for a Unix socket (at most 107 bytes).", address)
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(address, "unix:"):
		return errs.Ef(errs.Invalid, "serve.no_folder", "The folder of %s does not exist.", address)
	default:
		return fmt.Errorf("listen on %s: %w", address, err)
	}
}

// clearSocket removes a Unix socket that nobody listens on any more. Anything else
// at that path is left alone.
func clearSocket(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil //nolint:nilerr // nothing there, or listening says what is wrong
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return errs.Ef(errs.Conflict, "serve.not_a_socket", "There is a file at %s that is not a socket. Remove it, or choose another path.", path)
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("listen on unix:%s: %w", path, syscall.EADDRINUSE)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove stale socket: %w", err)
		}
	}
	return nil
}

// duplicate gives a descriptor of the socket that outlives ln. It does not go
// through os.File, whose Fd would make the shared socket blocking.
func duplicate(ln net.Listener) (int, error) {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("listener of type %T has no descriptor", ln)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("descriptor of listener: %w", err)
	}
	fd, errDup := -1, error(nil)
	err = raw.Control(func(own uintptr) {
		fd, errDup = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 10)
	})
	if err = errors.Join(err, errDup); err != nil {
		return 0, fmt.Errorf("duplicate listener: %w", err)
	}
	return fd, nil
}

// adopt takes over a listening socket that an earlier master passed on.
func adopt(address string, fd int) (*Listener, error) {
	unix.CloseOnExec(fd)
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d is no socket: %w", fd, err)
	}
	l := &Listener{Address: address, fd: fd}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		l.Addr = &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *unix.SockaddrInet6:
		l.Addr = &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *unix.SockaddrUnix:
		l.Addr = &net.UnixAddr{Net: "unix", Name: a.Name}
		l.path, l.inode = a.Name, inodeOf(a.Name)
	default:
		return nil, fmt.Errorf("descriptor %d is a socket of an unexpected family", fd)
	}
	return l, nil
}

// Open gives the socket as a listener of this process, for a process without an
// arbiter. Closing it removes the path of a Unix socket.
func (l *Listener) Open() (net.Listener, error) {
	f := os.NewFile(uintptr(l.fd), l.Address)
	defer func() { _ = f.Close() }()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", l.Address, err)
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(true)
	}
	return ln, nil
}

// close lets go of the socket. unlink removes the path of a Unix socket, unless
// somebody else has put another one there.
func (l *Listener) close(unlink bool) {
	_ = unix.Close(l.fd)
	if unlink && l.path != "" && inodeOf(l.path) == l.inode {
		_ = os.Remove(l.path)
	}
}

func inodeOf(path string) uint64 {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return 0
	}
	return st.Ino
}
