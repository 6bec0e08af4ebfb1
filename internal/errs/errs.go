// Package errs holds the one error type that crosses package borders: a closed
// set of codes (what kind of trouble), a stable dotted reason (which trouble,
// for user interfaces and tests), and a message a person can act on.
//
// The package knows nothing of transports or databases. Anything that is not an
// *Error counts as internal, and its text never reaches a user.
package errs

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code is the kind of an error. The set is closed: httpapi maps each to one
// HTTP status.
type Code string

// The codes, from the caller's point of view.
const (
	Invalid         Code = "invalid"
	Unauthenticated Code = "unauthenticated"
	Forbidden       Code = "forbidden"
	NotFound        Code = "not_found"
	Conflict        Code = "conflict"
	Precondition    Code = "precondition"
	RateLimited     Code = "rate_limited"
	TooLarge        Code = "too_large"
	Unavailable     Code = "unavailable"
	Timeout         Code = "timeout"
	Internal        Code = "internal"
)

// Detail points at one faulty place of an input, for example
// {"body.email", "is not an e-mail address"}.
type Detail struct {
	Location string `json:"location"`
	Message  string `json:"message"`
}

// Error is an error that may be shown to a user.
type Error struct {
	Code    Code
	Reason  string        // stable dotted word, e.g. "flow.edge_cycle"
	Message string        // a sentence: what happened, why, what to do
	Details []Detail      // faulty places, if any
	After   time.Duration // how long to wait before trying again, if known
	Cause   error         // for logs only
}

// E makes an error of a code, a stable reason and a message for people.
func E(code Code, reason, message string, details ...Detail) *Error {
	return &Error{Code: code, Reason: reason, Message: message, Details: details}
}

// Ef is E with a formatted message.
func Ef(code Code, reason, format string, args ...any) *Error {
	return &Error{Code: code, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// With returns a copy of e that carries cause for the log.
func (e *Error) With(cause error) *Error {
	c := *e
	c.Cause = cause
	return &c
}

// Retry returns a copy of e that says how long to wait before trying again.
func (e *Error) Retry(after time.Duration) *Error {
	c := *e
	c.After = after
	return &c
}

// shownDetails bounds what Error says of a long list.
const shownDetails = 5

// Error gives reason, message, the first details and the cause; it is meant for logs.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString(e.Reason + ": " + e.Message)
	for i, d := range e.Details {
		if i == shownDetails {
			fmt.Fprintf(&text, " … %d more", len(e.Details)-i)
			break
		}
		text.WriteString(" [" + d.Location + " " + d.Message + "]")
	}
	if e.Cause != nil {
		text.WriteString(": " + e.Cause.Error())
	}
	return text.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// As returns the *Error in err's chain, or an internal one that wraps err.
// It returns nil for nil.
func As(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: Internal, Reason: "internal", Message: "Something went wrong on our side.", Cause: err}
}

// Is reports whether err's chain holds an *Error of that code.
func Is(err error, code Code) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}

// HasReason reports whether err's chain holds an *Error with that reason.
func HasReason(err error, reason string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Reason == reason
}
