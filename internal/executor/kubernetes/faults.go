package kubernetes

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
)

// answered reports whether the API server gave this error as its decision, which
// asking again will not change soon.
func answered(err error) bool {
	switch {
	case apierrors.IsTooManyRequests(err), apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsInternalError(err), apierrors.IsServiceUnavailable(err), apierrors.IsConflict(err):
		return false
	}
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) {
		return errs.As(err) != nil && errs.As(err).Code == errs.Invalid
	}
	code := status.Status().Code
	return code >= 400 && code < 500
}

// refusal is the end of an attempt whose Job or Secret the API server did not take.
func refusal(err error) executor.Result {
	text := foreign(err.Error())
	switch {
	case apierrors.IsForbidden(err) && strings.Contains(text, "exceeded quota"):
		return executor.Failuref(CodeQuota, true, "The namespace has no room for this node: %s.", text)
	case apierrors.IsForbidden(err) && (strings.Contains(text, " cannot create ") || strings.Contains(text, " cannot get ") || strings.Contains(text, " cannot delete ")):
		return executor.Failuref(CodeForbidden, false, "The Studio may not do this in the cluster: %s. Give its service account the permission; the test in the settings of the node executor lists what is missing.", text)
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return executor.Failuref(CodeRefused, false, "The cluster refused the Job of this node: %s.", text)
	case apierrors.IsUnauthorized(err):
		return executor.Failure(CodeForbidden, "The cluster does not know the Studio (Unauthorized). The credentials in the settings of the node executor are wrong or have expired.", false)
	case apierrors.IsNotFound(err) && strings.Contains(text, "namespaces"):
		return executor.Failuref(CodeRefused, false, "The cluster has no such namespace: %s.", text)
	}
	return executor.Failuref(CodeDispatch, true, "The Job of this node could not be made: %s.", text)
}

// pause is a growing wait between tries; it keeps to what a server asked for.
type pause struct{ next time.Duration }

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// wait waits; false: ctx ended first.
func (p *pause) wait(ctx context.Context, err error) bool {
	if p.next == 0 {
		p.next = firstPause
	}
	d := p.next/2 + rand.N(p.next/2+1) //nolint:gosec // keeps many from asking at once
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		d = max(d, time.Duration(seconds)*time.Second)
	}
	p.next = min(2*p.next, lastPause)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
