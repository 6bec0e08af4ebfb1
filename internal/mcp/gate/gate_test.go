package gate_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/mcp/gate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server that ends with the test, also with requests under way.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL + "/mcp"
}

// studioMCP is a server built with the protocol's SDK.
func studioMCP(o *mcp.StreamableHTTPOptions) http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: "llmctl-mcp", Version: "1.2.3"}, nil)
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, o)
}

func wait(t *testing.T, o gate.Options) (gate.Report, error) {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Second
	}
	return gate.Wait(t.Context(), o)
}

func TestServerOfTheSDKIsReady(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*mcp.StreamableHTTPOptions{
		"event stream": nil, "json": {JSONResponse: true}, "stateless": {Stateless: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report, err := wait(t, gate.Options{Endpoints: []string{serve(t, studioMCP(o))}})
			require.NoError(t, err)
			require.True(t, report[0].Ready)
			require.Equal(t, 1, report[0].Tries)
			require.Contains(t, report[0].Server, "llmctl-mcp 1.2.3, protocol 20")
		})
	}
}

func TestSessionIsEnded(t *testing.T) {
	t.Parallel()
	var ended atomic.Int32
	inner := studioMCP(nil)
	endpoint := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			ended.Add(1)
		}
		inner.ServeHTTP(w, r)
	}))
	_, err := wait(t, gate.Options{Endpoints: []string{endpoint}})
	require.NoError(t, err)
	require.EqualValues(t, 1, ended.Load())
}

// answer plays a server that answers initialize with a result of its own.
func answer(result map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		_ = json.NewDecoder(r.Body).Decode(&request)
		if request.Method != "initialize" {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		result["jsonrpc"], result["id"] = "2.0", request.ID
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(result)
	}
}

func TestOlderProtocolVersionIsAccepted(t *testing.T) {
	t.Parallel()
	endpoint := serve(t, answer(map[string]any{"result": map[string]any{
		"protocolVersion": "2025-03-26", "capabilities": map[string]any{}, "serverInfo": map[string]any{"name": "old", "version": "0"},
	}}))
	report, err := wait(t, gate.Options{Endpoints: []string{endpoint}})
	require.NoError(t, err)
	require.Equal(t, "old 0, protocol 2025-03-26", report[0].Server)
}

func status(code int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.ReadAll(r.Body)
	<-r.Context().Done()
}

func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, _ := http.NewResponseController(w).Hijack()
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func TestEveryWrongAnswerHasItsReason(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://user:hunter2@sso.example.org/login", http.StatusFound)
		}, "it redirects (status 302 Found) to https://user:xxxxx@sso.example.org/login; name the final address"},
		"page":           {status(200, "text/html; charset=utf-8", "<html>"), "web page (HTML)"},
		"other type":     {status(200, "text/plain", "ok"), `it answered with "text/plain"`},
		"no type":        {status(200, "", ""), `it answered with ""`},
		"unauthorized":   {status(401, "application/json", "{}"), "it wants credentials (status 401 Unauthorized)"},
		"forbidden":      {status(403, "text/html", ""), "it wants credentials (status 403 Forbidden)"},
		"not found":      {status(404, "text/html", ""), "no MCP endpoint at this path (status 404 Not Found)"},
		"bad gateway":    {status(502, "text/html", ""), "not ready (status 502 Bad Gateway)"},
		"internal":       {status(500, "text/plain", ""), "it answered with status 500 Internal Server Error"},
		"not JSON":       {status(200, "application/json", "hello"), "invalid"},
		"error":          {answer(map[string]any{"error": map[string]any{"code": -32603, "message": "warming\nup"}}), "it refused the handshake: warming up (code -32603)"},
		"future version": {answer(map[string]any{"result": map[string]any{"protocolVersion": "2999-01-01", "capabilities": map[string]any{}, "serverInfo": map[string]any{"name": "x", "version": "1"}}}), "protocol version"},
		"hangs":          {hang, "took the connection but did not answer within 500ms"},
		"hangs in a stream": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "took the connection but did not answer within 500ms"},
		"resets": {reset, "the connection was reset before an answer came"},
		"too large": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, strings.Repeat(" ", 8<<20))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report, err := wait(t, gate.Options{Endpoints: []string{serve(t, c.handler)}, Try: 500 * time.Millisecond, Timeout: time.Second})
			require.ErrorIs(t, err, gate.ErrNotReady)
			require.Len(t, report.Missing(), 1)
			require.NotEmpty(t, report[0].Reason)
			require.Contains(t, report[0].Reason, c.want)
			require.NotContains(t, report[0].Reason, "hunter2")
			require.NotContains(t, report[0].Reason, "\n")
		})
	}
}

