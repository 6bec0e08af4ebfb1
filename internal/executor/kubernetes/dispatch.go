package kubernetes

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
)

// uncertainAfter is how long the cluster may fail to answer before the attempt says
// that its fate is unknown.
const uncertainAfter = 5 * time.Second

// Execute dispatches an attempt and holds it until it ended, or until ctx does. When
// ctx ends for another reason than a cancel or a time-out, the attempt is let go: its
// pod goes on, and another worker attaches to it. See executor.Remote.
func (e *Executor) Execute(ctx context.Context, p executor.Payload, _ executor.Sink) executor.Result {
	if err := p.Validate(); err != nil {
		return executor.Failure("bad_payload", errs.As(err).Message, false)
	}
	s, res, ok := e.settings(ctx)
	if !ok {
		return res
	}
	w, err := wishesOf(p)
	if err != nil {
		return executor.Failure(executor.CodeConfig, "The node cannot be dispatched: "+err.Error()+".", false)
	}
	o := &order{
		settings: &s, ref: Ref{NodeRunID: p.NodeRunID, Attempt: int32(p.Attempt), Worker: e.o.Worker}, kind: p.Kind,
		class: w.ImageClass, resources: w.Resources, token: newToken(), secrets: p.Secrets, timeout: timeoutOf(p, &s),
	}
	if err := o.check(); err != nil {
		return executor.Failure("bad_payload", "The node cannot be dispatched: "+err.Error()+".", false)
	}
	c, err := e.cluster(&s, identityKey(s.Identity))
	if err != nil {
		return executor.Failure(CodeDispatch, "The cluster cannot be reached with the settings of the node executor: "+explain(err), false)
	}
	a := e.hold(c, &s, o.ref, o.name(), o.timeout)
	defer a.release()
	payload, err := stored(p, o)
	if err != nil {
		return executor.Failure("bad_payload", "The payload of this node cannot be encoded: "+err.Error(), false)
	}
	if res, done := a.beginDispatch(ctx, o, payload); done {
		return res
	}
	if res, done := a.dispatch(ctx, o); done {
		return res
	}
	return a.follow(ctx)
}

func explain(err error) string {
	e := errs.As(err)
	text := []string{e.Message}
	for _, d := range e.Details {
		text = append(text, d.Location+" "+d.Message+".")
	}
	return strings.Join(text, " ")
}

// newToken makes the token of one attempt.
func newToken() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails, by its documentation
	return base64.RawURLEncoding.EncodeToString(raw)
}

// stored is the payload as it is kept and given to the pod: without secrets, which
// travel in the Job's Secret, and with the limits that hold.
func stored(p executor.Payload, o *order) ([]byte, error) {
	p.Secrets = nil
	p.Limits.TimeoutSeconds = o.timeout.Seconds()
	p.Limits.GraceSeconds = max(1, (o.settings.CancelGrace - graceMargin).Seconds())
	p.Limits.HTTPAllow = o.settings.HTTPAllow
	return json.Marshal(p)
}

// graceMargin is what the pod keeps of its grace for reporting how it ended.
const graceMargin = 3 * time.Second

// beginDispatch stores dispatch_pending. done: there is nothing to dispatch.
func (a *attempt) beginDispatch(ctx context.Context, o *order, payload []byte) (res executor.Result, done bool) {
	for p := (pause{}); ; {
		err := a.e.o.Attempts.Begin(ctx, a.ref, dispatchID(a.c.namespace, a.name), tokenHash(o.token), payload)
		switch {
		case err == nil:
			a.begun = a.e.o.Now()
			return executor.Result{}, false
		case errors.Is(err, ErrStale):
			return settled(), true
		case errors.Is(err, ErrStarted): // of an earlier dispatch
			return a.follow(ctx), true
		case errs.Is(err, errs.Invalid), errs.Is(err, errs.TooLarge):
			return executor.Failure("bad_payload", errs.As(err).Message, false), true
		}
		a.log.WarnContext(ctx, "a dispatch could not be stored, trying again", "error", err)
		if !p.wait(ctx, nil) {
			return a.stop(ctx), true
		}
	}
}

// errAgain: something of an earlier dispatch was in the way and was removed.
var errAgain = errors.New("made way")

// dispatch makes Job and Secret, until the cluster has both, refuses them, or the time
// to start is over. done: the attempt has ended.
func (a *attempt) dispatch(ctx context.Context, o *order) (res executor.Result, done bool) {
	limited, cancel := context.WithDeadlineCause(ctx, a.begun.Add(a.s.DispatchTimeout), errStartTimeout)
	defer cancel()
	p, failing := pause{}, time.Time{}
	for {
		err := a.place(limited, o)
		switch {
		case err == nil:
			return a.submitted(ctx)
		case limited.Err() == nil && answered(err):
			return a.giveUp(ctx, refusal(err))
		case !errors.Is(err, errAgain):
			if failing.IsZero() {
				failing = a.e.o.Now()
			}
			a.log.WarnContext(ctx, "the cluster did not take a Job, trying again", "job", a.name, "error", err)
			if a.e.o.Now().Sub(failing) >= uncertainAfter {
				a.setUncertain(ctx, true)
			}
		}
		if p.wait(limited, err) {
			continue
		}
		if ctx.Err() != nil {
			return a.stop(ctx), true
		}
		return a.giveUp(ctx, executor.Failuref(CodeStartTimeout, true,
			"The node did not start within %s: the cluster's API did not answer (%s).", a.s.DispatchTimeout, foreign(err.Error())))
	}
}

var errStartTimeout = errors.New("the node did not start in time")

// place makes the Job, then its Secret. Each may be there: of a try whose answer was
// lost, or of an earlier holder, whose token does not count any more.
func (a *attempt) place(ctx context.Context, o *order) error {
	jobs, secrets := a.c.client.BatchV1().Jobs(a.c.namespace), a.c.client.CoreV1().Secrets(a.c.namespace)
	job, err := jobs.Create(ctx, o.job(), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		job, err = jobs.Get(ctx, a.name, metav1.GetOptions{})
		if err == nil && (job.DeletionTimestamp != nil || job.Annotations[annToken] != o.tokenID()) {
			return errors.Join(errAgain, a.c.removeJob(ctx, a.name))
		}
		if apierrors.IsNotFound(err) {
			return errAgain
		}
	}
	if err != nil {
		return fmt.Errorf("create Job: %w", err)
	}
	_, err = secrets.Create(ctx, o.secret(job), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		have, errGet := secrets.Get(ctx, a.name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(errGet):
			return errAgain
		case errGet != nil:
			return fmt.Errorf("look at Secret: %w", errGet)
		case have.Annotations[annToken] != o.tokenID() || !owned(have.OwnerReferences, job.UID):
			return errors.Join(errAgain, a.c.removeSecret(ctx, a.name))
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("create Secret: %w", err)
	}
	return nil
}

// submitted stores dispatch_submitted.
func (a *attempt) submitted(ctx context.Context) (res executor.Result, done bool) {
	a.setUncertain(ctx, false)
	for p := (pause{}); ; {
		err := a.e.o.Attempts.Submitted(ctx, a.ref)
		if err == nil {
			a.askedAt = a.e.o.Now() // the watch has its time to see the Job
			return executor.Result{}, false
		}
		if errors.Is(err, ErrStale) { // it ended, or was taken over; the Job is the other's
			return a.follow(ctx), true
		}
		if !p.wait(ctx, nil) {
			return a.stop(ctx), true
		}
	}
}
