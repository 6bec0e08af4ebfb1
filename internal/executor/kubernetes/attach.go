package kubernetes

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/executor"
)

// Attach takes over an attempt that another process dispatched, and holds it as
// Execute does. payload is asked for when it has to be dispatched again: nothing was
// made, or its token is lost.
func (e *Executor) Attach(ctx context.Context, nodeRunID int64, number int, payload func(ctx context.Context) (executor.Payload, error)) executor.Result {
	res, again := e.attach(ctx, nodeRunID, int32(number))
	if !again {
		return res
	}
	for p := (pause{}); ; {
		what, err := payload(ctx)
		if err == nil {
			return e.Execute(ctx, what, nil)
		}
		e.o.Log.WarnContext(ctx, "what an attempt was dispatched with could not be loaded, trying again", "node_run_id", nodeRunID, "attempt", number, "error", err)
		if !p.wait(ctx, nil) {
			res, _ = executor.Ended(ctx)
			return res
		}
	}
}

func (e *Executor) attach(ctx context.Context, nodeRunID int64, number int32) (res executor.Result, again bool) {
	st, res, ok := e.adopted(ctx, nodeRunID, number)
	if !ok {
		return res, false
	}
	namespace, job, ok := parseDispatchID(st.DispatchID)
	if !ok {
		return executor.Result{}, true
	}
	s, res, ok := e.settings(ctx)
	if !ok {
		return res, false
	}
	s.Namespace = namespace
	c, err := e.cluster(&s, keyOf(job))
	if err != nil {
		return executor.Failure(CodeDispatch, "The cluster cannot be reached with the settings of the node executor: "+explain(err), true), false
	}
	timeout := s.Timeout
	if st.TimeoutSeconds > 0 {
		timeout = time.Duration(st.TimeoutSeconds * float64(time.Second))
	}
	a := e.hold(c, &s, st.Ref, job, timeout)
	defer a.release()
	a.begun, a.uncertain, a.known = st.BegunAt, st.Uncertain, st.Dispatch != DispatchPending
	if st.Dispatch == DispatchPending && st.PodUID == "" && !st.CancelRequested {
		res, again, done := a.settle(ctx)
		if done || again {
			return res, again
		}
	}
	return a.follow(ctx), false
}

// adopted loads the attempt; false: there is nothing to hold.
func (e *Executor) adopted(ctx context.Context, nodeRunID int64, number int32) (State, executor.Result, bool) {
	for p := (pause{}); ; {
		st, err := e.o.Attempts.State(context.WithoutCancel(ctx), nodeRunID, number)
		if err == nil {
			return st, settled(), st.Open && st.Worker == e.o.Worker
		}
		e.o.Log.WarnContext(ctx, "the state of an attempt could not be loaded, trying again", "node_run_id", nodeRunID, "attempt", number, "error", err)
		if !p.wait(ctx, nil) {
			return st, letGo(), false
		}
	}
}

// settle finds out how far an interrupted dispatch came: both objects are there, or
// what there is, is removed. While the cluster cannot be asked it goes on asking.
func (a *attempt) settle(ctx context.Context) (res executor.Result, again, done bool) {
	failing := a.e.o.Now()
	for p := (pause{}); ; {
		complete, err := a.complete(ctx)
		switch {
		case err == nil && complete:
			res, done = a.submitted(ctx)
			return res, false, done
		case err == nil:
			if err = a.c.removeJob(ctx, a.name); err == nil {
				a.setUncertain(ctx, false)
				return res, true, false
			}
		}
		if answered(err) {
			res, done = a.giveUp(ctx, refusal(err))
			return res, false, done
		}
		a.log.WarnContext(ctx, "the cluster could not be asked for a Job, trying again", "job", a.name, "error", err)
		if a.e.o.Now().Sub(failing) >= uncertainAfter {
			a.setUncertain(ctx, true)
		}
		if a.e.o.Now().Sub(a.begun) >= a.s.DispatchTimeout {
			res, done = a.giveUp(ctx, executor.Failuref(CodeStartTimeout, true,
				"The node did not start within %s: the cluster's API did not answer (%s).", a.s.DispatchTimeout, foreign(err.Error())))
			return res, false, done
		}
		if !p.wait(ctx, err) {
			return a.stop(ctx), false, true
		}
	}
}

// complete reports whether the cluster has both the Job and its Secret.
func (a *attempt) complete(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	job, err := a.c.client.BatchV1().Jobs(a.c.namespace).Get(ctx, a.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	secret, err := a.c.client.CoreV1().Secrets(a.c.namespace).Get(ctx, a.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return owned(secret.OwnerReferences, job.UID) && secret.Annotations[annToken] == job.Annotations[annToken], nil
}
