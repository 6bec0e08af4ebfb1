package workers

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/proctest"
)

func TestWorkOfAKilledWorkerGoesOnWithin15Seconds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.worker("first")
	id := r.run()
	r.asked()
	require.Equal(t, "first", r.holder(id))
	second := r.worker("second")
	first.Signal(syscall.SIGKILL)
	killed := time.Now()
	answer := r.asked()
	took := time.Since(killed)
	t.Logf("work went on %.1f s after the kill", took.Seconds())
	require.Less(t, took, 15*time.Second)
	answer <- "second"
	status, from := r.ended(id)
	require.Equal(t, "succeeded", status)
	require.Equal(t, "second", from)
	require.Equal(t, []string{"first lost lost", "second succeeded"}, r.attempts(id))
	require.Eventually(t, func() bool { return r.count(`SELECT count(*) FROM river_job WHERE state = 'running'`) == 0 }, patience, 50*time.Millisecond,
		"no job runs for ever")
	terminate(t, second)
}

// TestFrozenWorkerChangesNothingWhenItThaws freezes a worker in the middle of a node,
// lets another one finish the node, and then gives the first one its answer.
// told counts all events but those of workers that come and go.
const told = `SELECT count(*) FROM event WHERE entity_kind <> 'worker'`

func TestFrozenWorkerChangesNothingWhenItThaws(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	frozen := r.worker("frozen")
	id := r.run()
	late := r.asked()
	other := r.worker("other")
	frozen.Signal(syscall.SIGSTOP)
	r.asked() <- "other"
	status, from := r.ended(id)
	require.Equal(t, "succeeded", status)
	require.Equal(t, "other", from)
	events := r.count(told)

	late <- "frozen"
	frozen.Signal(syscall.SIGCONT)
	frozen.AwaitLog("declared dead", patience)
	require.Eventually(t, func() bool {
		return r.count(`SELECT count(*) FROM worker_process WHERE hostname = 'frozen' AND tombstone_at IS NULL AND stopped_at IS NULL`) == 1
	}, patience, 20*time.Millisecond, "it goes on as a new worker")
	require.Equal(t, []string{"frozen lost lost", "other succeeded"}, r.attempts(id))
	status, from = r.ended(id)
	require.Equal(t, "succeeded", status)
	require.Equal(t, "other", from)
	require.Equal(t, events, r.count(told), "no event either")

	// As the new one it works.
	terminate(t, other)
	next := r.run()
	r.asked() <- "again"
	_, from = r.ended(next)
	require.Equal(t, "again", from)
	require.Equal(t, []string{"frozen succeeded"}, r.attempts(next))
	terminate(t, frozen)
}

// TestUpGoesOnAsANewWorkerWhenItWasDeclaredDead buries the worker of an llmctl up by its
// row, as others do that saw it stand still.
func TestUpGoesOnAsANewWorkerWhenItWasDeclaredDead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	up := r.up()
	id := r.run()
	late := r.asked()
	_, err := r.db.Exec(t.Context(), `UPDATE worker_process SET tombstone_at = now() WHERE hostname = 'up'`)
	require.NoError(t, err)
	r.asked() <- "the new one"
	late <- "the old one"
	status, from := r.ended(id)
	require.Equal(t, "succeeded", status)
	require.Equal(t, "the new one", from)
	require.Equal(t, []string{"up lost lost", "up succeeded"}, r.attempts(id))
	up.AwaitLog("went on as a new worker", patience)
	require.Equal(t, 1, r.count(`SELECT count(*) FROM worker_process WHERE hostname = 'up' AND tombstone_at IS NULL AND stopped_at IS NULL`))
	require.True(t, r.serves(), "at the same address")
	require.Equal(t, 1, strings.Count(up.Log(), "ready: http"), "it is announced once")
	terminate(t, up)
	require.Zero(t, r.count(`SELECT count(*) FROM worker_process WHERE hostname = 'up' AND tombstone_at IS NULL AND stopped_at IS NULL`))
}

func TestStoppingWorkerFinishesWhatItCan(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.worker("only")
	id := r.run()
	answer := r.asked()
	w.Signal(syscall.SIGTERM)
	// It takes nothing more: this one waits for another worker.
	waiting := r.run()
	answer <- "in time"
	require.Equal(t, 0, w.Wait(patience))
	status, _ := r.ended(id)
	require.Equal(t, "succeeded", status)
	require.Equal(t, []string{"only succeeded"}, r.attempts(id))
	require.Empty(t, r.attempts(waiting))
	next := r.worker("next")
	r.asked() <- "next"
	_, from := r.ended(waiting)
	require.Equal(t, "next", from)
	terminate(t, next)
}

func TestStoppingWorkerHandsOverWhatTakesLonger(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.worker("old")
	id := r.run()
	r.asked()
	next := r.worker("new")
	w.Signal(syscall.SIGTERM)
	began := time.Now()
	r.asked() <- "new" // the other one has it
	require.Equal(t, 0, w.Wait(patience))
	require.Less(t, time.Since(began), 20*time.Second)
	_, from := r.ended(id)
	require.Equal(t, "new", from)
	require.Equal(t, []string{"old lost handed_over", "new succeeded"}, r.attempts(id))
	require.Zero(t, r.count(`SELECT lost FROM node_run WHERE flowchart_run_id = $1 AND kind = 'http'`, id), "not counted against the node")
	terminate(t, next)
}

func TestSecondOrderToStopHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.worker("old")
	id := r.run()
	r.asked()
	next := r.worker("new")
	w.Signal(syscall.SIGTERM)
	began := time.Now()
	w.Signal(syscall.SIGINT)
	r.asked() <- "new"
	require.Equal(t, 0, w.Wait(patience))
	require.Less(t, time.Since(began), 7*time.Second, "sooner than what runs has to end by itself")
	_, from := r.ended(id)
	require.Equal(t, "new", from)
	require.Equal(t, []string{"old lost handed_over", "new succeeded"}, r.attempts(id))
	terminate(t, next)
}

func TestWorkerTakesOnlyItsQueues(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.worker("git", "CELERY_WORKER_QUEUES=llmctl_studio.rag.git")
	id := r.run()
	require.Never(t, func() bool { return len(r.requests) > 0 }, 2*time.Second, 100*time.Millisecond)
	require.Empty(t, r.attempts(id))
	all := r.worker("all")
	r.asked() <- "all"
	_, from := r.ended(id)
	require.Equal(t, "all", from)
	terminate(t, w)
	terminate(t, all)
}

func TestServeRunsNoConsumer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := proctest.Start(t, "../..", []string{"serve"}, append(r.environ(),
		"GUNICORN_BIND=127.0.0.1:0", "GUNICORN_WORKERS=2", "GUNICORN_CONTROL_SOCKET_DISABLE=true", "GUNICORN_ACCESS_LOG=/dev/null"))
	p.AwaitLog("ready: http://", patience)
	id := r.run()
	require.Never(t, func() bool { return len(r.requests) > 0 }, 3*time.Second, 100*time.Millisecond)
	require.Empty(t, r.attempts(id))
	require.Zero(t, r.count(`SELECT count(*) FROM worker_process`))
	require.Zero(t, r.count(`SELECT count(*) FROM river_queue`), "no producer")
	require.Equal(t, 1, r.count(`SELECT count(*) FROM river_job WHERE state = 'available'`))
	p.Signal(syscall.SIGTERM)
	require.Equal(t, 0, p.Wait(patience))
}
