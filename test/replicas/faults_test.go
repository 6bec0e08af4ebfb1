package replicas

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/redistest"
)

// soon is within what people still call at once: the list of workers is read every two
// seconds.
const soon = 5 * time.Second

func (b *bundle) awaitNames(t *testing.T, within time.Duration, fits func(names []string, s status) bool) {
	t.Helper()
	var s status
	require.Eventually(t, func() bool {
		for range asks { // whoever is asked
			s = b.status()
			var names []string
			for _, w := range s.Workers {
				names = append(names, w.Worker)
			}
			if !fits(names, s) {
				return false
			}
		}
		return true
	}, within, 100*time.Millisecond, "%+v", &s)
}

func TestAKilledWorkerLeavesTheListWithinSeconds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	killed := b.awaitWorkers(t, 4).Workers[2]
	require.NoError(t, syscall.Kill(killed.PID, syscall.SIGKILL))
	since := time.Now()
	b.awaitNames(t, 2*soon, func(names []string, s status) bool {
		return !slices.Contains(names, killed.Worker) && len(names) == 4 && s.Ready
	})
	t.Logf("four workers that answer %s after the kill", time.Since(since).Round(10*time.Millisecond))
}

func TestAReplicaThatIsKilledWithAllItsWorkersLeavesTheList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.awaitWorkers(t, 4)
	b.admin.base = "http://" + b.two.address
	pids := append([]int{b.one.cmd.Process.Pid}, children(b.one.cmd.Process.Pid)...)
	for _, pid := range pids { // none shall see another one die
		require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	}
	for _, pid := range slices.Backward(pids) {
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	}
	since := time.Now()
	b.one.kill()
	b.awaitNames(t, 10*time.Second+2*soon, func(names []string, s status) bool { return len(names) == 2 && s.Ready })
	t.Logf("two workers that answer %s after the kill", time.Since(since).Round(10*time.Millisecond))
}

// A frozen worker takes connections and says nothing. Those who reach it through
// another worker get an answer, and come back elsewhere. (Who is connected to it
// itself waits for a heartbeat that does not come.)
func TestClientsOfAFrozenWorkerMoveOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.admin.newKey()
	frozen, pid := b.workerOf(t, b.one)
	var mine []*follower
	for tries := 0; len(mine) < 2; tries++ {
		require.Less(t, tries, 60, "nobody gets to the worker")
		f := follow(t, b.base, key, "polling", b.stream())
		f.subscribed()
		if b.owner(t, f.sid) == frozen {
			mine = append(mine, f)
		} else {
			f.leave()
		}
	}
	b.balancer.only.Store(b.two)
	hear := func() {
		before := b.sequence
		b.write(t, 5)
		for _, f := range mine {
			f.hears(before+1, b.sequence)
		}
	}
	hear() // which ends all polls that were on another way
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	since := time.Now()
	defer func() { require.NoError(t, syscall.Kill(pid, syscall.SIGCONT)) }()
	hear()
	took := time.Since(since)
	require.Less(t, took, 25*time.Second, "long before a heartbeat is missed")
	t.Logf("all clients heard everything %s after the worker froze", took.Round(10*time.Millisecond))
}

// workerOf gives a worker of a replica.
func (b *bundle) workerOf(t *testing.T, r *replica) (name string, pid int) {
	t.Helper()
	pids := children(r.cmd.Process.Pid)
	for _, w := range b.awaitWorkers(t, 4).Workers {
		if slices.Contains(pids, w.PID) {
			return w.Worker, w.PID
		}
	}
	require.Fail(t, "the replica has no worker")
	return "", 0
}

// owner gives the worker that has a connection; a worker that is young may not know of
// all others yet.
func (b *bundle) owner(t *testing.T, sid string) string {
	t.Helper()
	var c connection
	require.Eventually(t, func() bool {
		status, raw := b.admin.try(http.MethodGet, "/api/realtime/connections/"+sid, "")
		return status == http.StatusOK && json.Unmarshal(raw, &c) == nil
	}, soon, 50*time.Millisecond)
	return c.Worker
}

func TestTwoReplicasOverRedisLoseNothingWhenItIsHarmed(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	queue := "LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE=" + redis.URL()
	b := setupWith(t, pgtest.URI(t), []string{queue}, []string{queue})
	key := b.admin.newKey()
	b.awaitWorkers(t, 4)
	var all []*follower
	for range 2 {
		for _, transport := range transports() {
			all = append(all, follow(t, b.base, key, transport, b.stream()))
		}
	}
	for _, f := range all {
		f.subscribed()
	}
	hear := func(what string, within time.Duration) {
		t.Helper()
		before, since := b.sequence, time.Now()
		b.write(t, 10)
		written := time.Now()
		for _, f := range all {
			f.hears(before+1, b.sequence)
			require.Less(t, time.Since(written), within, "%s, %s client", what, f.transport)
		}
		t.Logf("%s: 10 events written in %s, all heard %s after the last", what, written.Sub(since).Round(time.Millisecond), time.Since(written).Round(time.Millisecond))
	}
	tells := func(ready bool, reason string) {
		t.Helper()
		b.awaitNames(t, 30*time.Second, func(_ []string, s status) bool {
			fits := s.Ready == ready && len(s.Workers) == 4
			for _, w := range s.Workers {
				fits = fits && w.Hub.Bus == "redis" && strings.HasPrefix(w.Reason, reason)
			}
			return fits
		})
	}
	// A lost hint is made up for within two reads of the log, and a machine that is busy
	// gets some more.
	const made = 5 * time.Second
	tells(true, "")
	hear("in order", made)
	redis.Freeze(t)
	hear("frozen", made)
	tells(false, "bus: ")
	hear("known to be frozen", made)
	redis.Thaw(t)
	tells(true, "")
	hear("thawed", made)
	redis.Kill(t)
	hear("killed", made)
	redis.Restart(t)
	tells(true, "")
	hear("restarted", made)
	for _, f := range all {
		require.Zero(t, f.breaks, "%s client: Redis is no reason to lose a connection; it said\n%s", f.transport, strings.Join(f.broken, "\n"))
		for n, times := range f.heard {
			require.Equal(t, 1, times, "%s client, event %d", f.transport, n)
		}
	}
}
