package drive

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"

	"github.com/llmctl/studio/internal/errs"
)

const (
	maxTries    = 7
	maxPause    = 30 * time.Second
	requestTime = 2 * time.Minute
)

// try makes a request, again after a pause when the server is busy or out of order. What
// ends it is explained.
func (f *Fetcher) try(ctx context.Context, tell func(string), request func(ctx context.Context) error) error {
	for n := 1; ; n++ {
		timed, cancel := context.WithTimeout(ctx, requestTime)
		err := request(timed)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		pause, again := f.pause(err, n)
		if !again || n == maxTries {
			return f.explain(err)
		}
		if tell != nil {
			tell("Drive asks to wait; going on in " + pause.Round(time.Second/10).String() + ".")
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// pause says how long to wait before a request is repeated, and whether it is.
func (f *Fetcher) pause(err error, n int) (time.Duration, bool) {
	wait := min(f.o.Pause<<(n-1), maxPause)
	wait += time.Duration(rand.Int64N(int64(wait)/4 + 1)) //nolint:gosec // so that many do not come back at once
	if e, ok := errors.AsType[*googleapi.Error](err); ok {
		if s, convErr := strconv.Atoi(e.Header.Get("Retry-After")); convErr == nil && s >= 0 {
			wait = min(time.Duration(s)*time.Second, maxPause)
		}
		return wait, e.Code == http.StatusTooManyRequests || e.Code >= 500 || (e.Code == http.StatusForbidden && limited(e))
	}
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return wait, e.Response != nil && e.Response.StatusCode >= 500
	}
	if f.base.refused.Load() != nil {
		return 0, false
	}
	if _, known := errors.AsType[*errs.Error](err); known {
		return 0, false
	}
	_, network := errors.AsType[net.Error](err)
	return wait, network
}

// limited tells whether a 403 means that there were too many requests.
func limited(e *googleapi.Error) bool {
	for _, item := range e.Errors {
		switch item.Reason {
		case "rateLimitExceeded", "userRateLimitExceeded", "sharingRateLimitExceeded":
			return true
		}
	}
	return false
}

// explain makes a sentence of an error. Answers of token servers may repeat what they
// were sent, so they are not shown.
func (f *Fetcher) explain(err error) error {
	if _, known := errors.AsType[*errs.Error](err); known {
		return err
	}
	if e := f.base.refused.Load(); e != nil {
		return errs.Ef(errs.Forbidden, "rag.address_refused",
			"%s is not a public address, and sources may not be there. An administrator allows it with LLMCTL_STUDIO_RAG_SOURCE_ALLOW.", e.Address).With(err)
	}
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		if e.Response != nil && e.Response.StatusCode >= 500 {
			return errs.E(errs.Unavailable, "rag.drive_unavailable", "The server that gives tokens is out of order. Try again later.").With(err)
		}
		return errs.Ef(errs.Forbidden, "rag.drive_refused",
			"The service account %s is refused (%s). Its key was revoked or the account deleted: give the file of another key.", f.account.ClientEmail, tokenFault(e))
	}
	e, ok := errors.AsType[*googleapi.Error](err)
	switch {
	case !ok:
		return errs.E(errs.Unavailable, "rag.drive_unavailable", "Drive cannot be reached. Check the network, or try again later.").With(err)
	case e.Code == http.StatusNotFound:
		return errs.Ef(errs.NotFound, "rag.drive_not_found",
			"Drive has no folder %s, or it is not shared with %s. Check the id, and share the folder with this address.", f.o.FolderID, f.account.ClientEmail).With(err)
	case e.Code == http.StatusTooManyRequests || limited(e):
		return errs.E(errs.RateLimited, "rag.drive_rate_limited", "Drive takes no more requests for now. Try again later.").With(err)
	case e.Code == http.StatusUnauthorized || e.Code == http.StatusForbidden:
		return errs.Ef(errs.Forbidden, "rag.drive_refused",
			"Drive refuses %s: %s. Check that the Drive API is enabled in its project and that the folder is shared with it.", f.account.ClientEmail, short(e.Message)).With(err)
	case e.Code >= 500:
		return errs.Ef(errs.Unavailable, "rag.drive_unavailable", "Drive is out of order (%d). Try again later.", e.Code).With(err)
	}
	return errs.Ef(errs.Unavailable, "rag.drive_failed", "Drive answers %d: %s.", e.Code, short(e.Message)).With(err)
}

var faultWord = regexp.MustCompile(`^[a-z_]{1,50}$`)

// tokenFault is the word by which a token server says no.
func tokenFault(e *oauth2.RetrieveError) string {
	var answer struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(e.Body, &answer) != nil || !faultWord.MatchString(answer.Error) {
		return "without a reason"
	}
	return answer.Error
}

func short(text string) string {
	if r := []rune(text); len(r) > 300 {
		return string(r[:300]) + "…"
	}
	if text == "" {
		return "without a reason"
	}
	return text
}
