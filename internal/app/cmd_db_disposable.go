package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres/disposable"
)

type withTestFlags struct {
	durable, keep, stop, skipDeps bool
	python                        string
}

// withTest runs a command with a disposable database server.
func (c *command) withTest() *cobra.Command {
	var f withTestFlags
	cmd := &cobra.Command{
		Use:   "with-test [--keep] [--port 15432] [-- command [arguments]]",
		Short: "Run a command with a disposable PostgreSQL server, e.g. the tests",
		Long: `Starts a PostgreSQL server of its own on a port of 127.0.0.1, without Docker, names it
to the command in LLMCTL_STUDIO_DATABASE_URI and LLMCTL_TEST_DATABASE_URI, and removes
it afterwards. Without a command it runs this project's tests. The exit code is the
command's.

The port is 15432, or the next free one. Any number of these run at the same time.

--keep leaves the server running; the next call for the same port uses it again, until

  llmctl db with-test --stop

ends it and removes its data. The variables LLMCTL_TEST_POSTGRES_* set the same things
(see "llmctl config print").`,
		Example: "  llmctl db with-test\n  llmctl db with-test -- go test ./internal/run\n" +
			"  llmctl db with-test --keep -- psql-or-anything\n  llmctl db with-test --stop",
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.python != "" {
				return usageError{errors.New("--python names the interpreter of the original's tests; there is no Python here. Give the command to run after --")}
			}
			cfg, log, err := c.load("")
			if err != nil {
				return err
			}
			return c.runWithTest(cmd, cfg, log, f, args)
		},
	}
	c.flag(cmd, "port", "LLMCTL_TEST_POSTGRES_PORT", "port to try first")
	cmd.Flags().BoolVar(&f.keep, "keep", false, "leave the server running afterwards")
	cmd.Flags().BoolVar(&f.keep, "keep-container", false, "the same as --keep")
	cmd.Flags().BoolVar(&f.stop, "stop", false, "end the kept server of that port")
	cmd.Flags().BoolVar(&f.durable, "durable", false, "write to disk as in earnest, e.g. for measurements")
	cmd.Flags().BoolVar(&f.skipDeps, "skip-dep-check", false, "accepted for the original's sake; nothing is checked here")
	cmd.Flags().StringVar(&f.python, "python", "", "refused: there is no Python here")
	return cmd
}

func (c *command) runWithTest(cmd *cobra.Command, cfg *config.Config, log *slog.Logger, f withTestFlags, args []string) (err error) {
	ctx := cmd.Context()
	if f.skipDeps {
		cmd.PrintErrln("--skip-dep-check has no effect: there are no dependencies to check.")
	}
	if f.stop {
		if len(args) > 0 {
			return usageError{errors.New("--stop ends a kept server and runs no command; leave one of the two out")}
		}
		pid, err := disposable.StopKept(ctx, cfg.Test.Port, log)
		if err == nil {
			cmd.PrintErrf("stopped the server on port %d (process %d) and removed its data\n", cfg.Test.Port, pid)
		}
		return err
	}
	dir := ""
	if len(args) == 0 {
		if dir, err = repository(); err != nil {
			return err
		}
		args = []string{"go", "test", "-race", "-timeout", "20m", "./..."}
	}
	server, err := disposable.Start(ctx, disposable.Options{
		BinDir: cfg.Database.BinDir, NodeModules: nodeModules(), Logger: log, Port: cfg.Test.Port, Strict: cfg.Test.StrictPort,
		Keep: f.keep || cfg.Test.Keep, Durable: f.durable, Database: cfg.Test.Name, User: cfg.Test.User,
		Password: cfg.Test.Password.Reveal(), Timeout: cfg.Test.ReadyTimeout,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(ctx)) }()
	announce(cmd, server, cfg.Test.Port)
	return c.runWith(ctx, dir, args, server.URI)
}

// announce says where the server is, and how a kept one is reached and stopped.
func announce(cmd *cobra.Command, s *disposable.Server, wanted int) {
	switch {
	case s.Reused:
		cmd.PrintErrf("database: using the kept server on 127.0.0.1:%d (process %d)\n", s.Port, s.PID)
	case s.Port != wanted:
		cmd.PrintErrf("database: 127.0.0.1:%d, because %d is taken\n", s.Port, wanted)
	default:
		cmd.PrintErrf("database: 127.0.0.1:%d\n", s.Port)
	}
	if s.Kept {
		cmd.PrintErrf("it stays afterwards: %s\nto end it: llmctl db with-test --stop --port %d\n", s.URI, s.Port)
	}
}

// repository is the folder of this project that the working folder is in.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module github.com/llmctl/studio\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", usageError{errors.New("this is not the llmctl Studio repository, so there are no tests to run by default. " +
				"Give a command: llmctl db with-test -- command [arguments]")}
		}
		dir = filepath.Dir(dir)
	}
}

// childGrace is how long a command may take to end after it was told to.
const childGrace = 30 * time.Second

// runWith runs a command, passes signals on to it and gives its exit code. dir is
// where it runs; empty: here.
func (c *command) runWith(ctx context.Context, dir string, args []string, uri string) error {
	// Not bound to ctx: the command ends by the signal, in its own way.
	child := exec.Command(args[0], args[1:]...) //nolint:gosec,noctx // running it is what was asked for
	child.Dir = dir
	child.Env = append(append([]string{}, c.edge.Environ...), "LLMCTL_STUDIO_DATABASE_URI="+uri, "LLMCTL_TEST_DATABASE_URI="+uri)
	child.Stdin, child.Stdout, child.Stderr = c.edge.Stdin, c.edge.Stdout, c.edge.Stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	if err := child.Start(); err != nil {
		return errs.Ef(errs.Invalid, "with_test.command", "The command %q could not be started: %s", args[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	err := c.passSignals(ctx, child.Process, signals, ended)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exitError(exitCode(exit))
	}
	if err != nil {
		return errs.Ef(errs.Invalid, "with_test.command", "The command %q could not be run: %s", args[0], err)
	}
	return nil
}

// passSignals waits for the child and passes on what this process is told.
func (c *command) passSignals(ctx context.Context, child *os.Process, signals <-chan os.Signal, ended <-chan error) error {
	p := passer{child: child, atTerminal: terminal(c.edge.Stdin)}
	stop := ctx.Done()
	var late <-chan time.Time
	for {
		select {
		case err := <-ended:
			return err
		case s := <-signals:
			p.pass(s)
		case <-stop:
			// The signal that ended ctx is on its way through the channel above; without
			// one, the caller wants an end.
			stop, late = nil, time.After(200*time.Millisecond)
		case <-late:
			if !p.told {
				p.pass(syscall.SIGTERM)
			}
		case <-p.grace:
			_ = child.Kill() // the last resort; Wait tells
		}
	}
}

// passer passes signals on to a child, and counts down from the first one.
type passer struct {
	child      *os.Process
	atTerminal bool // which sends Ctrl-C and Ctrl-\ to the child by itself
	told       bool
	grace      <-chan time.Time
}

func (p *passer) pass(s os.Signal) {
	if !p.told {
		p.told, p.grace = true, time.After(childGrace)
	}
	if !p.atTerminal || (s != syscall.SIGINT && s != syscall.SIGQUIT) {
		_ = p.child.Signal(s) // it may just have ended
	}
}

// exitCode is the child's, or 128 and the signal that ended it, as shells have it.
func exitCode(exit *exec.ExitError) int {
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return max(exit.ExitCode(), 1)
}

// terminal says whether a stream is a terminal.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
