package serving

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/llmctl/studio/internal/errs"
)

// Upgrade is how a master is replaced by one of a newer binary, on the same sockets
// and without a moment in which nobody accepts. The old master starts the new one
// and passes the sockets on; when all workers of the new one serve, it says so, and
// the old one drains. If the new one ends before that, the old one goes on.
type Upgrade struct {
	// Program is the binary as it is called on disk, so that a new file there is
	// what is started.
	Program string
	// Args is the command line of a new master that inherits the descriptors.
	Args func(channel int, sockets []Socket) []string
	// Environ of the new master: what this one was started with.
	Environ []string

	// Sockets and Channel were passed on to this master by an earlier one.
	Sockets []Socket
	Channel int // 0: there was none
}

// Socket is a listening socket that one master passes to the next.
type Socket struct {
	Address string `json:"address"`
	FD      int    `json:"fd"`
}

// upgradeTimeout is how long a new master may take until its workers serve.
const upgradeTimeout = 2 * time.Minute

// upgradeState is the old master's view of the new one.
type upgradeState struct {
	pid     int
	channel *channel
	giveUp  time.Time
	handed  bool // the new one serves
}

// listeners takes up what an earlier master passed on.
func (u Upgrade) listeners() ([]*Listener, error) {
	out := make([]*Listener, 0, len(u.Sockets))
	for _, s := range u.Sockets {
		l, err := adopt(s.Address, s.FD)
		if err != nil {
			return nil, fmt.Errorf("take over %s: %w", s.Address, err)
		}
		out = append(out, l)
	}
	return out, nil
}

// announce says that all workers serve: to whoever started us, and to an earlier
// master.
func (a *Arbiter) announce() {
	if fd := a.o.Upgrade.Channel; fd > 0 {
		if conn, err := fileConn(fd, "channel to the earlier master"); err == nil {
			c := &channel{conn: conn}
			go func() {
				_ = c.send(message{Type: msgReady})
				_ = conn.Close()
			}()
		}
	}
	for _, l := range a.surplus {
		l.close(true)
	}
	a.surplus = nil
	if a.o.Started != nil {
		a.o.Started(a.listeners)
	}
}

// beginUpgrade starts the new master.
func (a *Arbiter) beginUpgrade() error {
	switch {
	case a.mode != running:
		return errs.E(errs.Conflict, "serving.stopping", "The master is stopping.")
	case a.upgrade.pid != 0:
		return errs.Ef(errs.Conflict, "serving.upgrading", "Process %d is taking over already.", a.upgrade.pid)
	case os.Getpid() == 1:
		return errs.E(errs.Conflict, "serving.process_one", "Process 1 of a container cannot hand over its place. Roll out a new container instead.")
	case !a.everReady:
		return errs.E(errs.Conflict, "serving.starting", "The workers do not serve yet.")
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make channel: %w", err)
	}
	defer func() { _ = unix.Close(pair[1]) }()
	conn, err := fileConn(pair[0], "channel to the new master")
	if err != nil {
		return err
	}
	const firstFree = 3
	files := []uintptr{os.Stdin.Fd(), os.Stdout.Fd(), os.Stderr.Fd(), uintptr(pair[1])}
	var sockets []Socket
	for i, l := range a.listeners {
		files = append(files, uintptr(l.fd))
		sockets = append(sockets, Socket{Address: l.Address, FD: firstFree + 1 + i})
	}
	argv := append([]string{a.o.Upgrade.Program}, a.o.Upgrade.Args(firstFree, sockets)...)
	pid, err := syscall.ForkExec(a.o.Upgrade.Program, argv, //nolint:gosec // this program, as it is on disk now
		&syscall.ProcAttr{Env: a.o.Upgrade.Environ, Files: files})
	if err != nil {
		_ = conn.Close()
		return fmt.Errorf("start %s: %w", a.o.Upgrade.Program, err)
	}
	a.upgrade = upgradeState{pid: pid, channel: &channel{conn: conn}, giveUp: a.o.Now().Add(upgradeTimeout)}
	a.o.Log.Info("upgrade: the new master starts", "pid", pid, "program", a.o.Upgrade.Program)
	c := a.upgrade.channel
	go func() {
		_ = c.receive(func(m message) {
			if m.Type == msgReady {
				a.post(func() { a.handOver(pid) })
			}
		})
	}()
	return nil
}

// handOver drains this master's workers: the new one's serve.
func (a *Arbiter) handOver(pid int) {
	if a.upgrade.pid != pid || a.mode != running {
		return
	}
	a.o.Log.Info("upgrade: the new master serves, this one ends", "pid", pid)
	a.upgrade.handed = true
	if a.o.HandedOver != nil {
		a.o.HandedOver()
	}
	a.stop(stopGraceful)
}

// checkUpgrade gives up a new master that takes too long.
func (a *Arbiter) checkUpgrade(now time.Time) {
	if u := &a.upgrade; u.pid != 0 && !u.handed && now.After(u.giveUp) {
		a.o.Log.Error("upgrade: the new master does not serve and is ended; this one goes on", "pid", u.pid, "after", upgradeTimeout)
		_ = syscall.Kill(u.pid, syscall.SIGKILL)
		u.giveUp = now.Add(upgradeTimeout)
	}
}

// abandonUpgrade ends a new master that does not serve yet, because this one was told
// to stop.
func (a *Arbiter) abandonUpgrade() {
	if u := a.upgrade; u.pid != 0 && !u.handed {
		_ = syscall.Kill(u.pid, syscall.SIGTERM)
	}
}

// newMasterEnded notes that the new master is gone.
func (a *Arbiter) newMasterEnded(status unix.WaitStatus) {
	if !a.upgrade.handed {
		a.o.Log.Error("upgrade: the new master ended before it served; this one goes on", "pid", a.upgrade.pid, "how", howEnded(status))
	}
	_ = a.upgrade.channel.conn.Close()
	a.upgrade = upgradeState{}
}