func TestConnectionTroubleHasItsReason(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := free.Addr().String()
	require.NoError(t, free.Close())
	plain := serve(t, studioMCP(nil))
	secure := tlsServer(t, nil)
	for name, c := range map[string]struct{ endpoint, want string }{
		"refused":       {"http://" + closed + "/mcp", "nothing listens at " + closed},
		"unknown name":  {"http://does-not-exist.invalid/mcp", "does-not-exist.invalid"},
		"no TLS":        {"https" + strings.TrimPrefix(plain, "http"), "does not speak TLS"},
		"TLS":           {"http" + strings.TrimPrefix(secure, "https"), "https://"},
		"unknown CA":    {secure, "signed by an authority that this machine does not know"},
		"wrong name":    {tlsServer(t, certificate(t, "other.example.org", time.Now().Add(time.Hour))), "TLS certificate"},
		"expired":       {tlsServer(t, certificate(t, "127.0.0.1", time.Now().Add(-time.Hour))), "TLS certificate"},
		"with password": {"http://me:hunter2@" + closed + "/mcp", "nothing listens"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report, err := wait(t, gate.Options{Endpoints: []string{c.endpoint}, Try: 500 * time.Millisecond, Timeout: time.Second})
			require.ErrorIs(t, err, gate.ErrNotReady)
			require.Contains(t, report[0].Reason, c.want)
			require.NotContains(t, fmt.Sprint(report), "hunter2")
		})
	}
}

func tlsServer(t *testing.T, cert *tls.Certificate) string {
	t.Helper()
	s := httptest.NewUnstartedServer(studioMCP(nil))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if cert != nil {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL + "/mcp"
}

func certificate(t *testing.T, name string, until time.Time) *tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

func TestServerThatComesLateIsReady(t *testing.T) {
	t.Parallel()
	var tries atomic.Int32
	inner := studioMCP(nil)
	endpoint := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) <= 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	var seen []gate.Status
	report, err := wait(t, gate.Options{Endpoints: []string{endpoint}, Every: 50 * time.Millisecond, Progress: func(left time.Duration, missing []gate.Status) {
		require.Greater(t, left, time.Duration(0))
		seen = append(seen, missing...)
	}})
	require.NoError(t, err)
	require.Equal(t, 3, report[0].Tries)
	require.GreaterOrEqual(t, report[0].Took, 750*time.Millisecond, "the pauses grow")
	require.NotEmpty(t, seen)
	require.Contains(t, seen[len(seen)-1].Reason, "503")
}

func TestEndpointsShareOneDeadline(t *testing.T) {
	t.Parallel()
	endpoints := []string{serve(t, studioMCP(nil))}
	for range 5 {
		endpoints = append(endpoints, serve(t, http.HandlerFunc(hang)))
	}
	began := time.Now()
	report, err := wait(t, gate.Options{Endpoints: endpoints, Timeout: 700 * time.Millisecond})
	require.ErrorIs(t, err, gate.ErrNotReady)
	require.Less(t, time.Since(began), 3*time.Second)
	require.True(t, report[0].Ready, "one that hangs holds nobody up")
	require.Len(t, report.Missing(), 5)
}

func TestAnyHTTPStatusIsEnoughWhenAsked(t *testing.T) {
	t.Parallel()
	for _, h := range []http.HandlerFunc{status(500, "text/html", ""), status(401, "", ""), func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}} {
		report, err := wait(t, gate.Options{Endpoints: []string{serve(t, h)}, AnyHTTP: true})
		require.NoError(t, err)
		require.Contains(t, report[0].Server, "status ")
	}
	report, err := wait(t, gate.Options{Endpoints: []string{serve(t, http.HandlerFunc(reset))}, AnyHTTP: true, Timeout: 300 * time.Millisecond})
	require.ErrorIs(t, err, gate.ErrNotReady, "no status is no status")
	require.NotEmpty(t, report[0].Reason)
}

func TestCancelledWaitEndsAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{}, 1)
	endpoint := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		hang(w, r)
	}))
	go func() {
		<-asked
		cancel()
	}()
	_, err := gate.Wait(ctx, gate.Options{Endpoints: []string{endpoint}, Timeout: time.Minute, Try: time.Minute})
	require.ErrorIs(t, err, context.Canceled)
}
