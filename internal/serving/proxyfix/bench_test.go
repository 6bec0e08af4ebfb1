package proxyfix_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/llmctl/studio/internal/serving/proxyfix"
)

// What the middleware costs each request.
func BenchmarkRequestThroughAProxy(b *testing.B) {
	h := proxyfix.New(proxyfix.Options{Hops: allOnce, Own: []string{"/api", "/web"}}).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/studio/api/flowcharts/7", nil)
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		r.Header = http.Header{
			"Accept": {"application/json"}, "User-Agent": {"test"}, "Cookie": {"llmctl_session=abc"},
			"X-Forwarded-For": {"6.6.6.6, 192.0.2.7"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"studio.example"},
			"X-Forwarded-Port": {"443"}, "X-Forwarded-Prefix": {"/studio"},
		}
		h.ServeHTTP(w, r)
	}
}
