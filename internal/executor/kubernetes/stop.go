package kubernetes

import (
	"cmp"
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/llmctl/studio/internal/executor"
)

// killMargin is what a machine has beyond the grace to say that a pod has ended.
const killMargin = 5 * time.Second

// stop does what the end of ctx asks for.
func (a *attempt) stop(ctx context.Context) executor.Result {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, executor.ErrCancelled):
		return a.cancel(context.WithoutCancel(ctx))
	case errors.Is(cause, executor.ErrTimeout), errors.Is(cause, context.DeadlineExceeded):
		return a.timedOut(context.WithoutCancel(ctx))
	}
	return letGo() // the pod goes on
}

// cancel ends the attempt because somebody wants that.
func (a *attempt) cancel(ctx context.Context) executor.Result {
	res := executor.Result{Status: executor.Cancelled, Error: &executor.ResultError{Code: executor.CodeCancelled, Message: "The node was cancelled."}}
	if out, done := a.giveUp(ctx, res); done {
		return out
	}
	return a.endPods(ctx, res)
}

// timedOut ends the attempt because its time is over.
func (a *attempt) timedOut(ctx context.Context) executor.Result {
	return a.endPods(ctx, executor.Result{Status: executor.TimedOut, Error: &executor.ResultError{
		Code: executor.CodeTimeout, Retryable: true, Message: "The node did not finish within its " + a.timeout.String() + ".",
	}})
}

// endPods deletes what runs of the attempt, gives it its grace, and returns when
// nothing of it runs any more: with the pod's own result if there is one, else with
// res. Without an answer of the cluster it goes on asking.
func (a *attempt) endPods(ctx context.Context, res executor.Result) executor.Result {
	e := ending{attempt: a, since: a.e.o.Now()}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return a.stop(ctx)
		case <-a.changes:
		case <-a.hints:
		case <-timer.C:
		}
		st, err := a.e.o.Attempts.State(ctx, a.ref.NodeRunID, a.ref.Attempt)
		if err == nil && (!st.Open || st.Worker != a.ref.Worker) {
			e.removeAll(ctx) // what ended by itself may still be on its way out
			return a.ended(ctx, !st.Open)
		}
		if e.step(ctx) {
			if e.forced != "" {
				res = unconfirmed(res, e.forced)
			}
			return a.end(ctx, res)
		}
		timer.Reset(e.next())
	}
}

// ending is how far the end of an attempt's pods is.
type ending struct {
	*attempt

	since   time.Time
	removed bool      // the Job is deleted
	asked   bool      // its pods were told
	overAt  time.Time // when nothing ran any more
	forced  string    // the machine of a pod that was taken out without its word
	waits   pause
}

// step goes on; true: nothing runs any more.
func (e *ending) step(ctx context.Context) bool {
	e.removeAll(ctx)
	if !e.removed || !e.c.isSynced() {
		return false
	}
	s := e.c.look(e.name)
	e.followLog(s)
	if running(s.pods) {
		e.overAt = time.Time{}
		if e.e.o.Now().Sub(e.since) >= e.s.CancelGrace+killMargin {
			e.force(ctx, s.pods)
		}
		return false
	}
	if s.job != nil { // the watch lags behind, and may not know of a pod yet
		return false
	}
	if e.overAt.IsZero() {
		e.overAt = e.e.o.Now()
	}
	// What the pod said last may be on its way.
	return e.e.o.Now().Sub(e.overAt) >= min(e.e.o.LastBatch, time.Second)
}

// removeAll deletes the Job and tells its pods to end, until the cluster has heard
// both. The pods are told here as well: the cluster's own clean-up may be slow.
func (e *ending) removeAll(ctx context.Context) {
	var err error
	if !e.removed {
		if err = e.c.removeJob(ctx, e.name); err == nil {
			e.removed = true
		}
	}
	if e.removed && !e.asked && e.c.isSynced() {
		e.asked = true
		grace := int64(e.s.CancelGrace.Seconds())
		for _, p := range e.c.look(e.name).pods {
			if !ended(p) && p.DeletionTimestamp == nil {
				if one := e.c.removePod(ctx, p, &grace); one != nil {
					err, e.asked = one, false
				}
			}
		}
	}
	if err == nil {
		e.waits = pause{}
		e.setUncertain(ctx, false)
	} else {
		e.log.WarnContext(ctx, "a Job could not be deleted, trying again", "job", e.name, "error", err)
		if e.e.o.Now().Sub(e.since) >= uncertainAfter {
			e.setUncertain(ctx, true)
		}
	}
}

// next is when to look again without a sign.
func (e *ending) next() time.Duration {
	if !e.removed || !e.asked {
		e.waits.next = min(max(2*e.waits.next, firstPause), lastPause)
		return e.waits.next
	}
	if !e.overAt.IsZero() {
		return 100 * time.Millisecond
	}
	return time.Second
}

// force takes pods out of the API whose machine does not say that they ended.
func (e *ending) force(ctx context.Context, pods []*corev1.Pod) {
	for _, p := range pods {
		if ended(p) {
			continue
		}
		if !e.s.CancelForce {
			e.setNote(ctx, "The machine "+machine(p)+" does not confirm that the pod has ended, and the settings do not allow to force it.")
			continue
		}
		if err := e.c.removePod(ctx, p, new(int64)); err != nil {
			e.log.WarnContext(ctx, "a pod could not be removed by force, trying again", "pod", p.Name, "error", err)
			continue
		}
		e.forced = machine(p)
	}
}

func machine(p *corev1.Pod) string { return cmp.Or(p.Spec.NodeName, "(none)") }

func running(pods []*corev1.Pod) bool {
	for _, p := range pods {
		forced := p.DeletionTimestamp != nil && p.DeletionGracePeriodSeconds != nil && *p.DeletionGracePeriodSeconds == 0
		if !ended(p) && !forced {
			return true
		}
	}
	return false
}

// unconfirmed says that nobody knows whether the pod still runs.
func unconfirmed(res executor.Result, machine string) executor.Result {
	e := *res.Error
	e.Message += " The machine " + machine + " did not confirm that the pod has ended; it was removed by force, and what it had started there may have gone on."
	res.Error = &e
	return res.WithDetails(map[string]any{"unconfirmed": true, "machine": machine})
}
