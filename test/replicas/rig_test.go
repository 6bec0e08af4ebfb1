package replicas

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/proctest"
)

const (
	patience = 60 * time.Second
	email    = "ada@example.com"
	password = "correct horse battery"
)

// replica is one llmctl serve.
type replica struct {
	t        *testing.T
	cmd      *exec.Cmd
	log      *proctest.Output
	address  string
	internal string
	dead     atomic.Bool
}

func serve(t *testing.T, database string, environ ...string) *replica {
	t.Helper()
	binary, err := filepath.Abs("../../bin/llmctl")
	require.NoError(t, err)
	_, err = os.Stat(binary)
	require.NoError(t, err, "run `make build` first")
	r := &replica{t: t, cmd: exec.Command(binary, "serve"), log: &proctest.Output{}, internal: freeAddress(t)}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "LLMCTL_") && !strings.HasPrefix(pair, "GUNICORN_") {
			r.cmd.Env = append(r.cmd.Env, pair)
		}
	}
	r.cmd.Env = append(r.cmd.Env,
		"LLMCTL_STUDIO_DATABASE_URI="+database, "LLMCTL_STUDIO_DATA_DIR="+t.TempDir(),
		"LLMCTL_STUDIO_SECRET_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "LLMCTL_STUDIO_ADMIN_EMAIL="+email,
		"LLMCTL_STUDIO_ADMIN_PASSWORD="+password, "LLMCTL_STUDIO_INTERNAL_BIND="+r.internal, "GUNICORN_CONTROL_SOCKET_DISABLE=true",
		"GUNICORN_WORKERS=2", "GUNICORN_BIND=127.0.0.1:0", "GUNICORN_ACCESS_LOG=/dev/null")
	r.cmd.Env = append(r.cmd.Env, environ...)
	r.cmd.Stderr = r.log
	out, err := r.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, r.cmd.Start())
	t.Cleanup(func() {
		if !r.dead.Load() {
			_ = r.cmd.Process.Signal(syscall.SIGTERM)
			require.NoError(t, r.cmd.Wait(), "%s", r.log)
		}
		if t.Failed() {
			t.Logf("replica at %s:\n%s", r.address, r.log)
		}
	})
	found := make(chan string, 1)
	go func() {
		defer close(found)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if address, ok := strings.CutPrefix(lines.Text(), "ready: http://"); ok {
				found <- strings.TrimSuffix(address, "/api")
			}
		}
	}()
	select {
	case r.address = <-found:
		require.NotEmpty(t, r.address, "it ended before it was ready:\n%s", r.log)
	case <-time.After(patience):
		t.Fatalf("it is not ready:\n%s", r.log)
	}
	return r
}

// kill ends the master without a word; its workers follow it.
func (r *replica) kill() {
	r.t.Helper()
	require.NoError(r.t, r.cmd.Process.Kill())
	r.dead.Store(true)
	_ = r.cmd.Wait()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// balancer gives each request to the next replica, on a connection of its own.
type balancer struct {
	replicas []*replica
	turn     atomic.Uint64
	only     atomic.Pointer[replica] // when set, it gets all
}

func (b *balancer) next() *replica {
	if one := b.only.Load(); one != nil {
		return one
	}
	return b.replicas[b.turn.Add(1)%uint64(len(b.replicas))]
}

// RoundTrip does as nginx does: what could not connect goes to the next one; what was
// sent is not sent twice.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var last error
	for range b.replicas {
		out := r.Clone(r.Context())
		out.Body = io.NopCloser(bytes.NewReader(body))
		out.URL.Host = b.next().address
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(out)
		if err == nil {
			return res, nil
		}
		if last = err; !errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
	}
	return nil, last
}

func (b *balancer) serve(t *testing.T) string {
	t.Helper()
	proxy := &httputil.ReverseProxy{
		Transport: b, FlushInterval: -1,
		Rewrite:      func(p *httputil.ProxyRequest) { p.Out.URL.Scheme = "http"; p.Out.Host = p.In.Host },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}

// api is somebody who uses the HTTP interface.
type api struct {
	t       *testing.T
	base    string
	session *http.Cookie
	key     string
	client  *http.Client
}

func (a *api) call(want int, method, path, body string, out any) {
	a.t.Helper()
	status, raw := a.try(method, path, body)
	require.Equal(a.t, want, status, "%s %s: %s", method, path, raw)
	if out != nil {
		require.NoError(a.t, json.Unmarshal(raw, out), "%s", raw)
	}
}

func (a *api) try(method, path, body string) (int, []byte) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.base+path, strings.NewReader(body))
	require.NoError(a.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.session != nil {
		req.AddCookie(a.session)
	}
	if a.key != "" {
		req.Header.Set("Authorization", "Bearer "+a.key)
	}
	res, err := a.client.Do(req)
	require.NoError(a.t, err)
	defer func() { _ = res.Body.Close() }()
	for _, c := range res.Cookies() {
		a.session = c
	}
	raw, err := io.ReadAll(res.Body)
	require.NoError(a.t, err)
	return res.StatusCode, raw
}

