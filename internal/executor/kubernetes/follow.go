package kubernetes

import (
	"context"
	"errors"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/executor"
)

// attempt is one that this process holds. Its methods are for one goroutine.
type attempt struct {
	e       *Executor
	c       *cluster
	s       *Settings
	ref     Ref
	name    string // of the Job
	timeout time.Duration
	begun   time.Time
	log     *slog.Logger

	changes <-chan struct{} // of the Job and its pods
	hints   <-chan struct{} // something was stored
	leave   func()

	uncertain bool      // as it is stored
	note      string    // likewise
	known     bool      // the Job was seen
	last      seen      // with a pod: what is left to tell how it ended when the cluster has removed it
	overSince time.Time // when nothing of it ran any more
	askedAt   time.Time // when the API server was last asked whether the Job is there
	logs      *podLog   // nil: not begun
}

func (e *Executor) hold(c *cluster, s *Settings, r Ref, name string, timeout time.Duration) *attempt {
	a := &attempt{e: e, c: c, s: s, ref: r, name: name, timeout: timeout, begun: e.o.Now()}
	c.watch()
	a.log = e.o.Log.With("node_run_id", r.NodeRunID, "attempt", r.Attempt)
	key, hints := hintKey{r.NodeRunID, r.Attempt}, make(chan struct{}, 1)
	e.mu.Lock()
	e.held[key] = hints
	e.mu.Unlock()
	e.o.Figures.hold(r)
	changes, unsubscribe := c.subscribe(name)
	a.changes, a.hints = changes, hints
	a.leave = func() {
		unsubscribe()
		e.o.Figures.release(r)
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.held[key] == hints {
			delete(e.held, key)
		}
	}
	return a
}

// release lets go of the attempt; its log is followed to its end on its own.
func (a *attempt) release() {
	if a.logs == nil && a.c.isSynced() { // it was over before its pod was seen to run
		if p := a.c.look(a.name).pod(); p != nil && p.Spec.NodeName != "" {
			a.beginLog(p.Name)
		}
	}
	if a.logs != nil {
		a.logs.attemptEnded()
	}
	a.leave()
}

// follow watches the attempt until it has ended or ctx has.
func (a *attempt) follow(ctx context.Context) executor.Result {
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
		res, done, next := a.look(ctx)
		if done {
			return res
		}
		timer.Reset(next)
	}
}

// look does what is due, and says when to look again at the latest.
func (a *attempt) look(ctx context.Context) (res executor.Result, done bool, next time.Duration) {
	st, err := a.e.o.Attempts.State(ctx, a.ref.NodeRunID, a.ref.Attempt)
	if err != nil {
		if ctx.Err() == nil {
			a.log.WarnContext(ctx, "the state of an attempt could not be loaded, trying again", "error", err)
		}
		return res, false, time.Second
	}
	if !st.Open || st.Worker != a.ref.Worker {
		return a.ended(ctx, !st.Open), true, 0
	}
	if st.CancelRequested {
		return a.cancel(ctx), true, 0
	}
	if st.StartedAt != nil {
		a.e.o.Figures.started(a.ref, st.StartedAt.Sub(a.begun))
	}
	if !a.c.isSynced() {
		return a.timers(ctx, st, seen{})
	}
	s := a.c.look(a.name)
	a.known = a.known || s.job != nil
	if len(s.pods) > 0 {
		a.last = s
	}
	a.setUncertain(ctx, false)
	a.describe(ctx, st, s)
	a.followLog(s)
	if res, done, next = a.overIn(ctx, st, s); done || next > 0 {
		return res, done, next
	}
	return a.timers(ctx, st, s)
}

// overIn ends the attempt if nothing of it runs any more, after what its pod sent last
// had time to arrive. next is 0 when there is nothing of that kind to wait for.
func (a *attempt) overIn(ctx context.Context, st State, s seen) (res executor.Result, done bool, next time.Duration) {
	if !s.over() || s.job == nil && len(s.pods) == 0 && !a.gone(ctx) {
		a.overSince = time.Time{}
		if p := s.pod(); st.StartedAt == nil && p != nil && hopeless(p) {
			sentence, code := s.waiting()
			res, done = a.giveUp(ctx, executor.Failure(code, sentence, false).WithDetails(s.details()))
		}
		return res, done, 0
	}
	now := a.e.o.Now()
	if a.overSince.IsZero() {
		a.overSince = now
	}
	if left := a.e.o.LastBatch - now.Sub(a.overSince); left > 0 {
		return res, false, left
	}
	if len(s.pods) == 0 {
		s.pods = a.last.pods
	}
	if st.StartedAt == nil {
		res, done = a.giveUp(ctx, s.terminal())
		return res, done, time.Second
	}
	return a.end(ctx, s.terminal()), true, 0
}

