package disposable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres/embedded"
)

// Reasons of the errors for users.
const (
	ReasonPortTaken = "with_test.port_taken"
	ReasonUnusable  = "with_test.folder_unusable"
	ReasonNoKept    = "with_test.nothing_kept"
)

const (
	runPrefix   = "llmctl-with-test-"
	portRange   = 100 // next ports that are tried before any free one
	portRaces   = 20  // how often a port may be snatched between the look and the start
	stopTimeout = 30 * time.Second
	ownRole     = "llmctl" // the cluster's own
)

// Options of Start.
type Options struct {
	BinDir      string
	NodeModules []string
	Logger      *slog.Logger
	Port        int  // tried first; 0: a unix socket, no port
	Strict      bool // fail when it is taken
	Keep        bool // leave it running when this process ends, or use the one that runs
	Durable     bool // write to disk as in earnest
	Database    string
	User        string
	Password    string // empty: generated
	Timeout     time.Duration
}

// Server is a running server.
type Server struct {
	URI    string
	Port   int
	PID    int
	Kept   bool
	Reused bool

	dir    string
	opts   embedded.Options
	server *embedded.Server
}

// Start starts a server, or finds the kept one on the wanted port.
func Start(ctx context.Context, o Options) (*Server, error) {
	sweep()
	if o.Port == 0 {
		return startOn(ctx, o, 0)
	}
	if o.Keep {
		release, err := keepLock(ctx)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	if s, err := o.reuse(ctx); s != nil || err != nil {
		return s, err
	}
	next := o.ports()
	var err error
	for range portRaces {
		var port int
		if port, err = next(); err != nil {
			return nil, err
		}
		var s *Server
		if s, err = startOn(ctx, o, port); err == nil {
			return s, nil
		}
		// Somebody may have taken the port after the look at it.
		if ctx.Err() != nil || free(port) {
			return nil, err
		}
	}
	return nil, err
}

// ports gives the wanted port if it is free, then the next ones, then any.
func (o Options) ports() func() (int, error) {
	tried := -1
	return func() (int, error) {
		for tried < portRange && !o.Strict || tried < 0 {
			tried++
			if port := o.Port + tried; port <= 65535 && free(port) {
				return port, nil
			}
		}
		if o.Strict {
			return 0, errs.Ef(errs.Conflict, ReasonPortTaken, "Port %d of 127.0.0.1 is taken, and LLMCTL_TEST_POSTGRES_STRICT_PORT asks for no other.", o.Port)
		}
		listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = listener.Close() }()
		_, text, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(text)
	}
}

func free(port int) bool {
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return false
	}
	_ = listener.Close()
	return true
}

func startOn(ctx context.Context, o Options, port int) (*Server, error) {
	dir, err := o.folder(ctx, port)
	if err != nil {
		return nil, err
	}
	s := &Server{Port: port, Kept: o.Keep, dir: dir}
	s.opts = embedded.Options{
		DataDir: dir, BinDir: o.BinDir, NodeModules: o.NodeModules, Logger: o.Logger,
		Port: port, Database: o.Database, Settings: o.settings(), StartTimeout: o.Timeout,
	}
	if o.Keep && port != 0 {
		s.server, err = embedded.StartDetached(ctx, s.opts)
	} else {
		s.server, err = embedded.Start(ctx, s.opts)
	}
	if err != nil {
		return nil, errors.Join(err, embedded.Discard(s.opts))
	}
	s.PID = s.server.PID()
	if s.URI, err = o.role(ctx, s.server.URI()); err == nil && o.Keep && port != 0 {
		err = s.remember(o)
	}
	if err != nil {
		s.Kept = false
		return nil, errors.Join(err, s.Stop(ctx))
	}
	return s, nil
}

func (o Options) settings() []string {
	settings := []string{"max_connections=400"}
	if !o.Durable {
		settings = append(settings, "fsync=off", "full_page_writes=off")
	}
	return settings
}

// folder is where the server's data goes. The database's account must pass
// through it; what lies in it has modes of its own.
func (o Options) folder(ctx context.Context, port int) (string, error) {
	if !o.Keep || port == 0 {
		dir, err := os.MkdirTemp("", runPrefix)
		if err != nil {
			return "", fmt.Errorf("make temporary folder: %w", err)
		}
		return dir, os.Chmod(dir, 0o711) //nolint:gosec // see above
	}
	dir := keptFolder(port)
	// What an earlier server left there, for example when the machine went down.
	if err := ownedByUs(dir); err != nil {
		return "", err
	}
	if err := embedded.StopDetached(ctx, embedded.Options{DataDir: dir, Logger: o.Logger}); err != nil {
		return "", err
	}
	if err := embedded.Discard(embedded.Options{DataDir: dir}); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o711); err != nil { //nolint:gosec // see above
		return "", fmt.Errorf("make temporary folder: %w", err)
	}
	return dir, nil
}

// role gives the address with the wanted user and password.
func (o Options) role(ctx context.Context, uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", fmt.Errorf("read the server's address: %w", err)
	}
	if (o.User == "" || o.User == ownRole) && o.Password == "" {
		return uri, nil
	}
	user, password := o.User, o.Password
	if user == "" {
		user = ownRole
	}
	if password == "" {
		password, _ = u.User.Password()
	}
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		return "", fmt.Errorf("connect to the new server: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	verb := "CREATE"
	if user == ownRole {
		verb = "ALTER"
	}
	quoted, err := conn.PgConn().EscapeString(password)
	if err != nil {
		return "", errs.E(errs.Invalid, "with_test.password", "LLMCTL_TEST_POSTGRES_PASSWORD has bytes that PostgreSQL does not take.").With(err)
	}
	sql := verb + " ROLE " + pgx.Identifier{user}.Sanitize() + " SUPERUSER LOGIN PASSWORD '" + quoted + "'"
	if _, err := conn.Exec(ctx, sql); err != nil {
		return "", fmt.Errorf("make the role %s: %w", user, err)
	}
	u.User = url.UserPassword(user, password)
	return u.String(), nil
}

// Stop ends the server and removes its data, unless it is kept.
func (s *Server) Stop(ctx context.Context) error {
	if s.Kept || s.Reused {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(s.server.Stop(ctx), embedded.Discard(s.opts))
}

// sweep removes what servers left whose process was killed. A server dies with
// its process, so a folder that nobody locks is garbage.
func sweep() {
	runs, err := filepath.Glob(filepath.Join(os.TempDir(), runPrefix+"[0-9]*"))
	if err != nil {
		return
	}
	for _, dir := range runs {
		// One without a lock file is just being made, or just being removed.
		if _, err := os.Stat(filepath.Join(dir, "llmctl.lock")); err != nil || ownedByUs(dir) != nil {
			continue
		}
		lock, err := embedded.LockDataDir(dir)
		if err != nil {
			continue
		}
		_ = embedded.Discard(embedded.Options{DataDir: dir}) // the next one tries again
		lock.Release()
	}
}

// ownedByUs refuses a folder that another account has put in our way.
func ownedByUs(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() {
		return errs.Ef(errs.Precondition, ReasonUnusable, "%s does not belong to this account. Remove it, or give --port another port.", dir)
	}
	return nil
}
