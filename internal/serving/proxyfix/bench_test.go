package proxyfix_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/llmctl/studio/internal/serving/proxyfix"
)

// What the middleware costs each request, with what a proxy sends and without.
func BenchmarkRequest(b *testing.B) {
	plain := http.Header{"Accept": {"application/json"}, "User-Agent": {"test"}, "Cookie": {"llmctl_session=abc"}, "X-Request-Id": {"1"}}
	forwarded := http.Header{
		"X-Forwarded-For": {"6.6.6.6, 192.0.2.7"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"studio.example"},
		"X-Forwarded-Port": {"443"}, "X-Forwarded-Prefix": {"/studio"},
	}
	for name, added := range map[string]http.Header{"direct": nil, "forwarded": forwarded} {
		b.Run(name, func(b *testing.B) {
			h := proxyfix.New(proxyfix.Options{Hops: allOnce, Own: []string{"/api", "/web"}}).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/studio/api/flowcharts/7", nil)
			r.Header = plain
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				maps.Copy(r.Header, added)
				h.ServeHTTP(w, r)
			}
		})
	}
}
