package proxyfix_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/serving/proxyfix"
)

var allOnce = proxyfix.Hops{For: 1, Proto: 1, Host: 1, Port: 1, Prefix: 1}

func request(t *testing.T, target string, pairs ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	r.Host, r.RemoteAddr = "inner:5155", "10.0.0.1:40000"
	for i := 0; i < len(pairs); i += 2 {
		r.Header.Add(pairs[i], pairs[i+1])
	}
	return r
}

func TestHandlersSeeTheRequestAsTheBrowserSentIt(t *testing.T) {
	t.Parallel()
	got := seen(t, proxyfix.Options{Hops: allOnce}, request(
		t, "/studio/api/health?x=1", "X-Forwarded-For", "6.6.6.6, 192.0.2.7", "X-Forwarded-Proto", "https",
		"X-Forwarded-Host", "studio.example", "X-Forwarded-Port", "443", "X-Forwarded-Prefix", "/studio",
	))
	o := proxyfix.From(got)
	require.Equal(t, "192.0.2.7", o.ClientIP())
	require.Equal(t, "https://studio.example/studio/web/", o.URL("/web/"))
	require.Equal(t, "/studio/web/", o.Path("/web/"))
	require.Equal(t, "192.0.2.7", o.Forwarded)
	require.Equal(t, "192.0.2.7:0", got.RemoteAddr)
	require.Equal(t, "studio.example", got.Host, "as in the Origin header: without the default port")
	require.Equal(t, "https", got.URL.Scheme)
	require.Equal(t, "/api/health", got.URL.Path)
	require.Equal(t, "x=1", got.URL.RawQuery)
	require.Equal(t, "/studio/api/health?x=1", got.RequestURI, "the request line stays, for the log")
	require.Equal(t, "192.0.2.7", got.Header.Get("X-Forwarded-For"), "only what is believed is left")
}

func TestNothingIsBelievedWithoutHops(t *testing.T) {
	t.Parallel()
	claims := []string{
		"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example", "X-Forwarded-Port", "1",
		"X-Forwarded-Prefix", "/evil", "Forwarded", "for=6.6.6.6", "X-Real-Ip", "6.6.6.6", "X-Forwarded-Ssl", "on",
		"X_forwarded_for", "6.6.6.6", "X-Original-Url", "/evil", "X-Script-Name", "/evil", "True-Client-Ip", "6.6.6.6",
	}
	got := seen(t, proxyfix.Options{}, request(t, "/evil/x", append(claims, "Accept", "text/html")...))
	require.Equal(t, "10.0.0.1", proxyfix.From(got).ClientIP())
	require.Equal(t, "http://inner:5155/x", proxyfix.From(got).URL("/x"))
	require.Equal(t, "10.0.0.1:40000", got.RemoteAddr)
	require.Equal(t, "inner:5155", got.Host)
	require.Empty(t, got.URL.Scheme)
	require.Equal(t, "/evil/x", got.URL.Path)
	require.Equal(t, []string{"Accept"}, slices.Collect(maps.Keys(got.Header)), "what is not believed is not there")
}

func TestAbsoluteRequestLineProvesNothing(t *testing.T) {
	t.Parallel()
	r := request(t, "/x")
	r.URL.Scheme, r.URL.Host = "https", "inner:5155"
	got := seen(t, proxyfix.Options{Hops: allOnce}, r)
	require.Empty(t, got.URL.Scheme)
	require.Empty(t, got.URL.Host)
	require.Equal(t, "http", proxyfix.From(got).Scheme)
}

func TestTLSOfTheConnectionIsKnown(t *testing.T) {
	t.Parallel()
	r := request(t, "/x")
	r.TLS, r.Host = &tls.ConnectionState{}, "inner:443"
	require.Equal(t, "https://inner/x", proxyfix.From(seen(t, proxyfix.Options{}, r)).URL("/x"))
}

