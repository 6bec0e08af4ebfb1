package embedded

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/llmctl/studio/internal/errs"
)

// LogFile is where a detached server writes its log, in the data folder.
const LogFile = "server.log"

// StartDetached is Start for a server that outlives this process: nothing ties
// its life to ours, and it gives up the lock. StopDetached ends it. It needs
// Options.Port, since the caller has to find it again.
func StartDetached(ctx context.Context, o Options) (*Server, error) {
	s, err := Prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.StartTimeout)
	defer cancel()
	err = s.launchDetached(ctx)
	if err == nil {
		err = s.ensureDatabase(ctx)
	}
	if err != nil {
		s.abandon(ctx)
		return nil, err
	}
	if s.ownsLock {
		s.opts.Lock.Release()
	}
	return s, nil
}

func (s *Server) launchDetached(ctx context.Context) error {
	path := filepath.Join(s.opts.Lock.Dir(), LogFile)
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := s.Command()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: cmd.SysProcAttr.Credential}
	p := &process{cmd: cmd, tail: &tail{log: s.opts.Logger}, done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return errs.Ef(errs.Unavailable, ReasonStart, "The database server %s could not be started.", cmd.Path).With(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	s.process = p
	if err := s.awaitReady(ctx); err != nil {
		text, _ := os.ReadFile(path)
		return fmt.Errorf("%w: %s", err, lastLines(string(text), tailLines))
	}
	return nil
}

// StopDetached ends a server that StartDetached left running on a data folder.
// It is no error when there is none.
func StopDetached(ctx context.Context, o Options) error {
	o.complete()
	lock, err := LockDataDir(o.DataDir)
	if err != nil {
		return err
	}
	defer lock.Release()
	p, err := locate(lock.Dir(), o.FallbackDir)
	if err != nil || p.major == 0 {
		return err
	}
	return clearPredecessor(ctx, p.data(p.major), o.Logger)
}

// Discard removes a data folder, and the cluster where it lies elsewhere. Its
// server must have ended.
func Discard(o Options) error {
	o.complete()
	p, err := locate(o.DataDir, o.FallbackDir)
	if err == nil && filepath.Dir(p.root) != filepath.Clean(o.DataDir) {
		if err := os.RemoveAll(filepath.Dir(p.root)); err != nil {
			return fmt.Errorf("remove the database: %w", err)
		}
	}
	if err := os.RemoveAll(o.DataDir); err != nil {
		return fmt.Errorf("remove the database: %w", err)
	}
	return nil
}
