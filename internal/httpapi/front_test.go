package httpapi_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/httpapi"
)

func TestFrontServesThePageAndPassesOnlyTheAPI(t *testing.T) {
	t.Parallel()
	front := httpapi.NewFront(httpapi.FrontDeps{
		Page: httpapi.PageOptions{Files: page(), WebPrefix: "/web", APIPrefix: "/api", SocketPath: "/socket.io"},
		Backend: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "backend "+r.URL.Path+" "+r.Header.Get("X-Request-ID"))
		}),
		Health: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "well") }),
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{"/api/health", 200, "backend /api/health the-id"},
		{"/api/", 200, "backend /api/ the-id"},
		{"/healthz", 200, "well"},
		{"/web/", 200, "window.__STUDIO__"},
		{"/web/flowcharts", 200, "window.__STUDIO__"},
		{"/web/assets/app-1a2b.js", 200, "console.log"},
		{"/web/assets/none.js", 404, "There is no file /web/assets/none.js."},
		{"/", 302, "/web/"},
		{"/web", 302, "/web/"},
		{"/api", 404, "There is nothing at /api."},
		{"/apis", 404, "There is nothing at /apis."},
		{"/socket.io/", 404, "There is nothing at /socket.io/."},
		{"/metrics", 404, "There is nothing at /metrics."},
		{"/api/../metrics", 307, "/metrics"},
		{"/api/..%2fmetrics", 307, "/metrics"},
		{"/api//x", 307, "/api/x"},
	} {
		t.Run(c.path, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil)
			r.Header.Set("X-Request-ID", "the-id")
			w := httptest.NewRecorder()
			front.ServeHTTP(w, r)
			require.Equal(t, c.status, w.Code)
			require.Contains(t, w.Body.String(), c.body)
			require.Equal(t, "the-id", w.Header().Get("X-Request-ID"))
		})
	}
}

func TestFailKeepsTheStatusItIsGiven(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	httpapi.Fail(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/x", nil), http.StatusBadGateway,
		errs.E(errs.Unavailable, "frontend.backend_down", "It is down.").Retry(time.Second))
	require.Equal(t, http.StatusBadGateway, w.Code)
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.Equal(t, "2", w.Header().Get("Retry-After"))
	require.Contains(t, w.Body.String(), `"status":502`)
	require.Contains(t, w.Body.String(), `"code":"unavailable"`)
}
