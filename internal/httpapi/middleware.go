package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/event"
)

// ids name a request in logs, errors and events.
type ids struct {
	Request     string
	Correlation string
	err         error // the cause of a 5xx, for the log line
}

type idsKey struct{}

func idsFrom(ctx context.Context) *ids {
	if v, ok := ctx.Value(idsKey{}).(*ids); ok {
		return v
	}
	return &ids{}
}

func noteError(ctx context.Context, err error) { idsFrom(ctx).err = err }

// withIDs takes the request and correlation ids of the client if they are
// well-formed, makes them otherwise, and returns them.
func withIDs(next http.Handler) http.Handler {
	wellFormed := regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	pick := func(given, fallback string) string {
		if wellFormed.MatchString(given) {
			return given
		}
		return fallback
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &ids{Request: pick(r.Header.Get("X-Request-ID"), uuid.NewString())}
		v.Correlation = pick(r.Header.Get("X-Correlation-ID"), v.Request)
		w.Header().Set("X-Request-ID", v.Request)
		w.Header().Set("X-Correlation-ID", v.Correlation)
		ctx := auth.WithRequestID(context.WithValue(r.Context(), idsKey{}, v), v.Request)
		ctx = event.WithRequest(ctx, v.Request, v.Correlation)
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// recorder remembers what was answered, for the log.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	// 103 and the like come before the answer.
	if r.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// withLog turns a panic into a 500 and writes one line a request: of each one, or,
// with an access log around it, only of those that failed on our side, with why.
func withLog(log *slog.Logger, now func() time.Time, failuresOnly bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := now()
		rec := &recorder{ResponseWriter: w}
		defer func() { //nolint:contextcheck // the request's own
			v := idsFrom(r.Context())
			p := recover()
			if p == http.ErrAbortHandler { //nolint:errorlint // the very value, by net/http's contract
				panic(p)
			}
			if p != nil {
				v.err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
				if rec.status == 0 {
					writeProblem(rec, r, http.StatusInternalServerError, "")
				}
			}
			if failuresOnly && v.err == nil {
				return
			}
			level := slog.LevelInfo
			attrs := []slog.Attr{
				slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", rec.status),
				slog.Int64("bytes", rec.bytes), slog.Duration("duration", now().Sub(began)),
				slog.String("request_id", v.Request), slog.String("correlation_id", v.Correlation),
			}
			if v.err != nil {
				level = slog.LevelError
				attrs = append(attrs, slog.String("error", v.err.Error()))
			}
			log.LogAttrs(r.Context(), level, "request", attrs...)
		}()
		next.ServeHTTP(rec, r)
	})
}

// withSecurityHeaders sets what every answer carries. What the API says is for
// who asked and now, so nobody on the way may keep it.
func withSecurityHeaders(apiPrefix string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if strings.HasPrefix(r.URL.Path, apiPrefix+"/") {
			h.Set("Cache-Control", "no-store")
		}
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// writeProblem answers outside huma; what causes say goes before status.
func writeProblem(w http.ResponseWriter, r *http.Request, status int, detail string, causes ...error) {
	p := problemOf(status, detail, causes...)
	if p.Status >= http.StatusInternalServerError && len(causes) > 0 {
		noteError(r.Context(), errors.Join(causes...))
	}
	send(w, r, p)
}

func send(w http.ResponseWriter, r *http.Request, p *Problem) {
	v := idsFrom(r.Context())
	p.RequestID, p.CorrelationID, p.TraceID = v.Request, v.Correlation, traceIDOf(r.Context())
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	// Numbers and texts only: this cannot fail but for a client that is gone.
	_ = json.NewEncoder(w).Encode(p) //nolint:errchkjson // see above
}