func TestMalformedValuesAreIgnoredAndCounted(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 300)
	for header, values := range map[string][]string{
		"X-Forwarded-For": {
			"unknown", "_hidden", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "[1.2.3.4]", "[::1", "::1]", "::g", "fe80::1%eth0",
			"[fe80::1%eth0]:1", "1.2.3.4:", "1.2.3.4:99999", "1.2.3.4\x00", "example.com", long, strings.Repeat("1.2.3.4,", 2000),
		},
		"X-Forwarded-Proto": {"ftp", "javascript", "https:", "https://", "ht tp", "https\r\nX: y", long},
		"X-Forwarded-Host": {
			"a b", "a/b", "a?b", "a@b", "a,b\"", "a\\b", "a\x00b", "a\nb", "a:b", "a:", "a:0", "a:65536", "a:+1", ":80", "", "2001:db8::a", "[2001:db8::a", "[::1]x",
			"[1.2.3.4]", "[fe80::1%25eth0]", "-a", "a-", "a..b", "ä.example", "a#b", "a%41", "<script>", long,
		},
		"X-Forwarded-Port": {"0", "-1", "+1", "65536", "8o", "80 81", "\x00", long},
		"X-Forwarded-Prefix": {
			"studio", "//studio", "/studio//x", "/../x", "/x/..", "/./x", "/x/...", "/a b", "/a?b", "/a#b", "/%2e%2e", "/a%2fb", "/<b>", "/\"x", "/a;b", "/a\\b",
			"https://evil.example", "/ä", "/x\n", "/" + long,
		},
	} {
		for _, value := range values {
			t.Run(fmt.Sprintf("%s %.40q", header, value), func(t *testing.T) {
				t.Parallel()
				fix := proxyfix.New(proxyfix.Options{Hops: allOnce})
				var got *http.Request
				r := request(t, "/x")
				r.Header[header] = []string{value}
				fix.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).ServeHTTP(httptest.NewRecorder(), r)
				require.Equal(t, "http://inner:5155/x", proxyfix.From(got).URL("/x"))
				require.Equal(t, "10.0.0.1", proxyfix.From(got).ClientIP())
				require.Equal(t, "10.0.0.1:40000", got.RemoteAddr)
				require.Empty(t, got.Header)
				ignored := fix.Ignored()[header]
				if value != "" && !strings.Contains(value, `"`) {
					require.Equal(t, proxyfix.Ignored{Malformed: 1}, ignored)
				}
			})
		}
	}
}

func TestFormsOfGoodValues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header, value string
		url, remote   string
	}{
		"address with port":     {"X-Forwarded-For", "192.0.2.7:5000", "http://inner:5155/x", "192.0.2.7:5000"},
		"IPv6":                  {"X-Forwarded-For", "2001:db8::7", "http://inner:5155/x", "[2001:db8::7]:0"},
		"IPv6 in brackets":      {"X-Forwarded-For", "[2001:db8::7]", "http://inner:5155/x", "[2001:db8::7]:0"},
		"IPv6 with port":        {"X-Forwarded-For", "[2001:db8::7]:5000", "http://inner:5155/x", "[2001:db8::7]:5000"},
		"IPv4 in IPv6":          {"X-Forwarded-For", "::ffff:192.0.2.7", "http://inner:5155/x", "192.0.2.7:0"},
		"scheme in capitals":    {"X-Forwarded-Proto", "HTTPS", "https://inner:5155/x", "10.0.0.1:40000"},
		"WebSocket":             {"X-Forwarded-Proto", "wss", "https://inner:5155/x", "10.0.0.1:40000"},
		"WebSocket in clear":    {"X-Forwarded-Proto", "ws", "http://inner:5155/x", "10.0.0.1:40000"},
		"host of a container":   {"X-Forwarded-Host", "studio_web-1.local:8443", "http://studio_web-1.local:8443/x", "10.0.0.1:40000"},
		"one letter":            {"X-Forwarded-Host", "a", "http://a/x", "10.0.0.1:40000"},
		"host with default":     {"X-Forwarded-Host", "a:80", "http://a/x", "10.0.0.1:40000"},
		"host with final dot":   {"X-Forwarded-Host", "studio.example.", "http://studio.example./x", "10.0.0.1:40000"},
		"other scheme's port":   {"X-Forwarded-Port", "443", "http://inner:443/x", "10.0.0.1:40000"},
		"default port":          {"X-Forwarded-Port", "80", "http://inner/x", "10.0.0.1:40000"},
		"prefix":                {"X-Forwarded-Prefix", "/a/b-c/~d_e.f", "http://inner:5155/a/b-c/~d_e.f/x", "10.0.0.1:40000"},
		"prefix and slash":      {"X-Forwarded-Prefix", "/studio/", "http://inner:5155/studio/x", "10.0.0.1:40000"},
		"root is no prefix":     {"X-Forwarded-Prefix", "/", "http://inner:5155/x", "10.0.0.1:40000"},
		"a name of dots within": {"X-Forwarded-Prefix", "/a..b", "http://inner:5155/a..b/x", "10.0.0.1:40000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := seen(t, proxyfix.Options{Hops: allOnce}, request(t, "/x", c.header, c.value))
			require.Equal(t, c.url, proxyfix.From(got).URL("/x"))
			require.Equal(t, c.remote, got.RemoteAddr)
		})
	}
}

