package serving

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// successor waits until the rig's next master serves alone, and makes it the rig's.
func (r *rig) successor() int {
	r.t.Helper()
	old := r.pid()
	var master int
	r.eventually("the new master's workers serve", func() bool {
		a, err := r.try(r.url)
		master = a.Master
		return err == nil && master != old && master > 1
	})
	require.Equal(r.t, 0, r.ended(), "the old master ends well")
	return master
}

func TestUpgradeStartsTheNewBinaryOnTheSameSockets(t *testing.T) {
	t.Parallel()
	r := makeRig(t, nil)
	path := r.path("s")
	r.set.Bind = append(r.set.Bind, "unix:"+path)
	r.write()
	r.start()
	r.logged("all serve")
	require.Empty(t, r.ask("/").Binary)
	r.upgradeTo(r.newer())
	r.signal(syscall.SIGUSR2)
	master := r.successor()
	for range 10 {
		a := r.ask("/")
		require.Equal(t, "newer", a.Binary)
		require.Equal(t, master, a.Master)
	}
	require.NoError(t, dialUnix(path), "the path is the new master's")
	r.eventually("only the new processes", func() bool { return len(r.processes()) == 3 })

	// The new one can be upgraded as well, and ends as any master does.
	require.NoError(t, syscall.Kill(master, syscall.SIGUSR2))
	// Taken from the answer itself: the second one's workers may answer the next request.
	third := master
	r.eventually("a third master", func() bool {
		a, err := r.try(r.url)
		if err == nil {
			third = a.Master
		}
		return third != master
	})
	r.eventually("only the third's processes", func() bool { return len(r.processes()) == 3 })
	require.NoError(t, syscall.Kill(third, syscall.SIGTERM))
	r.gone()
	require.NoFileExists(t, path)
}

func TestNewMasterThatDiesLeavesTheOldOneServing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	workers := r.settle(2)
	r.upgradeTo("exit 7")
	r.signal(syscall.SIGUSR2)
	r.logged("the new master ended before it served")
	require.Contains(t, r.log(), `how="exit code 7"`)
	require.Equal(t, workers, r.workers())
	r.ask("/")

	require.NoError(t, os.WriteFile(r.path("program.bad"), []byte("no program"), 0o700))
	require.NoError(t, os.Rename(r.path("program.bad"), r.path("program")))
	r.signal(syscall.SIGUSR2)
	r.logged("upgrade refused")
	r.ask("/")

	r.upgradeTo(r.newer())
	r.signal(syscall.SIGUSR2)
	master := r.successor()
	require.NoError(t, syscall.Kill(master, syscall.SIGTERM))
	r.gone()
}

// New workers that cannot start end the new master, and change nothing.
func TestNewMasterWhoseWorkersDieLeavesTheOldOneServing(t *testing.T) {
	t.Parallel()
	r := makeRig(t, nil)
	path := r.path("s")
	r.set.Bind = append(r.set.Bind, "unix:"+path)
	r.write()
	r.start()
	r.logged("all serve")
	r.fault("exit")
	r.signal(syscall.SIGUSR2)
	r.logged("the new master ended before it served")
	require.Contains(t, r.log(), `how="exit code 3"`)
	r.fault("")
	require.Equal(t, r.pid(), r.ask("/").Master)
	require.NoError(t, dialUnix(path), "the path is still the old master's")
	r.eventually("only the old processes", func() bool { return len(r.processes()) == 3 })
	r.stop()
}

func TestStoppingDuringAnUpgradeEndsBothMasters(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]syscall.Signal{"term": syscall.SIGTERM, "int": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(s *rigSettings) { s.Grace = time.Second })
			r.fault("hang")
			r.signal(syscall.SIGUSR2)
			r.eventually("the new master has workers that hang", func() bool { return len(r.processes()) == 6 })
			r.signal(s)
			require.Equal(t, 0, r.ended())
			r.gone()
		})
	}
}

func TestSecondUpgradeWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.fault("hang")
	r.signal(syscall.SIGUSR2)
	r.logged("the new master starts")
	r.signal(syscall.SIGUSR2)
	r.logged("is taking over already")
	r.signal(syscall.SIGINT)
	require.Equal(t, 0, r.ended())
	r.gone()
}

func TestKilledOldMasterLeavesTheNewOneServing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.fault("hang")
	r.signal(syscall.SIGUSR2)
	r.eventually("the new master has workers that hang", func() bool { return len(r.processes()) == 6 })
	r.signal(syscall.SIGKILL)
	r.ended()
	r.fault("")
	r.eventually("only the new master and its workers", func() bool { return len(r.processes()) == 3 })
	// Those that hang are replaced when the time-out says so, or by hand.
	for _, p := range allProcesses() {
		for _, pid := range r.processes() {
			if p.pid == pid && p.parent != 1 && p.cmdline[:len(WorkerTitle)] == WorkerTitle {
				require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			}
		}
	}
	a := r.ask("/")
	require.NotEqual(t, r.pid(), a.Master)
	require.NoError(t, syscall.Kill(a.Master, syscall.SIGTERM))
	r.gone()
}

// An address that the new binary's settings do not name any more is closed once the
// old one has gone.
func TestUpgradeWithAnotherBindLetsGoOfOldSockets(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	first, second, path := r.set.Bind[0], freeAddress(t), r.path("s")
	r.set.Bind = []string{first, "unix:" + path}
	r.write()
	r.signal(syscall.SIGHUP)
	r.eventually("the socket answers", func() bool { return dialUnix(path) == nil })
	r.set.Bind = []string{second}
	r.write()
	r.signal(syscall.SIGUSR2)
	r.url = "http://" + second
	master := r.successor()
	r.eventually("the first address is closed", func() bool { _, err := r.try("http://" + first); return err != nil })
	require.NoFileExists(t, path)
	require.NoError(t, syscall.Kill(master, syscall.SIGTERM))
	r.gone()
}
