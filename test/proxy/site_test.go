package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// site is the Studio as a browser sees it.
type site struct {
	base   string // https://127.0.0.1:4711/studio
	ca     string // file of the certificate to trust; "" for plain HTTP
	client *http.Client
	trust  *tls.Config
	cookie *http.Cookie
}

func newSite(t *testing.T, base string, ca *authority) *site {
	t.Helper()
	s := &site{base: base, trust: &tls.Config{}}
	if ca != nil {
		s.ca, s.trust = ca.file, ca.trust()
	}
	s.client = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: s.trust, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       patience,
	}
	return s
}

// origin is what a browser sends as Origin; prefix is where the Studio is below it.
func (s *site) origin(t *testing.T) (origin, prefix string) {
	t.Helper()
	u, err := url.Parse(s.base)
	require.NoError(t, err)
	return u.Scheme + "://" + u.Host, u.Path
}

// do sends a request as the page would: with the session, to a path of the Studio or
// to an absolute address.
func (s *site) do(t *testing.T, method, target, body string, pairs ...string) (*http.Response, string) {
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = s.base + target
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.cookie != nil {
		req.AddCookie(s.cookie)
	}
	for i := 0; i < len(pairs); i += 2 {
		req.Header.Set(pairs[i], pairs[i+1])
	}
	res, err := s.client.Do(req)
	require.NoError(t, err)
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res, string(raw)
}

// works is everything that must hold behind any proxy.
func (s *site) works(t *testing.T) {
	t.Helper()
	s.servesThePage(t)
	s.keepsTheRouteContract(t)
	s.signsIn(t)
	s.judgesOrigins(t)
	for _, transport := range []string{"websocket", "polling", "polling,websocket"} {
		s.pushes(t, transport)
	}
}

func (s *site) servesThePage(t *testing.T) {
	t.Helper()
	_, prefix := s.origin(t)
	for _, path := range []string{"/", "/web"} {
		res, _ := s.do(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusFound, res.StatusCode, path)
		to, err := res.Location()
		require.NoError(t, err)
		require.Equal(t, s.base+"/web/", to.String(), path)
	}
	res, page := s.do(t, http.MethodGet, "/web/flowcharts/7", "", "Accept", "text/html")
	require.Equal(t, http.StatusOK, res.StatusCode, page)
	require.Contains(t, page, `<base href="`+prefix+`/web/">`)
	if strings.Contains(page, "/web/config.js") { // its settings come as a file
		res, settings := s.do(t, http.MethodGet, "/web/config.js", "")
		require.Equal(t, http.StatusOK, res.StatusCode)
		page += settings
	}
	require.Contains(t, page, `"socketPath":"`+prefix+`/api/socket.io"`)
	require.Contains(t, page, `"apiBase":"`+prefix+`/api"`)
	// Every file that the page names, found as a browser finds it.
	here, err := url.Parse(s.base + "/web/")
	require.NoError(t, err)
	files := regexp.MustCompile(`(?:src|href)="([^"]+\.(?:js|css|svg))"`).FindAllStringSubmatch(page, -1)
	require.NotEmpty(t, files)
	for _, f := range files {
		at, err := here.Parse(f[1])
		require.NoError(t, err)
		res, _ := s.do(t, http.MethodGet, at.String(), "")
		require.Equal(t, http.StatusOK, res.StatusCode, at)
		require.NotContains(t, res.Header.Get("Content-Type"), "html", at)
	}
}

func (s *site) keepsTheRouteContract(t *testing.T) {
	t.Helper()
	res, body := s.do(t, http.MethodGet, "/api/nothing", "", "Accept", "text/html")
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"), body)
	_, prefix := s.origin(t)
	require.Contains(t, body, prefix+"/api/nothing", "people find the address that they called")
	res, _ = s.do(t, http.MethodGet, "/elsewhere", "", "Accept", "text/html")
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	res, _ = s.do(t, http.MethodGet, "/api/health", "")
	require.Equal(t, http.StatusOK, res.StatusCode)
}

func (s *site) signsIn(t *testing.T) {
	t.Helper()
	origin, prefix := s.origin(t)
	s.cookie = nil
	res, body := s.do(t, http.MethodPost, "/api/auth/login", `{"email":"`+email+`","password":"`+password+`"}`, "Origin", origin)
	require.Equal(t, http.StatusOK, res.StatusCode, body)
	require.Len(t, res.Cookies(), 1)
	s.cookie = res.Cookies()[0]
	require.Equal(t, strings.HasPrefix(origin, "https:"), s.cookie.Secure)
	if prefix == "" {
		prefix = "/"
	}
	require.Equal(t, prefix, s.cookie.Path)
	res, body = s.do(t, http.MethodGet, "/api/docs", "")
	require.Equal(t, http.StatusOK, res.StatusCode, body)
	require.Contains(t, body, strings.TrimSuffix(prefix, "/")+"/api/openapi.json")
}

