package serving

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestKilledWorkerIsReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	workers := r.settle(2)
	for range 3 {
		victim := r.workers()[0]
		require.NoError(t, syscall.Kill(victim, syscall.SIGKILL))
		r.eventually("another one", func() bool { w := r.workers(); return len(w) == 2 && !slices.Contains(w, victim) })
		r.ask("/")
	}
	require.Contains(t, r.log(), `how="signal killed"`)
	require.NotContains(t, r.workers(), workers[0])
	r.stop()
}

func TestStoppedWorkerIsKilledAndReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *rigSettings) { s.Timeout = 3 * time.Second })
	victim := r.settle(2)[0]
	require.NoError(t, syscall.Kill(victim, syscall.SIGSTOP))
	r.logged("worker is stuck and is replaced")
	r.logged("worker is killed")
	r.eventually("another one", func() bool { w := r.workers(); return len(w) == 2 && !slices.Contains(w, victim) })
	r.ask("/")
	r.stop()
}

func TestDeadlockedWorkerLeavesItsStackAndIsReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *rigSettings) { s.Timeout, s.Workers = 3*time.Second, 1 })
	victim := r.ask("/deadlock").PID
	r.logged("SIGABRT: abort")
	r.logged("goroutine 1 ")
	r.eventually("another one", func() bool { w := r.workers(); return len(w) == 1 && w[0] != victim })
	require.NotEqual(t, victim, r.ask("/").PID)
	r.stop()
}

// The shortest time-out that can be configured is longer than the pause between beats.
func TestShortTimeoutLetsHealthyWorkersLive(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *rigSettings) { s.Timeout = time.Second })
	r.eventually("the workers have started", func() bool { return len(r.workers()) == 2 })
	workers := r.workers()
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); pause(100 * time.Millisecond) {
		r.ask("/")
	}
	if slices.Equal(workers, r.workers()) {
		r.stop()
		return
	}
	// A machine that is busy may starve a worker for a second; its own clock says so.
	t.Fatalf("workers were %v, are %v\n%s", workers, r.workers(), r.log())
}

func TestCrashLoopBacksOffAndEndsByItself(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *rigSettings) { s.Workers = 1 })
	r.fault("exit")
	require.NoError(t, syscall.Kill(r.settle(1)[0], syscall.SIGKILL))
	r.logged("failures=5")
	pauses := regexp.MustCompile(`pause=(\S+) failures=(\d)`).FindAllStringSubmatch(r.log(), -1)
	var got []string
	for _, p := range pauses[:5] {
		got = append(got, p[1])
	}
	require.Equal(t, []string{"100ms", "200ms", "400ms", "800ms", "1.6s"}, got)
	r.fault("")
	r.ask("/") // it waited in the backlog
	r.stop()
}

func TestWorkersThatNeverStartEndTheMasterWithCodeThree(t *testing.T) {
	t.Parallel()
	r := makeRig(t, func(s *rigSettings) { s.Workers = 1 })
	r.fault("exit")
	r.start()
	require.Equal(t, 3, r.ended())
	r.gone()
}

func TestResizeOrReloadEndsAPauseOfTheCrashLoop(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *rigSettings) { s.Workers = 1 })
	r.fault("exit")
	require.NoError(t, syscall.Kill(r.settle(1)[0], syscall.SIGKILL))
	r.logged("failures=6")
	r.fault("")
	r.signal(syscall.SIGHUP)
	began := time.Now()
	r.settle(1)
	r.ask("/")
	require.Less(t, time.Since(began), 10*time.Second)
	r.stop()
}

func TestWorkersEndWhenTheMasterIsKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	l := r.begin("/read")
	r.signal(syscall.SIGKILL)
	require.Equal(t, -1, r.ended())
	r.eventually("the worker without a request has ended", func() bool { return len(r.processes()) == 1 })
	_, err := r.try(r.url)
	require.Error(t, err, "nobody accepts any more")
	got, err := l.end()
	require.NoError(t, err)
	require.Contains(t, got, "read 1 <nil>", "what had begun is answered")
	r.gone()
}

func TestNewMasterServesAtOnceAfterTheOldOneWasKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	l := r.begin("/read") // keeps a worker of the old one alive
	r.signal(syscall.SIGKILL)
	r.ended()
	r.start()
	r.logged("all serve", 2)
	require.Equal(t, r.pid(), r.ask("/").Master)
	_, err := l.end()
	require.NoError(t, err)
	r.stop()
}

// A worker that is stopped cannot notice that its master is gone, and keeps the
// address. (Where the kernel wakes it, because its session has nobody else, it notices.)
func TestNewMasterEndsAStoppedWorkerOfAKilledOne(t *testing.T) {
	t.Parallel()
	for name, bind := range map[string]func(r *rig){
		"tcp":  func(*rig) {},
		"unix": func(r *rig) { r.set.Bind = []string{"unix:" + r.path("s")} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := makeRig(t, nil)
			bind(r)
			r.write()
			r.start(r.copyOfProgram(), "test-reaper")
			r.logged("all serve")
			master := r.childOf(r.pid())
			victims := workersOf(master)
			require.Len(t, victims, 2)
			for _, pid := range victims {
				require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
			}
			require.NoError(t, syscall.Kill(master, syscall.SIGKILL))
			r.eventually("the supervisor has the workers", func() bool { return len(workersOf(r.pid())) == 2 })
			reaper := r.exit

			r.start()
			r.logged("all serve", 2)
			require.Contains(t, r.log(), "ending a worker that an earlier master left behind")
			require.NoError(t, <-reaper, "the supervisor has nobody left")
			r.stop()
		})
	}
}

