package httpapi

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Problem is the body of every error: application/problem+json.
type Problem struct { //nolint:errname // the name of the standard (RFC 9457)
	Type          string        `json:"type" doc:"Always about:blank; code and reason tell the kind"`
	Title         string        `json:"title" doc:"The status in words"`
	Status        int           `json:"status" doc:"HTTP status"`
	Detail        string        `json:"detail" doc:"What happened, why, and what to do, for people"`
	Code          string        `json:"code" enum:"invalid,unauthenticated,forbidden,not_found,conflict,precondition,rate_limited,too_large,unavailable,timeout,internal,CHAT_SESSION_SCOPE_SELECTOR_OVERRIDE" doc:"Kind of the error, a closed set"`
	Reason        string        `json:"reason" doc:"Which error, a stable dotted word"`
	Errors        []errs.Detail `json:"errors" doc:"Faulty places of the request"`
	RequestID     string        `json:"request_id"`
	CorrelationID string        `json:"correlation_id"`
	TraceID       string        `json:"trace_id,omitempty" doc:"Of a traced request: its OpenTelemetry trace"`
}

// Error makes a Problem an error that huma writes as it is.
func (p *Problem) Error() string { return p.Reason + ": " + p.Detail }

// GetStatus gives the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType says that this is a problem document.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// statusOf maps the closed set of codes.
func statusOf(code errs.Code) int {
	switch code {
	case errs.Invalid:
		return http.StatusUnprocessableEntity
	case errs.Unauthenticated:
		return http.StatusUnauthorized
	case errs.Forbidden:
		return http.StatusForbidden
	case errs.NotFound:
		return http.StatusNotFound
	case errs.Conflict:
		return http.StatusConflict
	case errs.Precondition:
		return http.StatusPreconditionFailed
	case errs.RateLimited:
		return http.StatusTooManyRequests
	case errs.TooLarge:
		return http.StatusRequestEntityTooLarge
	case errs.Unavailable:
		return http.StatusServiceUnavailable
	case errs.Timeout:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// codeOf maps a status that huma or the mux chose.
func codeOf(status int) (errs.Code, string) {
	switch status {
	case http.StatusBadRequest:
		return errs.Invalid, "request.malformed"
	case http.StatusUnprocessableEntity:
		return errs.Invalid, "request.invalid"
	case http.StatusUnauthorized:
		return errs.Unauthenticated, "auth.required"
	case http.StatusForbidden:
		return errs.Forbidden, "auth.forbidden"
	case http.StatusNotFound:
		return errs.NotFound, "request.unknown_path"
	case http.StatusMethodNotAllowed:
		return errs.Invalid, "request.wrong_method"
	case http.StatusRequestEntityTooLarge:
		return errs.TooLarge, "request.too_large"
	case http.StatusUnsupportedMediaType, http.StatusNotAcceptable:
		return errs.Invalid, "request.media_type"
	case http.StatusRequestTimeout:
		return errs.Timeout, "request.timeout"
	default:
		return errs.Internal, "internal"
	}
}

// problemOf builds the envelope from our own error, or from what huma found.
func problemOf(status int, msg string, causes ...error) *Problem {
	for _, cause := range causes {
		if e := ours(cause); e != nil {
			return fromError(e)
		}
	}
	if status >= http.StatusInternalServerError {
		return &Problem{
			Type: "about:blank", Title: http.StatusText(status), Status: status, Code: string(errs.Internal), Reason: "internal",
			Detail: "Something went wrong on our side. If it happens again, look for the request id in the log.", Errors: []errs.Detail{},
		}
	}
	code, reason := codeOf(status)
	p := &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: msg, Code: string(code), Reason: reason, Errors: []errs.Detail{},
	}
	for _, cause := range causes {
		var d huma.ErrorDetailer
		if errors.As(cause, &d) {
			detail := d.ErrorDetail()
			p.Errors = append(p.Errors, errs.Detail{Location: detail.Location, Message: detail.Message})
		} else if cause != nil {
			p.Errors = append(p.Errors, errs.Detail{Message: cause.Error()})
		}
	}
	return p
}

// ours gives the error that a domain made, which may carry the database's as its
// cause and says more than that; else what the database's error means in general.
func ours(cause error) *errs.Error {
	if e, ok := errors.AsType[*errs.Error](cause); ok {
		return e
	}
	if e, ok := errors.AsType[*errs.Error](postgres.Wrap(cause)); ok {
		return e
	}
	return nil
}

func fromError(e *errs.Error) *Problem {
	status := statusOf(e.Code)
	p := &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: e.Message, Code: string(e.Code), Reason: e.Reason, Errors: e.Details,
	}
	if p.Errors == nil {
		p.Errors = []errs.Detail{}
	}
	return p
}

// newProblem is what huma calls for every error it writes.
func newProblem(ctx huma.Context, status int, msg string, causes ...error) huma.StatusError {
	p := problemOf(status, msg, causes...)
	if ctx == nil {
		return p
	}
	ids := idsFrom(ctx.Context())
	p.RequestID, p.CorrelationID, p.TraceID = ids.Request, ids.Correlation, traceIDOf(ctx.Context())
	for _, cause := range causes {
		if e, ok := errors.AsType[*errs.Error](cause); ok && e.After > 0 {
			ctx.SetHeader("Retry-After", strconv.Itoa(int(e.After.Seconds())+1))
		}
		if p.Status >= http.StatusInternalServerError && cause != nil {
			noteError(ctx.Context(), cause)
		}
	}
	return p
}
