package proxy

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/freeport"
)

// edge replaces the public side of a sample: port and certificate.
func edge(ca *authority, port string) []string {
	cert, key := ca.issue("studio.example.com")
	return []string{
		"listen 443 ssl", "listen 127.0.0.1:" + port + " ssl",
		"/etc/ssl/studio/fullchain.pem", cert, "/etc/ssl/studio/privkey.pem", key,
	}
}

// behindNginx is the Studio behind a sample of nginx.
func behindNginx(t *testing.T, name, prefix string, pairs ...string) *site {
	t.Helper()
	ca, port := newAuthority(t), freeport.Get(t)
	nginx(t, sample(t, name, append(edge(ca, port), pairs...)...), port)
	return newSite(t, "https://127.0.0.1:"+port+prefix, ca)
}

func TestTLSAtNginxAndHTTPToTheStudio(t *testing.T) {
	t.Parallel()
	s := behindNginx(t, "nginx-http.conf", "", "127.0.0.1:5055;", serve(t, nil, "--with-web")+";")
	s.works(t)
	s.judgesSchemes(t)
}

func TestTLSAtNginxAndAUnixSocketToTheStudio(t *testing.T) {
	t.Parallel()
	bind := "unix:" + filepath.Join(t.TempDir(), "s.sock")
	require.Equal(t, bind, serve(t, []string{"GUNICORN_BIND=" + bind}, "--with-web"))
	s := behindNginx(t, "nginx-http.conf", "", "127.0.0.1:5055;", bind+";")
	s.works(t)
}

func TestTLSAtNginxAndTLSWithClientCertificatesToTheStudio(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.issue("studio.internal")
	clientCert, clientKey := ca.issue("nginx")
	upstream := serve(t, []string{"GUNICORN_CERTFILE=" + cert, "GUNICORN_KEYFILE=" + key, "GUNICORN_CA_CERTS=" + ca.file}, "--with-web")
	s := behindNginx(t, "nginx-https.conf", "", "127.0.0.1:5155;", upstream+";", "/etc/ssl/studio/nginx-client.pem", clientCert,
		"/etc/ssl/studio/nginx-client.key", clientKey, "/etc/ssl/studio/upstream-ca.pem", ca.file)
	s.works(t)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+upstream+"/api/health", nil)
	require.NoError(t, err)
	_, err = newSite(t, "", ca).client.Do(req)
	require.ErrorContains(t, err, "certificate required", "the Studio talks to nobody but nginx")
}

func TestPrefixThatNginxStrips(t *testing.T) {
	t.Parallel()
	upstream := serve(t, []string{"LLMCTL_STUDIO_PROXY_FIX_X_PREFIX=1"}, "--with-web")
	s := behindNginx(t, "nginx-prefix-stripped.conf", "/studio", "127.0.0.1:5055;", upstream+";")
	s.works(t)
}

func TestPrefixThatNginxKeeps(t *testing.T) {
	t.Parallel()
	upstream := serve(t, []string{"LLMCTL_STUDIO_PROXY_FIX_X_PREFIX=1"}, "--with-web")
	s := behindNginx(t, "nginx-prefix-kept.conf", "/studio", "127.0.0.1:5055;", upstream+";")
	s.works(t)
}

func TestPageAndAPIFromTwoServices(t *testing.T) {
	t.Parallel()
	backend := serve(t, nil)
	front := frontend(t, "http://127.0.0.1:1", "LLMCTL_STUDIO_PROXY_FIX_ENABLED=true")
	s := behindNginx(t, "nginx-split.conf", "", "127.0.0.1:5055;", backend+";", "127.0.0.1:8080;", front+";")
	s.works(t)
}

func TestDirectHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t, "http://"+serve(t, []string{"LLMCTL_STUDIO_PROXY_FIX_ENABLED=false"}, "--with-web"), nil)
	s.works(t)
}

func TestFrontendPassesEverythingOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, "http://"+frontend(t, "http://"+serve(t, nil)), nil)
	s.works(t)
}

func TestFrontendBehindNginxBelowAPrefix(t *testing.T) {
	t.Parallel()
	hops := []string{"LLMCTL_STUDIO_PROXY_FIX_ENABLED=true", "LLMCTL_STUDIO_PROXY_FIX_X_PREFIX=1"}
	backend := serve(t, append(hops, "LLMCTL_STUDIO_PROXY_FIX_X_FOR=2"))
	s := behindNginx(t, "nginx-prefix-kept.conf", "/studio", "127.0.0.1:5055;", frontend(t, "http://"+backend, hops...)+";")
	s.works(t)
	s.judgesSchemes(t)
	s.limitsByClient(t)
}

// What a client writes into forwarded headers changes nothing.
func TestSpoofedHeadersAreIgnored(t *testing.T) {
	t.Parallel()
	upstream := serve(t, []string{"LLMCTL_STUDIO_PROXY_FIX_X_PREFIX=1"}, "--with-web")
	s := behindNginx(t, "nginx-http.conf", "", "127.0.0.1:5055;", upstream+";")
	spoofed := []string{
		"X-Forwarded-Proto", "http", "X-Forwarded-Host", "evil.example", "X-Forwarded-Port", "1", "X-Forwarded-Prefix", "/evil",
		"Forwarded", "for=6.6.6.6;host=evil.example", "X-Forwarded-For", "6.6.6.6", "Accept", "text/html",
	}
	_, page := s.do(t, http.MethodGet, "/web/", "", spoofed...)
	require.Contains(t, page, `<base href="/web/">`)
	require.NotContains(t, page, "evil")
	origin, _ := s.origin(t)
	res, body := s.do(t, http.MethodPost, "/api/auth/login", `{"email":"`+email+`","password":"`+password+`"}`, append(spoofed, "Origin", origin)...)
	require.Equal(t, http.StatusOK, res.StatusCode, body)
	require.True(t, res.Cookies()[0].Secure)
	require.Equal(t, "/", res.Cookies()[0].Path)
	s.limitsByClient(t)
}