// copyOfProgram is the same program as another file.
func (r *rig) copyOfProgram() string {
	r.t.Helper()
	raw, err := os.ReadFile("/proc/self/exe")
	require.NoError(r.t, err)
	require.NoError(r.t, os.WriteFile(r.path("copy"), raw, 0o700))
	return r.path("copy")
}

func TestSecondMasterLeavesAHealthyOneAlone(t *testing.T) {
	t.Parallel()
	for name, bind := range map[string]func(r *rig){
		"tcp":  func(*rig) {},
		"unix": func(r *rig) { r.set.Bind = []string{"unix:" + r.path("s")} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := makeRig(t, nil)
			bind(r)
			r.write()
			r.start()
			r.logged("all serve")
			workers := r.settle(2)
			first, exit := r.cmd, r.exit
			r.start()
			require.Equal(t, 1, r.ended())
			require.Regexp(t, `is taken by process \d+ `, r.log())
			r.cmd, r.exit = first, exit
			require.Equal(t, workers, r.workers())
			r.stop()
		})
	}
}

// In a container the healthy master is process 1, so that being a child of process 1
// does not make a worker an orphan.
func TestSecondMasterLeavesTheWorkersOfProcessOneAlone(t *testing.T) {
	t.Parallel()
	r := newNamespace(t)
	master := r.childOf(r.pid())
	workers := workersOf(master)
	second := exec.Command("nsenter", "-t", fmt.Sprint(master), "-p", "-m", r.path("program"), "test-master", r.path("settings"))
	second.Env = append(os.Environ(), "TMPDIR="+r.dir)
	out, err := second.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "is taken")
	require.NotContains(t, string(out), "left behind")
	require.Equal(t, workers, workersOf(master))
	require.NoError(t, syscall.Kill(master, syscall.SIGTERM))
	require.Equal(t, 0, r.ended())
	r.gone()
}

func TestProcessOneReapsWhatOthersLeaveBehind(t *testing.T) {
	t.Parallel()
	r := newNamespace(t)
	master := r.childOf(r.pid())
	for i := range 5 {
		file := r.path(fmt.Sprint("orphan", i))
		_, _ = r.try(r.url + "/spawn-orphan?file=" + file) // its answer is no JSON
		require.FileExists(t, file)
	}
	r.eventually("no zombie is left", func() bool {
		return !slices.ContainsFunc(allProcesses(), func(p process) bool { return p.parent == master && p.state == "Z" })
	})
	require.Len(t, workersOf(master), 2)
	require.NoError(t, syscall.Kill(master, syscall.SIGUSR2))
	r.logged("upgrade refused")
	require.Contains(t, r.log(), "Roll out a new container instead")
	r.ask("/")
	require.NoError(t, syscall.Kill(master, syscall.SIGTERM))
	require.Equal(t, 0, r.ended())
	r.gone()
}

// newNamespace starts a master as process 1 of a namespace of its own.
func newNamespace(t *testing.T) *rig {
	t.Helper()
	if out, err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "true").CombinedOutput(); err != nil {
		t.Skipf("this account may not make a process namespace: %v %s", err, out)
	}
	r := makeRig(t, nil)
	r.start("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
	r.logged("all serve")
	return r
}

// childOf is the master that a process has started.
func (r *rig) childOf(parent int) int {
	r.t.Helper()
	for _, p := range allProcesses() {
		if p.parent == parent && strings.Contains(p.cmdline, "test-master") {
			return p.pid
		}
	}
	r.t.Fatal("no master below this process")
	return 0
}

func TestMasterThatStoodStillDoesNotKillItsWorkers(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *rigSettings) { s.Timeout = 2 * time.Second })
	workers := r.settle(2)
	r.signal(syscall.SIGSTOP)
	pause(5 * time.Second) // longer than the time-out
	r.ask("/")             // the workers serve meanwhile
	r.signal(syscall.SIGCONT)
	r.signal(syscall.SIGUSR1)
	r.logged("worker reopens", 2)
	for end := time.Now().Add(time.Second); time.Now().Before(end); pause(look) {
		require.Equal(t, workers, r.workers(), "%s", r.log())
	}
	r.stop()
}

func TestMaxRequestsReplacesAWorkerWithoutAFailedRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *rigSettings) { s.Workers, s.MaxRequests = 1, 20 })
	pids := map[int]bool{}
	r.eventually("three workers have served", func() bool {
		pids[r.ask("/").PID] = true
		return len(pids) >= 3
	})
	r.logged("reason=max_requests")
	r.stop()
}

func TestHijackedConnectionsAreToldToMove(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *rigSettings) { s.Workers = 1 })
	l := r.begin("/take")
	line, err := l.in.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "101")
	r.signal(syscall.SIGHUP)
	rest, err := l.in.ReadString('e') // "move"
	require.NoError(t, err)
	_ = rest
	r.settle(1)
	r.stop()
}

func TestAFileInPlaceOfTheSettingsKeepsTheMasterFromStarting(t *testing.T) {
	t.Parallel()
	r := makeRig(t, nil)
	require.NoError(t, os.Remove(r.path("settings")))
	r.start()
	require.Equal(t, 1, r.ended())
	require.Contains(t, r.log(), "no such file")
	r.gone()
}