func (s *site) judgesOrigins(t *testing.T) {
	t.Helper()
	origin, _ := s.origin(t)
	write := func(from string) int {
		res, _ := s.do(t, http.MethodPost, "/api/api-keys", `{"name":"x"}`, "Origin", from)
		return res.StatusCode
	}
	poll := func(from string) int {
		res, _ := s.do(t, http.MethodGet, "/api/socket.io/?EIO=4&transport=polling", "", "Origin", from)
		return res.StatusCode
	}
	require.Equal(t, http.StatusCreated, write(origin))
	require.Equal(t, http.StatusOK, poll(origin))
	for _, foreign := range []string{"https://evil.example", origin + "1", "null"} {
		require.Equal(t, http.StatusForbidden, write(foreign), foreign)
		require.NotEqual(t, http.StatusOK, poll(foreign), foreign)
	}
}

// judgesSchemes holds where a trusted proxy says how the browser came.
func (s *site) judgesSchemes(t *testing.T) {
	t.Helper()
	origin, _ := s.origin(t)
	plain := strings.Replace(origin, "https:", "http:", 1)
	res, _ := s.do(t, http.MethodPost, "/api/api-keys", `{"name":"x"}`, "Origin", plain)
	require.Equal(t, http.StatusForbidden, res.StatusCode)
	res, _ = s.do(t, http.MethodGet, "/api/socket.io/?EIO=4&transport=polling", "", "Origin", plain)
	require.NotEqual(t, http.StatusOK, res.StatusCode)
}

// apiKey makes an API key.
func (s *site) apiKey(t *testing.T) string {
	t.Helper()
	origin, _ := s.origin(t)
	res, body := s.do(t, http.MethodPost, "/api/api-keys", `{"name":"follow"}`, "Origin", origin)
	require.Equal(t, http.StatusCreated, res.StatusCode, body)
	var key struct {
		Key string `json:"key"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &key))
	return key.Key
}

// said is a line of the client.
type said struct {
	Event   string          `json:"event"`
	Ack     json.RawMessage `json:"ack"`
	Payload struct {
		Transport string `json:"transport"`
	} `json:"payload"`
	ConnectError string `json:"connect_error"`
}

// follow runs the official Socket.IO client in the room of lists.
func (s *site) follow(t *testing.T, transport string) <-chan said {
	t.Helper()
	_, prefix := s.origin(t)
	origin, _ := s.origin(t)
	dir, err := filepath.Abs("../socketio")
	require.NoError(t, err)
	install(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "node", "follow.mjs", origin, s.apiKey(t), transport, "studio")
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), "STUDIO_SOCKET_PATH="+prefix+"/api/socket.io", "NODE_EXTRA_CA_CERTS="+s.ca), os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := make(chan said, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(lines)
		scan := bufio.NewScanner(out)
		scan.Buffer(nil, 1<<20)
		for scan.Scan() {
			var l said
			if json.Unmarshal(scan.Bytes(), &l) == nil {
				lines <- l
			}
		}
	}()
	t.Cleanup(func() {
		_ = stdin.Close() // it ends by itself
		<-done
		cancel()
		_ = cmd.Wait()
	})
	return lines
}

var installOnce sync.Mutex

// install fetches the client, once, as it is pinned.
func install(t *testing.T, dir string) {
	t.Helper()
	installOnce.Lock()
	defer installOnce.Unlock()
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "socket.io-client", "package.json")); err == nil {
		return
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// await reads until a line is found.
func await(t *testing.T, lines <-chan said, what string, found func(said) bool) said {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case l, ok := <-lines:
			require.True(t, ok, "the client ended before %s", what)
			require.Empty(t, l.ConnectError)
			if found(l) {
				return l
			}
		case <-deadline:
			t.Fatalf("no %s", what)
		}
	}
}

// connected waits until a client has its room.
func connected(t *testing.T, lines <-chan said, transport string) {
	t.Helper()
	hello := await(t, lines, "rt.connected", func(l said) bool { return l.Event == "rt.connected" })
	require.Contains(t, strings.Split(transport, ","), hello.Payload.Transport)
	await(t, lines, "answer of rt.subscribe", func(l said) bool { return len(l.Ack) > 0 })
}

// change makes an event in the room of lists.
func (s *site) change(t *testing.T, name string) {
	t.Helper()
	origin, _ := s.origin(t)
	res, body := s.do(t, http.MethodPost, "/api/providers", `{"name":"`+name+`","kind":"demo"}`, "Origin", origin)
	require.Equal(t, http.StatusCreated, res.StatusCode, body)
}

// pushes checks that an event reaches the client.
func (s *site) pushes(t *testing.T, transport string) {
	t.Helper()
	lines := s.follow(t, transport)
	connected(t, lines, transport)
	s.change(t, "by "+transport)
	await(t, lines, "event by "+transport, func(l said) bool { return l.Event == "config:provider:created" })
}
