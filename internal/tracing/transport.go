package tracing

import (
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/trace"
)

// Transport makes a client span of each exchange of next and sends its traceparent
// along, unless the request has one. The span ends with the head of the answer.
func Transport(next http.RoundTripper) http.RoundTripper { return transport{next} }

type transport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, span := Start(req.Context(), req.Method, trace.SpanKindClient)
	if !span.IsRecording() {
		return t.next.RoundTrip(req)
	}
	span.SetAttributes(HTTPRequestMethod.String(req.Method), ServerAddress.String(req.URL.Hostname()), URLFull.String(clip(withoutSecrets(req))))
	if port, err := strconv.Atoi(req.URL.Port()); err == nil {
		span.SetAttributes(ServerPort.Int(port))
	}
	out := req.Clone(ctx)
	if out.Header.Get("Traceparent") == "" {
		out.Header.Set("Traceparent", Parent(ctx))
	}
	res, err := t.next.RoundTrip(out)
	if err == nil {
		span.SetAttributes(HTTPResponseStatus.Int(res.StatusCode))
		if res.StatusCode >= http.StatusBadRequest {
			span.SetAttributes(ErrorType.Int(res.StatusCode))
		}
	}
	End(span, err)
	return res, err
}

// withoutSecrets is the address without what often is one.
func withoutSecrets(req *http.Request) string {
	u := *req.URL
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// CloseIdleConnections lets http.Client reach the transport below.
func (t transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
