package frontend_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/serving/frontend"
	"github.com/llmctl/studio/internal/serving/proxyfix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// fail writes what tests want to see of a problem.
func fail(w http.ResponseWriter, _ *http.Request, status int, e *errs.Error) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "%s|%s|%s", e.Code, e.Reason, e.Message)
}

type bundle struct {
	url   string
	proxy *frontend.Proxy
}

// setup starts a frontend before a backend, behind proxies that hops count.
func setup(t *testing.T, backend string, hops proxyfix.Hops, change ...func(*frontend.Options)) *bundle {
	t.Helper()
	u, err := frontend.ParseBackend("BACKEND", backend)
	require.NoError(t, err)
	o := frontend.Options{Backend: u, Fail: fail, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&o)
	}
	p := frontend.New(o)
	server := httptest.NewServer(proxyfix.New(proxyfix.Options{Hops: hops}).Wrap(p))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		p.Leave(ctx)
		server.Close()
	})
	return &bundle{url: server.URL, proxy: p}
}

func backend(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func send(t *testing.T, method, target, body string, pairs ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(pairs); i += 2 {
		req.Header.Set(pairs[i], pairs[i+1])
		if pairs[i] == "Host" {
			req.Host = pairs[i+1]
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	require.NoError(t, err)
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res, string(raw)
}

func TestBackendGetsWhatTheClientSent(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	body := make(chan string, 1)
	b := setup(t, backend(t, func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		body <- string(raw)
		got <- r
		w.Header().Set("X-Request-ID", "said by the frontend already")
		w.Header().Set("Set-Cookie", "a=b; Path=/studio")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	}), proxyfix.Hops{})
	res, answer := send(t, http.MethodPost, b.url+"/api/a%2Fb/c?x=1&y=%20", "the body", "Host", "studio.example", "Origin", "http://studio.example",
		"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example", "X-Forwarded-Prefix", "/evil",
		"Forwarded", "for=6.6.6.6", "X-Real-Ip", "6.6.6.6", "Cookie", "s=1", "Authorization", "Bearer k")
	require.Equal(t, http.StatusTeapot, res.StatusCode)
	require.Equal(t, "short and stout", answer)
	require.Equal(t, "a=b; Path=/studio", res.Header.Get("Set-Cookie"))
	require.Empty(t, res.Header.Get("X-Request-ID"))
	r := <-got
	require.Equal(t, "the body", <-body)
	require.Equal(t, "/api/a%2Fb/c?x=1&y=%20", r.RequestURI)
	require.Equal(t, "studio.example", r.Host)
	for name, want := range map[string]string{
		"Origin": "http://studio.example", "Cookie": "s=1", "Authorization": "Bearer k",
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "studio.example", "X-Forwarded-Port": "80",
		"X-Forwarded-Prefix": "", "Forwarded": "", "X-Real-Ip": "",
	} {
		require.Equal(t, want, r.Header.Get(name), name)
	}
}

func TestTrustedProxyInFrontIsPassedOn(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	b := setup(t, backend(t, func(_ http.ResponseWriter, r *http.Request) { got <- r }), proxyfix.Hops{For: 1, Proto: 1, Host: 1, Port: 1, Prefix: 1})
	_, _ = send(t, http.MethodGet, b.url+"/studio/api/x", "", "X-Forwarded-For", "6.6.6.6, 192.0.2.7", "X-Forwarded-Proto", "https",
		"X-Forwarded-Host", "studio.example", "X-Forwarded-Prefix", "/studio")
	r := <-got
	require.Equal(t, "/api/x", r.RequestURI)
	require.Equal(t, "192.0.2.7, 127.0.0.1", r.Header.Get("X-Forwarded-For"))
	require.Equal(t, "https", r.Header.Get("X-Forwarded-Proto"))
	require.Equal(t, "/studio", r.Header.Get("X-Forwarded-Prefix"))
	require.Equal(t, "443", r.Header.Get("X-Forwarded-Port"))
	require.Equal(t, "studio.example", r.Host)
}

func TestAnswersComeAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	b := setup(t, backend(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "part %d\n", i)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	}), proxyfix.Hops{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/api/stream", nil)
	require.NoError(t, err)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	for i := range 3 {
		require.True(t, lines.Scan())
		require.Equal(t, fmt.Sprintf("part %d", i), lines.Text())
		next <- struct{}{} // only now may the backend go on
	}
}

// echoUpgrade is a backend that switches protocols and echoes.
func echoUpgrade(w http.ResponseWriter, r *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\n\r\n")
	_, _ = io.Copy(conn, rw)
}

// upgrade opens a tunnel through the frontend.
func upgrade(t *testing.T, target string) (net.Conn, *bufio.Reader) {
	t.Helper()
	u, err := url.Parse(target)
	require.NoError(t, err)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", u.Host)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, "GET /api/socket.io/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	require.NoError(t, err)
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	return conn, in
}

func TestUpgradesGoThroughAndEndWhenTheProcessLeaves(t *testing.T) {
	t.Parallel()
	b := setup(t, backend(t, echoUpgrade), proxyfix.Hops{})
	conn, in := upgrade(t, b.url)
	_, err := io.WriteString(conn, "hello\n")
	require.NoError(t, err)
	line, err := in.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "hello\n", line)

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b.proxy.Leave(ctx)
	require.NoError(t, ctx.Err(), "it returns when the tunnels are closed")
	_, err = in.ReadString('\n')
	require.ErrorIs(t, err, io.EOF)
	res, text := send(t, http.MethodGet, b.url+"/api/socket.io/", "", "Connection", "Upgrade", "Upgrade", "websocket")
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.Contains(t, text, "frontend.leaving")
}

