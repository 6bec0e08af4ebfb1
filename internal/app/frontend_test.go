package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/app"
)

// startFrontend runs llmctl frontend until the test ends, and gives its address.
func startFrontend(t *testing.T, environ ...string) string {
	t.Helper()
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- app.Main(ctx, app.Edge{
			Args: []string{"frontend"}, Environ: append(environ, "LLMCTL_STUDIO_FRONTEND_BIND=127.0.0.1:0"),
			Stdin: strings.NewReader(""), Stdout: in, Stderr: &stderr, Now: time.Now,
		})
		_ = in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	t.Cleanup(func() {
		cancel()
		require.Zero(t, <-code, "exit code after its end\n%s", &stderr)
	})
	base, ok := strings.CutSuffix(strings.TrimPrefix(strings.TrimSpace(line), "ready: "), "/web")
	require.True(t, ok, line)
	return base
}

func get(t *testing.T, target string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	require.NoError(t, err)
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode, res.Header, string(raw)
}

func TestFrontendServesThePageAndHasTheAPIFromItsBackend(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-ID", r.Header.Get("X-Request-ID"))
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	t.Cleanup(backend.Close)
	base := startFrontend(t, "LLMCTL_STUDIO_BACKEND_URL="+backend.URL)

	status, header, body := get(t, base+"/api/flowcharts")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "/api/flowcharts", body)
	require.Len(t, header.Values("X-Request-ID"), 1)

	status, header, _ = get(t, base+"/")
	require.Equal(t, http.StatusFound, status)
	require.Equal(t, "/web/", header.Get("Location"))

	status, _, body = get(t, base+"/healthz")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"status":"ok"`)

	status, header, _ = get(t, base+"/elsewhere")
	require.Equal(t, http.StatusNotFound, status)
	require.Equal(t, "application/problem+json", header.Get("Content-Type"))
}

func TestFrontendWithoutItsBackendSaysWhatToDo(t *testing.T) {
	t.Parallel()
	base := startFrontend(t, "LLMCTL_STUDIO_BACKEND_URL=http://127.0.0.1:1")
	status, header, body := get(t, base+"/api/flowcharts")
	require.Equal(t, http.StatusBadGateway, status)
	require.Equal(t, "application/problem+json", header.Get("Content-Type"))
	var problem map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &problem))
	require.Equal(t, "frontend.backend_down", problem["reason"])
	require.EqualValues(t, 502, problem["status"])
	require.Contains(t, problem["detail"], "llmctl serve")
	require.NotEmpty(t, problem["request_id"])
	status, _, _ = get(t, base+"/healthz")
	require.Equal(t, http.StatusOK, status, "this process lives")
}

func TestFrontendRefusesBadSettings(t *testing.T) {
	t.Parallel()
	for variable, value := range map[string]string{
		"LLMCTL_STUDIO_BACKEND_URL": "backend:5055", "LLMCTL_STUDIO_FRONTEND_BIND": "8080", "LLMCTL_STUDIO_WEB_PREFIX": "/",
		"LLMCTL_STUDIO_API_PREFIX": "/",
	} {
		code, _, stderr := run(t, []string{variable + "=" + value}, "frontend")
		require.Equal(t, 2, code)
		require.Contains(t, stderr, variable)
	}
	code, _, stderr := run(t, []string{"LLMCTL_STUDIO_BACKEND_CA_CERTS=/nonexistent/ca.pem", "LLMCTL_STUDIO_FRONTEND_BIND=127.0.0.1:0"}, "frontend")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "LLMCTL_STUDIO_BACKEND_CA_CERTS (/nonexistent/ca.pem) does not exist.")
}
