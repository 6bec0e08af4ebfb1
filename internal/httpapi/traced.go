package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/llmctl/studio/internal/tracing"
)

// traced makes a span of each request to the API. Sockets stay for hours and
// health is asked all the time; neither says anything as a span.
func (s *server) traced(next http.Handler) http.Handler {
	if s.deps.Tracer == nil {
		return next
	}
	named := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := idsFrom(r.Context())
		tracing.Annotate(r.Context(), tracing.RequestID.String(v.Request), tracing.CorrelationID.String(v.Correlation))
		next.ServeHTTP(w, r)
	})
	return s.deps.Tracer.Middleware(func(r *http.Request) bool {
		path, below := strings.CutPrefix(r.URL.Path, s.deps.APIPrefix+"/")
		return below && path != "health" && path != "ready" && !s.isSocket(r.URL.Path)
	}, named)
}

// traceIDOf is the trace of the request that ctx serves; "" when it has none.
func traceIDOf(ctx context.Context) string { return tracing.TraceID(tracing.Parent(ctx)) }

func untraced(next http.Handler) http.Handler { return next }

// traceLink is where a trace can be looked at; "" when nobody said.
func (s *server) traceLink(traceID string) string {
	if s.deps.TraceLink == nil {
		return ""
	}
	return s.deps.TraceLink(traceID)
}
