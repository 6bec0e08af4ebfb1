package hub

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Kind is what went wrong.
type Kind string

// The kinds of failures.
const (
	Unauthorized Kind = "unauthorized"       // the token is not one
	Gated        Kind = "gated"              // its owner grants access by hand
	Forbidden    Kind = "forbidden"          // the token does not reach that far
	NoRepo       Kind = "repo_not_found"     // or private
	NoRevision   Kind = "revision_not_found" //
	NoFile       Kind = "file_not_found"     //
	Disabled     Kind = "repo_disabled"      // by the hub
	RateLimited  Kind = "rate_limited"       //
	Unavailable  Kind = "unavailable"        // 5xx
	Unreachable  Kind = "unreachable"        // no connection, or it broke
	Stalled      Kind = "stalled"            // nothing came for too long
	Changed      Kind = "changed"            // a file is not what the revision says
	NoRanges     Kind = "no_ranges"          // the server sends whole files only
	BadAnswer    Kind = "bad_answer"         // not what a hub answers
	TooMany      Kind = "too_many_files"     //
)

// Error is a failure in words.
type Error struct {
	Kind    Kind
	Status  int    // HTTP status, 0 if there was none
	Message string // what happened, why, and what to do
	After   time.Duration
	Cause   error // for logs
}

// Error implements error.
func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("hub: %s: %s: %v", e.Kind, e.Message, e.Cause)
	}
	return fmt.Sprintf("hub: %s: %s", e.Kind, e.Message)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Temporary tells whether trying again later may help.
func (e *Error) Temporary() bool {
	switch e.Kind {
	case RateLimited, Unavailable, Unreachable, Stalled:
		return true
	default:
		return false
	}
}

// RetryAfter is how long the hub asked to wait; 0: it did not.
func (e *Error) RetryAfter() time.Duration { return e.After }

// WholeOnly tells that the server does not send parts of files.
func (e *Error) WholeOnly() bool { return e.Kind == NoRanges }

// Replaced tells that the content is another one than before.
func (e *Error) Replaced() bool { return e.Kind == Changed }

func fail(kind Kind, status int, format string, args ...any) *Error {
	return &Error{Kind: kind, Status: status, Message: fmt.Sprintf(format, args...)}
}

// subject is what was asked for, for messages.
type subject struct{ repo, revision, path, host string }

// explain turns an answer that is none into words. The hub's own words go along:
// they name the agreement to accept, or the limit that was reached.
func explain(res *http.Response, s subject, hasToken bool, now time.Time) *Error {
	code, said := res.Header.Get("X-Error-Code"), clean(res.Header.Get("X-Error-Message"))
	status := res.StatusCode
	var e *Error
	switch {
	case code == "RevisionNotFound":
		e = fail(NoRevision, status, "%s has no revision %q. Give a branch, a tag or a commit that it has.", s.repo, s.revision)
	case code == "EntryNotFound":
		e = fail(NoFile, status, "%s has no file %q at %s.", s.repo, s.path, s.revision)
	case code == "GatedRepo":
		e = gated(status, s, hasToken)
	case said == "Access to this resource is disabled.":
		e = fail(Disabled, status, "The hub has disabled %s. Its page there may say why.", s.repo)
	case status == http.StatusUnauthorized && strings.HasPrefix(said, "Invalid credentials"):
		e = fail(Unauthorized, status, "The hub refused the token. Make a new one in the hub's settings, and give it with the download or as HF_TOKEN.")
	case code == "RepoNotFound", status == http.StatusUnauthorized, status == http.StatusNotFound:
		e = noRepo(status, s, hasToken)
	case status == http.StatusForbidden:
		e = fail(Forbidden, status, "The hub refused access to %s (403). The token needs read permission for it; look at the token's permissions in the hub's settings.", s.repo)
	case status == http.StatusTooManyRequests:
		e = fail(RateLimited, status, "The hub limits the requests from here (429). It goes on by itself after a while; a token raises the limit.")
	case status >= http.StatusInternalServerError, status == http.StatusRequestTimeout:
		e = fail(Unavailable, status, "The hub has trouble (%d from %s). Try again later.", status, s.host)
	default:
		e = fail(BadAnswer, status, "%s answered %d, which a model hub does not. Is HF_ENDPOINT the address of one?", s.host, status)
	}
	if said != "" && !strings.Contains(e.Message, said) {
		e.Message += " The hub says: " + said
	}
	e.After = retryAfter(res.Header, now)
	return e
}

func gated(status int, s subject, hasToken bool) *Error {
	if !hasToken {
		return fail(Gated, status, "%s is gated: the hub gives it only to people whom its owner has let in. Ask for access on the model's page, then give a token of that account.", s.repo)
	}
	return fail(Gated, status, "%s is gated, and the token's account has no access yet. Accept the terms on the model's page and wait for the owner's consent, then try again.", s.repo)
}

func noRepo(status int, s subject, hasToken bool) *Error {
	if !hasToken {
		return fail(NoRepo, status, "The hub has no model %s that can be seen without a token. Check the name; if it is private or gated, give a token.", s.repo)
	}
	return fail(NoRepo, status, "The hub has no model %s that this token may see. Check the name and whose token it is.", s.repo)
}

const maxWait = 10 * time.Minute

// retryAfter reads how long to wait: seconds or a date in Retry-After, or the reset
// time of a RateLimit header that says that nothing is left.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseInt(text, 10, 32); err == nil && n >= 0 {
		return min(time.Duration(n)*time.Second, maxWait)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxWait)
	}
	if m := regexp.MustCompile(`(?:^|[;,\s])r=0+;t=(\d{1,6})(?:$|[;,\s])`).FindStringSubmatch(h.Get("RateLimit")); m != nil {
		n, _ := strconv.Atoi(m[1]) // the pattern has digits only
		return min(time.Duration(n+1)*time.Second, maxWait)
	}
	return 0
}

// clean bounds what a server said and leaves one line of it.
func clean(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if r := []rune(text); len(r) > 300 {
		return string(r[:300]) + "…"
	}
	return text
}

// As gives the *Error in err's chain, or nil.
func As(err error) *Error {
	e, _ := errors.AsType[*Error](err)
	return e
}
