package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

const (
	// DefaultFallback is where the socket goes when its own place cannot be used.
	DefaultFallback = "/tmp/gunicorn.ctl"
	// maxPath is how many bytes the system takes for the path of a Unix socket.
	maxPath = len(syscall.RawSockaddrUnix{}.Path) - 1
	// probeTimeout is how long a socket's owner may take to accept.
	probeTimeout = 2 * time.Second
)

// SocketOptions say where the control socket is made.
type SocketOptions struct {
	Path     string
	Fallback string      // tried when Path cannot be used; empty: none
	Mode     fs.FileMode // of the file, whatever the umask is
	// Replace takes the path over from a process that still answers on it: the
	// master of which this one is the upgrade.
	Replace bool
	Logger  *slog.Logger
}

// Socket is the bound control socket. Close it, or give it to a Server.
type Socket struct {
	listener *net.UnixListener
	path     string
	file     os.FileInfo // ours, to know it again
}

// Listen opens the socket at its path, else at the fallback. Each failure is a
// warning, and false means that neither can be used: serving goes on without.
func Listen(ctx context.Context, o SocketOptions) (*Socket, bool) {
	for i, path := range []string{o.Path, o.Fallback} {
		if path == "" || i > 0 && path == o.Path {
			continue
		}
		s, err := open(ctx, path, o.Mode, o.Replace)
		if err == nil {
			o.Logger.InfoContext(ctx, "control socket is open", "path", path, "mode", fmt.Sprintf("%04o", o.Mode.Perm()))
			return s, true
		}
		o.Logger.WarnContext(ctx, "control socket cannot be opened", "path", path, "error", errs.As(err).Message, "cause", cause(err))
	}
	o.Logger.WarnContext(ctx, "control socket is disabled; set GUNICORN_CONTROL_SOCKET to a path that can be used")
	return nil, false
}

func cause(err error) string {
	if e := errors.Unwrap(err); e != nil {
		return e.Error()
	}
	return ""
}

// Path is where the socket is.
func (s *Socket) Path() string { return s.path }

// Close stops accepting and removes the file, if it is still this socket's: an
// upgraded master may have put its own there.
func (s *Socket) Close() error {
	var removing error
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.file) {
		removing = os.Remove(s.path)
	}
	return errors.Join(removing, s.listener.Close())
}

// open makes the socket at one path.
func open(ctx context.Context, path string, mode fs.FileMode, replace bool) (*Socket, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, errs.Ef(errs.Unavailable, "control.folder", "The folder of the control socket %s cannot be made.", path).With(err)
	}
	if err := clearPath(ctx, path, replace); err != nil {
		return nil, err
	}
	listener, err := bind(ctx, path, mode)
	if err != nil {
		return nil, errs.Ef(errs.Unavailable, "control.bind", "The control socket %s cannot be made; its folder must be writable.", path).With(err)
	}
	listener.SetUnlinkOnClose(false) // Close looks whose file it is
	s := &Socket{listener: listener, path: path}
	// What the umask took away comes back; there was never more than the mode.
	if err = os.Chmod(path, mode.Perm()); err == nil {
		s.file, err = os.Lstat(path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set the mode of %s: %w", path, err), listener.Close(), os.Remove(path))
	}
	return s, nil
}

func checkPath(path string) error {
	if len(path) > maxPath {
		return errs.Ef(errs.Invalid, "control.path_too_long",
			"The path of the control socket has %d bytes, and the system takes at most %d: %s. Choose a shorter one, such as /run/llmctl/gunicorn.ctl.",
			len(path), maxPath, path)
	}
	return nil
}

// clearPath removes what a dead process left at path, and nothing else.
func clearPath(ctx context.Context, path string, replace bool) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return errs.Ef(errs.Unavailable, "control.path", "The path of the control socket, %s, cannot be looked at.", path).With(err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errs.Ef(errs.Conflict, "control.not_a_socket", "At %s is %s, which stays as it is. Remove it, or choose another path.", path, kindOf(info))
	}
	if !replace {
		if err := nobodyAnswers(ctx, path); err != nil {
			return err
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.Ef(errs.Unavailable, "control.stale", "The control socket that a former process left at %s cannot be removed.", path).With(err)
	}
	return nil
}

func kindOf(info os.FileInfo) string {
	switch {
	case info.IsDir():
		return "a folder"
	case info.Mode()&fs.ModeSymlink != 0:
		return "a symbolic link"
	case info.Mode().IsRegular():
		return "a file"
	default:
		return "something that is no socket"
	}
}

// nobodyAnswers is nil when the socket at path is left over.
func nobodyAnswers(ctx context.Context, path string) error {
	dialer := net.Dialer{Timeout: probeTimeout}
	conn, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return errs.Ef(errs.Conflict, "control.in_use", "Whether somebody uses the control socket %s cannot be found out.", path).With(err)
	}
	who := "Another process"
	if c, ok := conn.(*net.UnixConn); ok {
		if p := peerOf(c); p.PID > 0 {
			who = "Process " + strconv.Itoa(p.PID)
		}
	}
	_ = conn.Close()
	return errs.Ef(errs.Conflict, "control.in_use", "%s answers on the control socket %s. Stop it, or choose another path.", who, path)
}