// limitsByClient checks that another address in a header is not another client.
func (s *site) limitsByClient(t *testing.T) {
	t.Helper()
	origin, _ := s.origin(t)
	status := 0
	for i := 0; i < 40 && status != http.StatusTooManyRequests; i++ {
		res, _ := s.do(t, http.MethodPost, "/api/auth/login", fmt.Sprintf(`{"email":"nobody%d@example.com","password":"wrong password"}`, i),
			"Origin", origin, "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i))
		status = res.StatusCode
	}
	require.Equal(t, http.StatusTooManyRequests, status)

	// Somebody else behind the same proxies is somebody else.
	other := *s
	other.client = &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: s.trust, DisableKeepAlives: true,
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext,
	}}
	res, body := other.do(t, http.MethodPost, "/api/auth/login", `{"email":"other@example.com","password":"wrong password"}`, "Origin", origin)
	require.Equal(t, http.StatusUnauthorized, res.StatusCode, body)
}

// A WebSocket and a poll that are silent for longer than any default time-out of a
// proxy (60 s) still deliver the next event.
func TestSilentStreamsSurvive(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes more than a minute")
	}
	const silence = 65 * time.Second
	s := behindNginx(t, "nginx-http.conf", "", "127.0.0.1:5055;",
		serve(t, []string{"LLMCTL_STUDIO_SOCKETIO_PING_INTERVAL=600"}, "--with-web")+";")
	s.signsIn(t)
	clients := map[string]<-chan said{}
	for _, transport := range []string{"websocket", "polling"} {
		clients[transport] = s.follow(t, transport)
		connected(t, clients[transport], transport)
	}
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for waiting := true; waiting; {
		select {
		case l, ok := <-clients["websocket"]:
			require.True(t, ok)
			require.Equal(t, "rt.position", l.Event, "it never connects again")
		case l, ok := <-clients["polling"]:
			require.True(t, ok)
			require.Equal(t, "rt.position", l.Event, "it never connects again")
		case <-timer.C:
			waiting = false
		}
	}
	s.change(t, "after the silence")
	for transport, lines := range clients {
		await(t, lines, "event by "+transport, func(l said) bool {
			require.NotEqual(t, "rt.connected", l.Event, "%s had to connect again", transport)
			return l.Event == "config:provider:created"
		})
	}
}

// The same configuration without its time-outs cuts a silent stream, so the test
// above can tell.
func TestShortTimeoutCutsASilentStream(t *testing.T) {
	t.Parallel()
	s := behindNginx(t, "nginx-http.conf", "", "127.0.0.1:5055;",
		serve(t, []string{"LLMCTL_STUDIO_SOCKETIO_PING_INTERVAL=600"}, "--with-web")+";", "3600s", "1s")
	s.signsIn(t)
	lines := s.follow(t, "websocket")
	connected(t, lines, "websocket")
	await(t, lines, "second rt.connected", func(l said) bool { return l.Event == "rt.connected" })
}

// Without the upgrade headers a WebSocket does not come about, and clients that may
// poll go on by polling.
func TestMissingUpgradeHeadersLeaveClientsPolling(t *testing.T) {
	t.Parallel()
	s := behindNginx(t, "nginx-http.conf", "", "127.0.0.1:5055;", serve(t, nil, "--with-web")+";",
		"proxy_set_header Upgrade $http_upgrade;", "", "proxy_set_header Connection $studio_connection;", `proxy_set_header Connection "";`)
	s.signsIn(t)
	s.pushes(t, "polling,websocket")
	lines := s.follow(t, "websocket")
	select {
	case l, ok := <-lines:
		require.True(t, ok)
		require.NotEmpty(t, l.ConnectError)
	case <-time.After(patience):
		t.Fatal("the client says nothing")
	}
}

func TestCaddy(t *testing.T) {
	t.Parallel()
	program := lookCaddy(t)
	ca, port := newAuthority(t), freeport.Get(t)
	cert, key := ca.issue("studio.example.com")
	config := sample(t, "Caddyfile", "https://studio.example.com", "https://127.0.0.1:"+port, "127.0.0.1:5055",
		serve(t, []string{"LLMCTL_STUDIO_PROXY_FIX_X_PREFIX=1"}, "--with-web"), "/etc/ssl/studio/fullchain.pem", cert, "/etc/ssl/studio/privkey.pem", key)
	caddy(t, program, config, port)
	s := newSite(t, "https://127.0.0.1:"+port, ca)
	s.works(t)
	s.judgesSchemes(t)
	_, page := s.do(t, http.MethodGet, "/web/", "", "X-Forwarded-Prefix", "/evil", "X-Forwarded-Port", "1", "X-Forwarded-Host", "evil.example")
	require.Contains(t, page, `<base href="/web/">`)
	s.limitsByClient(t)
}

// A certificate that cannot be used stops the start with what is wrong.
func TestUnusableCertificateIsNamedAtStart(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, _ := ca.issue("studio.internal")
	_, key := ca.issue("other")
	out := failing(t, "GUNICORN_CERTFILE="+cert, "GUNICORN_KEYFILE="+key)
	require.Contains(t, out, "GUNICORN_KEYFILE ("+key+") is not the key of the first certificate in GUNICORN_CERTFILE")
	require.NotContains(t, out, "ready:")
}