func TestKeptPrefixIsStripped(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]struct{ path, escaped string }{
		"/studio/api/x":          {"/api/x", "/api/x"},
		"/studio":                {"/", "/"},
		"/studio/":               {"/", "/"},
		"/api/x":                 {"/api/x", "/api/x"},
		"/studiox/api":           {"/studiox/api", "/studiox/api"},
		"/studio/studio/x":       {"/studio/x", "/studio/x"},
		"/studio/api/a%2Fb":      {"/api/a/b", "/api/a%2Fb"},
		"/%73tudio/api/x":        {"/studio/api/x", "/%73tudio/api/x"},
		"/%73tudio/api/a%2Fb":    {"/studio/api/a/b", "/%73tudio/api/a%2Fb"},
		"/studio/../api/x":       {"/../api/x", "/../api/x"},
		"/studio//evil.example/": {"//evil.example/", "//evil.example/"},
	} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			got := seen(t, proxyfix.Options{Hops: allOnce}, request(t, target, "X-Forwarded-Prefix", "/studio"))
			require.Equal(t, "/studio", proxyfix.From(got).Prefix)
			require.Equal(t, want.path, got.URL.Path)
			require.Equal(t, want.escaped, got.URL.EscapedPath())
		})
	}
}

func TestPrefixThatIsAnOwnPathIsIgnored(t *testing.T) {
	t.Parallel()
	own := []string{"/api", "/studio/web"}
	for prefix, taken := range map[string]bool{"/api": false, "/studio": false, "/studio/web": false, "/apis": true, "/api/v2": true, "/web": true} {
		got := seen(t, proxyfix.Options{Hops: allOnce, Own: own}, request(t, "/x", "X-Forwarded-Prefix", prefix))
		require.Equal(t, taken, proxyfix.From(got).Prefix == prefix, prefix)
	}
}

