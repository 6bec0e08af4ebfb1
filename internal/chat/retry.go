package chat

import (
	"errors"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/llm"
)

// A provider that is asked too often, or is overloaded, says so before its first word.
// The turn then goes back into the queue and is tried again by itself: it holds no slot
// while it waits, everybody sees why and until when, and a cancel ends it at once.
const (
	maxRetries   = 4
	firstRetry   = 2 * time.Second // doubled each time, where the provider names no time
	longestRetry = 2 * time.Minute // a provider that asks for more is not waited for
)

// statusOverloaded is what some providers answer instead of 503.
const statusOverloaded = 529

// worthWaiting tells how long a provider that refused asks to be left alone: at least
// firstRetry, 0 when another try is of no use.
func worthWaiting(err error, a *Answer) time.Duration {
	e, ok := errors.AsType[*llm.Error](err)
	if !ok || a.Begun || e.RetryAfter > longestRetry {
		return 0
	}
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, statusOverloaded:
		return max(e.RetryAfter, firstRetry)
	}
	return 0
}

// patience is the pause before the next attempt of a turn of which so many have failed; 0
// when that is enough. Turns that were refused together do not all come back together.
func patience(asked time.Duration, turnID, failed int64) time.Duration {
	if failed > maxRetries {
		return 0
	}
	pause := max(asked, firstRetry<<max(failed-1, 0))
	return pause + pause*time.Duration(turnID%8)/32
}

// refused reports whether a provider answered with an error before it said anything: such
// a question costs nothing.
func refused(err error, a *Answer) bool {
	e, ok := errors.AsType[*llm.Error](err)
	return ok && e.Status >= http.StatusBadRequest && !a.Begun
}
