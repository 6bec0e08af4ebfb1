package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/llmctl/studio/internal/egress"
	"github.com/llmctl/studio/internal/errs"
)

// Kind is what went wrong with a server.
type Kind string

// The kinds of errors. The set is closed.
const (
	KindUnauthorized Kind = "unauthorized" // it asks for an authorization, or refuses ours
	KindUnreachable  Kind = "unreachable"
	KindBlocked      Kind = "blocked" // a private address that is not allowed
	KindTimeout      Kind = "timeout"
	KindCancelled    Kind = "cancelled"
	KindClosed       Kind = "closed"      // the connection broke while it worked
	KindProtocol     Kind = "protocol"    // it answers something else than MCP
	KindNotAllowed   Kind = "not_allowed" // this process starts no programs
	KindBusy         Kind = "busy"        // too many connections
	KindRefused      Kind = "refused"     // it refused what it was asked
)

// Error is a failed exchange with a server. Message is a sentence for people.
type Error struct {
	Kind    Kind
	Server  string
	Message string
	// Sent: the server may have begun to work on what it was asked.
	Sent  bool
	cause error
}

// Error gives kind and message, for logs.
func (e *Error) Error() string { return "mcp: " + string(e.Kind) + ": " + e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// retryable reports whether another try may succeed soon.
func (e *Error) retryable() bool { return e.Kind == KindUnreachable || e.Kind == KindClosed }

// statusError is an answer of HTTP that says no.
type statusError struct {
	status int
	said   string
}

// Error implements error.
func (e *statusError) Error() string { return fmt.Sprintf("HTTP %d %s", e.status, e.said) }

// codeRejected is how the SDK marks a request that its transport could not carry out;
// no server sends it.
const codeRejected = -32005

// explain turns what an exchange failed with into an *Error. asked names what was
// asked, for people.
func (s Spec) explain(ctx context.Context, asked string, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{Server: s.Key, Sent: true, cause: err}
	blocked, isBlocked := errors.AsType[*egress.BlockedError](err)
	status, isStatus := errors.AsType[*statusError](err)
	wire, isWire := errors.AsType[*jsonrpc.Error](err)
	op, isOp := errors.AsType[*net.OpError](err)
	told, isTold := errors.AsType[*errs.Error](err)
	switch {
	case isBlocked:
		e.Kind, e.Sent = KindBlocked, false
		e.Message = blocked.Address + " is not a public address. An administrator can allow it with LLMCTL_STUDIO_MCP_SERVER_ALLOW."
	case isStatus:
		s.explainStatus(e, status)
	case isTold: // the token
		e.Kind, e.Sent, e.Message = KindUnauthorized, false, told.Message
	case errors.Is(context.Cause(ctx), errConnectTimeout) || errors.Is(err, errConnectTimeout):
		e.Kind, e.Sent, e.Message = KindTimeout, false, fmt.Sprintf("%s did not answer initialize within %s.", s.Key, connectTimeout)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		e.Kind, e.Message = KindTimeout, fmt.Sprintf("%s did not answer %s in time.", s.Key, asked)
	case ctx.Err() != nil:
		e.Kind, e.Message = KindCancelled, fmt.Sprintf("Asking %s for %s was cancelled.", s.Key, asked)
	case errors.Is(err, errRedirect):
		e.Kind, e.Sent, e.Message = KindProtocol, false, s.Key+" redirects to another origin, which is not followed. Enter that address instead."
	case strings.Contains(err.Error(), errContentType.Error()):
		e.Kind, e.Message = KindProtocol, fmt.Sprintf("%s does not answer %s as an MCP server does: it sent something else than JSON or events. Is the path right, often /mcp or /sse?", s.Key, asked)
	case isOp && op.Op == "dial":
		e.Kind, e.Sent, e.Message = KindUnreachable, false, fmt.Sprintf("%s cannot be reached at %s: %s.", s.Key, hostOf(s.URL), plain(op))
	case errors.Is(err, mcp.ErrSessionMissing):
		e.Kind, e.Sent, e.Message = KindClosed, false, s.Key+" has forgotten the session; it was probably restarted."
	case errors.Is(err, mcp.ErrConnectionClosed), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isOp, isWire && wire.Code == codeRejected:
		e.Kind, e.Message = KindClosed, fmt.Sprintf("The connection to %s broke while it worked on %s.", s.Key, asked)
	case isWire:
		e.Kind = KindRefused
		e.Message = fmt.Sprintf("%s refused %s: %s (%d).", s.Key, asked, sentence(wire.Message), wire.Code)
	default:
		e.Kind, e.Message = KindProtocol, fmt.Sprintf("%s does not answer %s as an MCP server does: %s.", s.Key, asked, sentence(err.Error()))
	}
	return e
}

func (s Spec) explainStatus(e *Error, status *statusError) {
	e.Sent = status.status >= 500
	switch {
	case status.status == http.StatusUnauthorized:
		e.Kind, e.Message = KindUnauthorized, s.Key+" asks for an authorization (401). Connect it, or set a header with a valid token."
	case status.status == http.StatusForbidden:
		e.Kind, e.Message = KindUnauthorized, s.Key+" refuses what it was sent as authorization (403)."
	case status.status == http.StatusNotFound:
		e.Kind, e.Message = KindProtocol, fmt.Sprintf("There is no MCP endpoint at %s (404). Is the path right, often /mcp or /sse?", s.URL)
	case status.status == http.StatusMethodNotAllowed:
		e.Kind, e.Message = KindProtocol, fmt.Sprintf("%s does not speak %s there (405). Try the other transport.", s.Key, s.Transport)
	case status.status >= 500:
		e.Kind, e.Message = KindUnreachable, fmt.Sprintf("%s has a problem of its own (HTTP %d).%s", s.Key, status.status, said(status.said))
	default:
		e.Kind, e.Message = KindProtocol, fmt.Sprintf("%s refused the request (HTTP %d).%s", s.Key, status.status, said(status.said))
	}
}

func said(s string) string {
	if s = sentence(s); s == "" {
		return ""
	}
	return " It said: " + s + "."
}

// sentence makes one short line of what others say.
func sentence(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if r := []rune(s); len(r) > 400 {
		s = string(r[:400]) + "…"
	}
	return strings.TrimRight(s, ". ")
}

func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Host
	}
	return address
}

// plain is a network error without the addresses that a name resolved to.
func plain(op *net.OpError) string {
	if dns, ok := errors.AsType[*net.DNSError](op); ok && dns.IsNotFound {
		return "there is no such host"
	}
	if op.Err != nil {
		text := op.Err.Error()
		if i := strings.LastIndex(text, ": "); i >= 0 {
			return text[i+2:]
		}
		return text
	}
	return "the network failed"
}

// bodyMessage is the message of a JSON error body, if it is one.
func bodyMessage(raw []byte) string {
	var body struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  string          `json:"error_description"`
	}
	if json.Unmarshal(raw, &body) != nil {
		return string(raw)
	}
	var inner struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body.Error, &inner) == nil && inner.Message != "" {
		return inner.Message
	}
	if body.Detail != "" {
		return body.Detail
	}
	return body.Message
}
