package llm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Kind is what went wrong with a provider.
type Kind string

// The kinds of errors. The set is closed.
const (
	KindAuth           Kind = "auth"
	KindRateLimit      Kind = "rate_limit"
	KindContextLength  Kind = "context_length"
	KindUnavailable    Kind = "unavailable"
	KindInvalidRequest Kind = "invalid_request"
	KindTimeout        Kind = "timeout"
	KindCancelled      Kind = "cancelled"
	KindUnknownModel   Kind = "unknown_model"
)

// Error is a failed call of a provider. Message is a sentence for users.
type Error struct {
	Kind       Kind
	Provider   string
	Status     int           // HTTP status, 0 if there was none
	RetryAfter time.Duration // as the provider asked, 0 if it did not
	Message    string
	cause      error
}

// Error gives kind and message, for logs.
func (e *Error) Error() string { return "llm: " + string(e.Kind) + ": " + e.Message }

// Unwrap gives the cause when it was the context or the network.
func (e *Error) Unwrap() error { return e.cause }

// Retryable reports whether the same request may succeed later.
func (e *Error) Retryable() bool {
	return e.Kind == KindRateLimit || e.Kind == KindUnavailable || e.Kind == KindTimeout
}

// HTTPFailure is what a provider's client knows of an answer that was an error.
type HTTPFailure struct {
	Status  int
	Header  http.Header
	Code    string // the provider's own word, if any
	Message string // the provider's own sentence, if any
}

// Failures turns what clients report into *Error. Provider is the user's name for
// it; Key is blacked out wherever a provider echoes it.
type Failures struct {
	Provider string
	Key      string
}

// HTTP classifies an error answer.
func (f Failures) HTTP(model string, h HTTPFailure) *Error {
	said := f.quote(h.Message)
	e := &Error{Provider: f.Provider, Status: h.Status, RetryAfter: retryAfter(h.Header, time.Now())}
	switch {
	case isContextLength(h):
		e.Kind = KindContextLength
		e.Message = fmt.Sprintf("The text is too long for the model %s.%s Shorten the prompt, or use a model with a larger context.", model, said)
	case h.Status == http.StatusUnauthorized || isBadKey(h):
		e.Kind = KindAuth
		e.Message = fmt.Sprintf("The provider refused the key (%d). Check it under Models -> %s.%s", h.Status, f.Provider, said)
	case h.Status == http.StatusForbidden:
		e.Kind = KindAuth
		e.Message = fmt.Sprintf("The key of %s may not do this (403).%s", f.Provider, said)
	case h.Status == http.StatusTooManyRequests:
		e.Kind = KindRateLimit
		e.Message = fmt.Sprintf("%s limits how often it may be asked (429).%s%s", f.Provider, waitText(e.RetryAfter), said)
	case h.Status == http.StatusNotFound && model != "":
		e.Kind = KindUnknownModel
		e.Message = fmt.Sprintf("%s does not know the model %q, or its address is wrong (404).%s", f.Provider, model, said)
	case h.Status == http.StatusRequestTimeout || h.Status == http.StatusGatewayTimeout:
		e.Kind = KindTimeout
		e.Message = fmt.Sprintf("%s did not answer in time (%d).%s", f.Provider, h.Status, said)
	case h.Status >= 500 || isOverloaded(h):
		e.Kind = KindUnavailable
		e.Message = fmt.Sprintf("%s has a problem of its own (%d).%s", f.Provider, h.Status, said)
	case h.Status >= 300 && h.Status < 400:
		e.Kind = KindInvalidRequest
		e.Message = fmt.Sprintf("%s redirects to another address (%d). Enter that address as its base URL; keys are not sent along redirects.", f.Provider, h.Status)
	default:
		e.Kind = KindInvalidRequest
		e.Message = fmt.Sprintf("%s refused the request (%d).%s", f.Provider, h.Status, said)
	}
	return e
}

