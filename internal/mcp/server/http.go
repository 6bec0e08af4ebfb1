package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
)

// ids name a request in logs, audit entries and events.
type ids struct{ request, correlation string }

type (
	idsKey     struct{}
	refusalKey struct{}
	goneKey    struct{}
)

func idsFrom(ctx context.Context) ids {
	v, _ := ctx.Value(idsKey{}).(ids)
	return v
}

// refusalFrom is why nobody could be told who asks, for the methods that answer it.
func refusalFrom(ctx context.Context) error {
	err, _ := ctx.Value(refusalKey{}).(error)
	return err
}

// goneFrom is closed when the client has hung up. The SDK's own context does not
// end then, in the versions of the protocol that have sessions.
func goneFrom(ctx context.Context) <-chan struct{} {
	done, _ := ctx.Value(goneKey{}).(<-chan struct{})
	return done
}

func (s *Server) newHandler() http.Handler {
	protocol := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s.sdk }, &mcp.StreamableHTTPOptions{
		Stateless: true,
		// Origins are ours to judge, and behind a proxy on the same machine the Host
		// is rightly another one.
		DisableLocalhostProtection:   true,
		MaxRequestBodyBytes:          maxBody,
		PropagateRequestCancellation: true,
		Logger:                       slog.New(slog.DiscardHandler), // it logs what clients send; we log what becomes of it
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.guard(w, r, protocol) })
}

// guard is what every request passes: origin, size, who asks.
func (s *Server) guard(w http.ResponseWriter, r *http.Request, protocol http.Handler) {
	r = withIDs(w, r)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !allowedOrigin(r, s.o.Origins) {
		refuse(w, http.StatusForbidden, errs.Ef(errs.Forbidden, "mcp.origin",
			"Pages of %q may not use this MCP server. Name the origin in LLMCTL_MCP_PUBLIC_BASE_URL, or use a client that is no web page.", clip(r.Header.Get("Origin"))))
		return
	}
	cors(w, r)
	switch r.Method {
	case http.MethodPost:
	case http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		w.Header().Set("Allow", "POST")
		refuse(w, http.StatusMethodNotAllowed, errs.E(errs.Invalid, "mcp.method",
			"This MCP endpoint takes POST. It keeps no sessions and has no stream of its own, so there is nothing to GET or DELETE."))
		return
	}
	select {
	case s.inFlight <- struct{}{}:
		defer func() { <-s.inFlight }()
	default:
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, errs.Ef(errs.Unavailable, "mcp.busy", "More than %d requests are under way. Try again in a moment.", maxInFlight))
		return
	}
	s.serve(w, r, protocol)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, protocol http.Handler) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	ctx := context.WithValue(r.Context(), goneKey{}, r.Context().Done())
	if !open(body) {
		p, err := s.authenticate(ctx, r)
		switch {
		case err == nil:
			ctx = auth.WithPrincipal(ctx, p)
		case errs.Is(err, errs.Unauthenticated):
			w.Header().Set("WWW-Authenticate", `Bearer realm="llmctl Studio", error="invalid_token"`)
			refuse(w, http.StatusUnauthorized, err)
			return
		default:
			// Not the caller's fault: the method answers it, in its own way.
			s.o.Logger.ErrorContext(ctx, "mcp authentication", "error", err, "request_id", idsFrom(ctx).request)
			ctx = context.WithValue(ctx, refusalKey{}, err)
		}
	}
	protocol.ServeHTTP(w, r.WithContext(ctx))
}

// authenticate takes API keys only. A browser sends cookies by itself, whatever page
// it shows, and tools do too much for that.
func (s *Server) authenticate(ctx context.Context, r *http.Request) (auth.Principal, error) {
	d := s.domains.Load()
	if d == nil {
		return auth.Principal{}, starting()
	}
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if key = strings.TrimSpace(key); !strings.EqualFold(scheme, "Bearer") || key == "" {
		return auth.Principal{}, noKey()
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	p, err := d.Auth.AuthenticateKey(ctx, key)
	if err != nil && !errs.Is(err, errs.Unauthenticated) {
		return p, known(err)
	}
	return p, err
}

func noKey() error {
	return errs.E(errs.Unauthenticated, "auth.required", "Send an API key as `Authorization: Bearer …`. The Studio's settings page makes one.")
}

// readBody reads a request within size and time.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // not every server can
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		refuse(w, http.StatusRequestEntityTooLarge, errs.Ef(errs.TooLarge, "mcp.too_large", "The request has more than %d bytes.", maxBody))
		return nil, false
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, errs.E(errs.Invalid, "mcp.body", "The request's body did not arrive in time or was cut off."))
		return nil, false
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return body, true
}

// open reports whether a request asks only for what anybody may have: the handshake,
// and whether somebody is there. What cannot be read is not open. Names of members
// are compared exactly, as the protocol does: for encoding/json's structs "Method"
// would be as good as "method". Should both readings differ all the same, a tool
// finds nobody who asks, and refuses.
func open(body []byte) bool {
	var many []map[string]json.RawMessage
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] == '[' {
		if json.Unmarshal(trimmed, &many) != nil || len(many) == 0 {
			return false
		}
	} else {
		var one map[string]json.RawMessage
		if json.Unmarshal(trimmed, &one) != nil {
			return false
		}
		many = []map[string]json.RawMessage{one}
	}
	for _, m := range many {
		switch string(m["method"]) {
		case `"initialize"`, `"ping"`, `"server/discover"`, `"notifications/initialized"`, `"notifications/cancelled"`:
		default:
			return false
		}
	}
	return true
}

// withIDs takes the ids that a middleware around has given, else the client's if
// they are well-formed, else makes them.
func withIDs(w http.ResponseWriter, r *http.Request) *http.Request {
	wellFormed := regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	pick := func(header string, fallback func() string) string {
		for _, v := range []string{w.Header().Get(header), r.Header.Get(header)} {
			if wellFormed.MatchString(v) {
				return v
			}
		}
		return fallback()
	}
	v := ids{request: pick("X-Request-ID", uuid.NewString)}
	v.correlation = pick("X-Correlation-ID", func() string { return v.request })
	w.Header().Set("X-Request-ID", v.request)
	w.Header().Set("X-Correlation-ID", v.correlation)
	ctx := context.WithValue(r.Context(), idsKey{}, v)
	ctx = event.WithRequest(auth.WithRequestID(ctx, v.request), v.request, v.correlation)
	return r.WithContext(ctx)
}

// refuse answers before the protocol does, as an error of JSON-RPC, which clients
// show.
func refuse(w http.ResponseWriter, status int, err error) {
	e := known(err)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ //nolint:errchkjson // texts and numbers only; what fails is a client that is gone
		"jsonrpc": "2.0", "id": nil,
		"error": map[string]any{"code": -32000, "message": e.Message, "data": map[string]string{
			"code": string(e.Code), "reason": e.Reason, "status": strconv.Itoa(status),
		}},
	})
}

func clip(s string) string {
	const most = 100
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
