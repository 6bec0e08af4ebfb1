package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// killDelay is how long a server gets between two ever harder ways to end it.
const killDelay = 5 * time.Second

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