// Transport classifies a call that got no whole answer: ctx ended, nothing came for
// too long, or the connection failed.
func (f Failures) Transport(ctx context.Context, err error) *Error {
	if already, ok := errors.AsType[*Error](err); ok {
		return already
	}
	if r, ok := errors.AsType[*redirectError](err); ok {
		return f.HTTP("", HTTPFailure{Status: r.status})
	}
	var ne net.Error
	switch {
	case errors.Is(err, ErrIdle):
		return &Error{Kind: KindTimeout, Provider: f.Provider, Message: f.Provider + " stopped answering: nothing came for too long.", cause: ErrIdle}
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &Error{Kind: KindTimeout, Provider: f.Provider, Message: f.Provider + " did not answer in the time that was given.", cause: context.Cause(ctx)}
	case ctx.Err() != nil:
		return &Error{Kind: KindCancelled, Provider: f.Provider, Message: "The request was cancelled.", cause: context.Cause(ctx)}
	case errors.Is(err, ErrTooLarge):
		return &Error{Kind: KindInvalidRequest, Provider: f.Provider, Message: f.Provider + " sent an answer larger than the limit.", cause: ErrTooLarge}
	case errors.As(err, &ne) && ne.Timeout():
		return &Error{Kind: KindTimeout, Provider: f.Provider, Message: f.Provider + " did not answer in time.", cause: errors.New(f.redact(err.Error()))}
	}
	return &Error{
		Kind: KindUnavailable, Provider: f.Provider,
		Message: fmt.Sprintf("%s cannot be reached. Check its address under Models.%s", f.Provider, f.quote(err.Error())),
		cause:   errors.New(f.redact(err.Error())),
	}
}

// Broken is a stream that ended before the answer did.
func (f Failures) Broken() *Error {
	return &Error{Kind: KindUnavailable, Provider: f.Provider, Message: f.Provider + " broke off in the middle of its answer."}
}

// Invalid is a request that cannot be expressed for the provider.
func (f Failures) Invalid(message string) *Error {
	return &Error{Kind: KindInvalidRequest, Provider: f.Provider, Message: message}
}

const maxQuoted = 400

// quote renders the provider's own words, short and without the key.
func (f Failures) quote(s string) string {
	s = strings.Join(strings.Fields(f.redact(s)), " ")
	if s == "" {
		return ""
	}
	if r := []rune(s); len(r) > maxQuoted {
		s = string(r[:maxQuoted]) + "…"
	}
	return " It said: " + s
}

func (f Failures) redact(s string) string {
	if len(f.Key) < 6 {
		return s
	}
	return strings.ReplaceAll(s, f.Key, "***")
}

func waitText(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return fmt.Sprintf(" It asks to wait %s.", d.Round(time.Second))
}

// isContextLength goes by the words that providers use, for only some have a code.
func isContextLength(h HTTPFailure) bool {
	said := strings.ToLower(h.Message)
	if h.Status == http.StatusInternalServerError && strings.Contains(said, "input is too large to process") {
		return true // llama.cpp's server says it in this way
	}
	if h.Status != 0 && h.Status != http.StatusBadRequest && h.Status != http.StatusRequestEntityTooLarge && h.Status != http.StatusUnprocessableEntity {
		return false
	}
	if h.Code == "context_length_exceeded" || h.Code == "max_tokens_per_request" {
		return true
	}
	if strings.Contains(said, "must have less than") && strings.Contains(said, "tokens") {
		return true
	}
	return containsAny(said,
		"maximum context length", "context length", "context window", "prompt is too long",
		"exceeds the maximum number of tokens", "input token count", "too many tokens",
		"tokens per request", "max allowed tokens")
}

// isBadKey covers providers that answer 400 to a wrong key.
func isBadKey(h HTTPFailure) bool {
	return h.Status == http.StatusBadRequest && (h.Code == "API_KEY_INVALID" || containsAny(strings.ToLower(h.Message), "api key not valid", "invalid api key"))
}

func isOverloaded(h HTTPFailure) bool {
	return h.Code == "overloaded_error" || h.Code == "api_error" || h.Code == "server_error"
}

func containsAny(s string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// retryAfter reads the standard header, in seconds or as a date, and the
// millisecond variant that some providers add. What is not sensible counts as none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	const longest = 24 * time.Hour
	var d time.Duration
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		d = time.Duration(ms * float64(time.Millisecond))
	} else if v := h.Get("Retry-After"); v != "" {
		if s, err := strconv.ParseFloat(v, 64); err == nil {
			d = time.Duration(s * float64(time.Second))
		} else if at, err := http.ParseTime(v); err == nil {
			d = at.Sub(now)
		}
	}
	if d < 0 || d > longest {
		return 0
	}
	return d
}
