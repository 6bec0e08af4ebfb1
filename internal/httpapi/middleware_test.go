package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/serving/accesslog"
)

// lines decodes what was logged.
func lines(t *testing.T, log *bytes.Buffer) []map[string]any {
	t.Helper()
	var out []map[string]any
	for d := json.NewDecoder(log); d.More(); {
		var line map[string]any
		require.NoError(t, d.Decode(&line))
		out = append(out, line)
	}
	return out
}

func failing(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/panic":
		panic("boom")
	case "/fails":
		writeProblem(w, r, http.StatusInternalServerError, "", errors.New("disk on fire"))
	default:
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusTeapot)
	}
}

func ask(t *testing.T, h http.Handler, path string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("X-Request-ID", "req-1")
	h.ServeHTTP(httptest.NewRecorder(), r)
}

func TestEachRequestHasALineInTheLog(t *testing.T) {
	t.Parallel()
	var program bytes.Buffer
	h := around(nil, nil, untraced, slog.New(slog.NewJSONHandler(&program, nil)), time.Now, http.HandlerFunc(failing))
	for _, path := range []string{"/fine", "/fails", "/panic"} {
		ask(t, h, path)
	}
	got := lines(t, &program)
	require.Len(t, got, 3)
	require.Equal(t, "INFO", got[0]["level"])
	require.InEpsilon(t, 418.0, got[0]["status"], 0, "hints come before the answer")
	require.Contains(t, got[1]["error"], "disk on fire")
	require.Contains(t, got[2]["error"], "boom")
}

func TestAccessLogTakesTheLinesAndFailuresStay(t *testing.T) {
	t.Parallel()
	var program, access bytes.Buffer
	log := accesslog.New(accesslog.Options{Out: &access, Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- log.Run(ctx, func() {}) }()
	h := around(nil, log.Middleware, untraced, slog.New(slog.NewJSONHandler(&program, nil)), time.Now, http.HandlerFunc(failing))
	for _, path := range []string{"/fine", "/fails", "/panic"} {
		ask(t, h, path)
	}
	cancel()
	require.NoError(t, <-done)
	got := lines(t, &access)
	require.Len(t, got, 3)
	for i, status := range []float64{418, 500, 500} {
		require.InEpsilon(t, status, got[i]["status"], 0)
		require.Equal(t, "req-1", got[i]["request_id"])
		require.Equal(t, "req-1", got[i]["correlation_id"])
	}
	failures := lines(t, &program)
	require.Len(t, failures, 2, "no line is written twice")
	require.Contains(t, failures[0]["error"], "disk on fire")
	require.Contains(t, failures[1]["error"], "boom")
}