func TestBackendThatIsDownIsExplained(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	free := l.Addr().String()
	require.NoError(t, l.Close())
	abrupt := backend(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(secure.Close)
	plain := backend(t, func(http.ResponseWriter, *http.Request) {})
	for name, c := range map[string]struct {
		backend string
		status  int
		reason  string
		says    string
	}{
		"nobody listens":        {"http://" + free, 502, "frontend.backend_down", "llmctl serve"},
		"unknown host":          {"http://studio.invalid:1", 502, "frontend.backend_unknown", "studio.invalid"},
		"ends without answer":   {abrupt, 502, "frontend.backend_broke_off", "try again"},
		"untrusted certificate": {secure.URL, 502, "frontend.backend_untrusted", "LLMCTL_STUDIO_BACKEND_CA_CERTS"},
		"no TLS":                {strings.Replace(plain, "http:", "https:", 1), 502, "frontend.backend_not_tls", "Use http://"},
		"TLS":                   {strings.Replace(secure.URL, "https:", "http:", 1), 400, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, c.backend, proxyfix.Hops{})
			res, text := send(t, http.MethodPost, b.url+"/api/x", "body")
			require.Equal(t, c.status, res.StatusCode, text)
			if c.reason != "" {
				require.Contains(t, text, "unavailable|"+c.reason+"|")
				require.Contains(t, text, c.says)
			}
		})
	}
}

func TestBackendThatIsSlowIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	target := backend(t, func(http.ResponseWriter, *http.Request) { <-release })
	b := setup(t, target, proxyfix.Hops{}, func(o *frontend.Options) { o.AnswerTimeout = 50 * time.Millisecond })
	res, text := send(t, http.MethodGet, b.url+"/api/x", "")
	close(release)
	require.Equal(t, http.StatusGatewayTimeout, res.StatusCode)
	require.Contains(t, text, "timeout|frontend.backend_slow|")
}

func TestBackendThatWantsACertificateIsExplained(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	secure.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	b := setup(t, secure.URL, proxyfix.Hops{}, func(o *frontend.Options) { o.TLS = &tls.Config{RootCAs: roots} })
	res, text := send(t, http.MethodGet, b.url+"/api/x", "")
	require.Equal(t, http.StatusBadGateway, res.StatusCode)
	require.Contains(t, text, "frontend.backend_refuses_us")
	require.Contains(t, text, "LLMCTL_STUDIO_BACKEND_CERTFILE")
}

func TestBodyThatDoesNotComeReachesNoBackend(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	b := setup(t, backend(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) }), proxyfix.Hops{})
	u, err := url.Parse(b.url)
	require.NoError(t, err)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", u.Host)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	require.Zero(t, reached.Load())
}

func TestLargeAndChunkedBodiesStream(t *testing.T) {
	t.Parallel()
	b := setup(t, backend(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n)
	}), proxyfix.Hops{})
	_, text := send(t, http.MethodPost, b.url+"/api/x", strings.Repeat("x", 1<<20))
	require.Equal(t, "1048576", text)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/api/x", io.MultiReader(strings.NewReader("chunk"), strings.NewReader("ed")))
	require.NoError(t, err)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "7", string(raw))
}

func TestClientThatLeavesLetsGoOfTheBackend(t *testing.T) {
	t.Parallel()
	began, gone := make(chan struct{}), make(chan struct{})
	b := setup(t, backend(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(gone)
	}), proxyfix.Hops{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/api/poll", nil)
	require.NoError(t, err)
	go func() { <-began; cancel() }()
	_, err = (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.ErrorIs(t, err, context.Canceled)
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("the backend still works for nobody")
	}
}

func TestBackendAddressIsChecked(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "127.0.0.1:5055", "ftp://x", "http://", "http://u:p@x", "http://x?y", "http://x#y", "://"} {
		_, err := frontend.ParseBackend("BACKEND", address)
		require.Equal(t, "frontend.backend_address", errs.As(err).Reason, address)
		require.Equal(t, "BACKEND", errs.As(err).Details[0].Location)
	}
}
