package tracing

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Middleware makes a server span of each request that wanted accepts. It continues
// the trace of the request's traceparent, if that has one.
func (t *Tracer) Middleware(wanted func(*http.Request) bool, next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !wanted(r) {
			next.ServeHTTP(w, r)
			return
		}
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := t.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			HTTPRequestMethod.String(r.Method), URLPath.String(clip(r.URL.Path)), URLScheme.String(scheme(r)),
			ServerAddress.String(r.Host), ClientAddress.String(r.RemoteAddr), UserAgentOriginal.String(clip(r.UserAgent())),
		))
		defer span.End()
		status := &statusOf{ResponseWriter: w}
		defer func() {
			if v := recover(); v != nil {
				span.SetStatus(codes.Error, "panic")
				panic(v)
			}
			if status.code == 0 {
				status.code = http.StatusOK
			}
			span.SetAttributes(HTTPResponseStatus.Int(status.code))
			if status.code >= http.StatusInternalServerError {
				span.SetStatus(codes.Error, http.StatusText(status.code))
				span.SetAttributes(ErrorType.Int(status.code))
			}
		}()
		next.ServeHTTP(status, r.WithContext(ctx))
	})
}

// Route names the server span of ctx after the operation that answered.
func Route(ctx context.Context, method, route string) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetName(method + " " + route)
		span.SetAttributes(HTTPRoute.String(route))
	}
}

// Annotate adds attributes to the span of ctx.
func Annotate(ctx context.Context, attrs ...attribute.KeyValue) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attrs...)
	}
}

func scheme(r *http.Request) string {
	switch {
	case r.URL.Scheme != "":
		return r.URL.Scheme
	case r.TLS != nil:
		return "https"
	default:
		return "http"
	}
}

// statusOf remembers what was answered.
type statusOf struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (s *statusOf) WriteHeader(code int) {
	if s.code == 0 && code >= http.StatusOK {
		s.code = code
	}
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *statusOf) Unwrap() http.ResponseWriter { return s.ResponseWriter }