func TestWarnsOnceForEachHeader(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	fix := proxyfix.New(proxyfix.Options{Hops: allOnce, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	h := fix.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for range 3 {
		h.ServeHTTP(httptest.NewRecorder(), request(t, "/x", "X-Forwarded-Prefix", "/../\x1b[31m"+strings.Repeat("x", 500), "X-Forwarded-For", "nobody"))
	}
	require.Equal(t, uint64(3), fix.Ignored()["X-Forwarded-Prefix"].Malformed)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	require.Len(t, lines, 2)
	for _, line := range lines {
		require.Contains(t, line, "10.0.0.1:40000")
		require.NotContains(t, line, "\x1b")
		require.Less(t, len(line), 500)
	}
}

func TestUnannouncedProxyIsHintedAtOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := proxyfix.New(proxyfix.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	h.ServeHTTP(httptest.NewRecorder(), request(t, "/x"))
	require.Empty(t, log.String())
	for range 3 {
		h.ServeHTTP(httptest.NewRecorder(), request(t, "/x", "X-Forwarded-For", "192.0.2.7"))
	}
	require.Equal(t, 1, strings.Count(log.String(), "\n"))
	require.Contains(t, log.String(), "LLMCTL_STUDIO_PROXY_FIX_ENABLED")
}

func TestTooFewValuesAreCounted(t *testing.T) {
	t.Parallel()
	fix := proxyfix.New(proxyfix.Options{Hops: proxyfix.Hops{For: 2}})
	h := fix.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	h.ServeHTTP(httptest.NewRecorder(), request(t, "/x", "X-Forwarded-For", "192.0.2.7"))
	h.ServeHTTP(httptest.NewRecorder(), request(t, "/x"))
	require.Equal(t, map[string]proxyfix.Ignored{
		"X-Forwarded-For": {Short: 1}, "X-Forwarded-Proto": {}, "X-Forwarded-Host": {}, "X-Forwarded-Port": {}, "X-Forwarded-Prefix": {},
	}, fix.Ignored())
}

func TestChainOfTrustedProxiesIsKeptForTheNext(t *testing.T) {
	t.Parallel()
	got := seen(t, proxyfix.Options{Hops: proxyfix.Hops{For: 3}}, request(t, "/x", "X-Forwarded-For", "6.6.6.6, 192.0.2.7:1, bad, 192.0.2.9"))
	require.Equal(t, "192.0.2.7, unknown, 192.0.2.9", proxyfix.From(got).Forwarded)
}

func TestNextServerIsToldWhatWasBelievedAndWhoThePeerIs(t *testing.T) {
	t.Parallel()
	pass := func(o proxyfix.Options, r *http.Request) http.Header {
		h := http.Header{"X-Forwarded-For": {"6.6.6.6"}, "X-Forwarded-Prefix": {"/evil"}}
		proxyfix.From(seen(t, o, r)).Pass(h)
		return h
	}
	spoofed := []string{"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example", "X-Forwarded-Prefix", "/evil"}
	require.Equal(t, http.Header{
		"X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"inner:5155"}, "X-Forwarded-Port": {"5155"},
	}, pass(proxyfix.Options{}, request(t, "/x", spoofed...)))
	require.Equal(t, http.Header{
		"X-Forwarded-For": {"192.0.2.7, 192.0.2.8, 10.0.0.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"studio.example"},
		"X-Forwarded-Port": {"443"}, "X-Forwarded-Prefix": {"/studio"},
	}, pass(proxyfix.Options{Hops: proxyfix.Hops{For: 2, Proto: 1, Host: 1, Port: 1, Prefix: 1}}, request(
		t, "/x", "X-Forwarded-For", "6.6.6.6, 192.0.2.7, 192.0.2.8", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "studio.example",
		"X-Forwarded-Prefix", "/studio",
	)))
	unix := request(t, "/x", "X-Forwarded-For", "192.0.2.7")
	unix.RemoteAddr = "@"
	require.Equal(t, []string{"192.0.2.7, unknown"}, pass(proxyfix.Options{Hops: allOnce}, unix)["X-Forwarded-For"])
	unix = request(t, "/x")
	unix.RemoteAddr = "@"
	require.NotContains(t, pass(proxyfix.Options{Hops: allOnce}, unix), "X-Forwarded-For")
}

func TestTwiceIsOnce(t *testing.T) {
	t.Parallel()
	fix := proxyfix.New(proxyfix.Options{Hops: allOnce})
	var got *http.Request
	h := fix.Wrap(fix.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })))
	h.ServeHTTP(httptest.NewRecorder(), request(t, "/studio/studio/x", "X-Forwarded-Prefix", "/studio", "X-Forwarded-For", "192.0.2.7"))
	require.Equal(t, "/studio/x", got.URL.Path)
	require.Equal(t, "192.0.2.7", proxyfix.From(got).ClientIP())
}

func TestWithoutTheMiddlewareTheConnectionCounts(t *testing.T) {
	t.Parallel()
	o := proxyfix.From(request(t, "/x", "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Prefix", "/evil"))
	require.Equal(t, "10.0.0.1", o.ClientIP())
	require.Equal(t, "http://inner:5155/x", o.URL("/x"))
}

func TestUnixPeersHaveNoAddressUntilAProxySaysSo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	require.NoError(t, err)
	got := make(chan *http.Request, 1)
	server := &http.Server{Handler: proxyfix.New(proxyfix.Options{Hops: allOnce}).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r }))}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
	for _, c := range []struct{ header, ip, remote string }{{"", "", "@"}, {"192.0.2.7", "192.0.2.7", "192.0.2.7:0"}, {"unix:", "", "@"}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://studio/x", nil)
		require.NoError(t, err)
		if c.header != "" {
			req.Header.Set("X-Forwarded-For", c.header)
		}
		res, err := client.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		r := <-got
		require.Equal(t, c.ip, proxyfix.From(r).ClientIP())
		require.Equal(t, c.remote, r.RemoteAddr)
	}
}