// gone asks the API server whether the Job is really not there, since a watch may lag
// behind a create.
func (a *attempt) gone(ctx context.Context) bool {
	now := a.e.o.Now()
	if !a.askedAt.IsZero() && now.Sub(a.askedAt) < a.e.o.LookEvery && !a.known {
		return false
	}
	if !a.known && now.Sub(a.begun) < a.e.o.LookEvery {
		return false
	}
	a.askedAt = now
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := a.c.client.BatchV1().Jobs(a.c.namespace).Get(ctx, a.name, metav1.GetOptions{})
	return apierrors.IsNotFound(err)
}

// timers ends the attempt if its time to start, or to run, is over.
func (a *attempt) timers(ctx context.Context, st State, s seen) (res executor.Result, done bool, next time.Duration) {
	now := a.e.o.Now()
	if st.StartedAt == nil {
		left := a.s.DispatchTimeout - now.Sub(a.begun)
		if left > 0 {
			return res, false, min(left, a.e.o.LookEvery)
		}
		res, done = a.giveUp(ctx, s.startTimeout(a.s.DispatchTimeout))
		return res, done, time.Second
	}
	if left := a.timeout - now.Sub(*st.StartedAt); left > 0 {
		return res, false, min(left, a.e.o.LookEvery)
	}
	return a.timedOut(ctx), true, 0
}

// describe keeps what the pod waits for, while it lasts.
func (a *attempt) describe(ctx context.Context, st State, s seen) {
	note := ""
	if st.StartedAt == nil {
		note, _ = s.waiting()
	}
	a.setNote(ctx, note)
}

func (a *attempt) setNote(ctx context.Context, note string) {
	if note == a.note {
		return
	}
	if err := a.e.o.Attempts.Note(ctx, a.ref, note); err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "a note on an attempt could not be stored", "error", err)
		return
	}
	a.note = note
}

func (a *attempt) setUncertain(ctx context.Context, uncertain bool) {
	if uncertain == a.uncertain {
		return
	}
	if err := a.e.o.Attempts.Uncertain(ctx, a.ref, uncertain); err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "the uncertainty of an attempt could not be stored", "error", err)
		return
	}
	a.uncertain = uncertain
}

// giveUp ends an attempt that has not started. done is false if it has.
func (a *attempt) giveUp(ctx context.Context, res executor.Result) (executor.Result, bool) {
	for p := (pause{}); ; {
		done, err := a.e.o.Attempts.GiveUp(ctx, a.ref, res)
		switch {
		case err == nil && done:
			a.count(res)
			a.tidy(ctx, true)
			return settled(), true
		case errors.Is(err, ErrStale):
			return settled(), true
		case err == nil:
			return executor.Result{}, false
		}
		a.log.WarnContext(ctx, "the end of an attempt could not be stored, trying again", "error", err)
		if !p.wait(ctx, nil) {
			return a.stop(ctx), true
		}
	}
}

// end is the end of a started attempt that its pod cannot report.
func (a *attempt) end(ctx context.Context, res executor.Result) executor.Result {
	a.count(res)
	a.tidy(ctx, true)
	return res
}

func (a *attempt) count(res executor.Result) {
	code := string(res.Status)
	if res.Error != nil {
		code = res.Error.Code
	}
	a.e.o.Figures.end(code)
}

// ended: somebody else has stored the attempt's end, or holds it now.
func (a *attempt) ended(ctx context.Context, over bool) executor.Result {
	if over {
		a.tidy(ctx, false)
	}
	return settled()
}

// tidy removes the attempt's Secret, which nobody needs any more; the Job stays for
// its TTL, for people to look at, unless remove says that it might still do
// something. It goes on by itself: what it cannot do the reconciler does.
func (a *attempt) tidy(ctx context.Context, remove bool) {
	ctx = context.WithoutCancel(ctx)
	live := !a.c.isSynced() || !a.c.look(a.name).over()
	a.e.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
		defer cancel()
		var err error
		if remove && live {
			err = a.c.removeJob(ctx, a.name) // and its Secret with it
		} else {
			err = a.c.removeSecret(ctx, a.name)
		}
		if err != nil {
			a.log.WarnContext(ctx, "what an attempt left in the cluster was not removed", "job", a.name, "error", err)
		}
	})
}