// get gives 0 where nobody answers.
func (a *api) get(path string) (int, error) {
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, a.base+path, nil)
	if err != nil {
		return 0, err
	}
	res, err := a.client.Do(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

func signIn(t *testing.T, base string) *api {
	t.Helper()
	a := &api{t: t, base: base, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}}
	a.call(http.StatusOK, http.MethodPost, "/api/auth/login", `{"email":"`+email+`","password":"`+password+`"}`, nil)
	return a
}

func (a *api) newKey() string {
	a.t.Helper()
	var made struct {
		Key string `json:"key"`
	}
	a.call(http.StatusCreated, http.MethodPost, "/api/api-keys", `{"name":"k"}`, &made)
	require.NotEmpty(a.t, made.Key)
	return made.Key
}

// line is what the client says.
type line struct {
	Connected    string          `json:"connected"`
	Transport    string          `json:"transport"`
	Event        string          `json:"event"`
	Payload      json.RawMessage `json:"payload"`
	Ack          json.RawMessage `json:"ack"`
	Disconnect   string          `json:"disconnect"`
	Why          string          `json:"why"`
	ConnectError string          `json:"connect_error"`
	Data         struct {
		Code string `json:"code"`
	} `json:"data"`
}

// follower is the official client in a process of its own.
type follower struct {
	t         *testing.T
	transport string
	lines     chan line
	sid       string
	upgraded  bool
	breaks    int             // disconnects and failures to connect
	broken    []string        // what the client said of each, with what it had said before
	heard     map[int64]int   // how often each number of the stream came
	last      int64           // the highest
	disorder  bool            // a number came after a higher one
	reasons   map[string]bool // of rt.closing
	trail     []string        // the latest lines, for when a test fails
	leave     func()          // ends the client
}

func follow(t *testing.T, base, key, transport, room string) *follower {
	t.Helper()
	node, err := exec.LookPath("node")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), node, "replica.mjs", base, key, transport, room)
	cmd.Dir, err = filepath.Abs("../socketio")
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	f := &follower{t: t, transport: transport, lines: make(chan line, 10_000), heard: map[int64]int{}, reasons: map[string]bool{}}
	f.leave = sync.OnceFunc(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	t.Cleanup(f.leave)
	go func() {
		defer close(f.lines)
		scan := bufio.NewScanner(out)
		scan.Buffer(nil, 8<<20)
		for scan.Scan() {
			var l line
			if json.Unmarshal(scan.Bytes(), &l) == nil {
				f.lines <- l
			}
		}
	}()
	return f
}

// until reads lines until one is as wanted.
func (f *follower) until(what string, wanted func(l line) bool) line {
	f.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case l, ok := <-f.lines:
			require.True(f.t, ok, "the client ended")
			f.note(l)
			if wanted(l) {
				return l
			}
		case <-deadline:
			f.t.Fatalf("%s client: no %s within %s; it said\n%s", f.transport, what, patience, strings.Join(f.trail, "\n"))
		}
	}
}

func (f *follower) note(l line) {
	f.trail = append(f.trail, fmt.Sprintf("%s %s %s %s %s %s %s %s", time.Now().Format("05.000"), l.Connected, l.Event, l.Disconnect, l.Why, l.ConnectError, l.Ack, l.Payload))
	f.trail = f.trail[max(0, len(f.trail)-12):]
	switch {
	case l.Connected != "":
		f.upgraded = f.upgraded || l.Transport == "websocket" && strings.HasPrefix(f.transport, "polling")
		f.sid = l.Connected
	case l.Disconnect != "" || l.ConnectError != "":
		f.breaks++
		f.broken = append(f.broken, f.trail[max(0, len(f.trail)-4):]...)
	case l.Event == "rt.closing":
		var c struct {
			Reason string `json:"reason"`
		}
		_ = json.Unmarshal(l.Payload, &c)
		f.reasons[c.Reason] = true
	case strings.Contains(string(l.Payload), `"sequence_stream"`):
		var e struct {
			Sequence int64 `json:"sequence"`
		}
		_ = json.Unmarshal(l.Payload, &e)
		if f.heard[e.Sequence]++; f.heard[e.Sequence] == 1 {
			f.disorder = f.disorder || e.Sequence < f.last
			f.last = e.Sequence
		}
	}
}

func (f *follower) subscribed() {
	f.t.Helper()
	l := f.until("answer to the subscription", func(l line) bool { return l.Ack != nil })
	require.Contains(f.t, string(l.Ack), `"ok":true`)
}

// hears waits for a number of the stream; all before it must have come, in order.
func (f *follower) hears(from, to int64) {
	f.t.Helper()
	if f.last < to {
		f.until(fmt.Sprintf("event %d", to), func(line) bool { return f.last >= to })
	}
	for n := from; n <= to; n++ {
		require.NotZero(f.t, f.heard[n], "%s client missed %d", f.transport, n)
	}
	require.False(f.t, f.disorder)
}
