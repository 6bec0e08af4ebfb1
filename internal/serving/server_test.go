package serving

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// site is a server in this process.
type site struct {
	t      *testing.T
	server *Server
	url    string
	stop   context.CancelFunc
	ended  chan error
}

func newSite(t *testing.T, o ServerOptions, listeners ...net.Listener) *site {
	t.Helper()
	return newStallingSite(t, o, stallTimeout, listeners...)
}

func newStallingSite(t *testing.T, o ServerOptions, stall time.Duration, listeners ...net.Listener) *site {
	t.Helper()
	if len(listeners) == 0 {
		listeners = append(listeners, listen(t))
	}
	o.Listeners, o.Log = listeners, slog.New(slog.DiscardHandler)
	if o.Keepalive == 0 {
		o.Keepalive = time.Second
	}
	if o.Grace == 0 {
		o.Grace = patience
	}
	if o.Connections == 0 {
		o.Connections = 100
	}
	s := &site{t: t, server: newServer(o, stall), url: "http://" + listeners[0].Addr().String(), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	ready := make(chan struct{})
	go func() { s.ended <- s.server.Run(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() {
		cancel()
		s.wait()
	})
	return s
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

func (s *site) wait() {
	s.t.Helper()
	select {
	case err := <-s.ended:
		s.ended <- err
		require.NoError(s.t, err)
	case <-time.After(patience):
		s.t.Fatal("the server does not stop")
	}
}

// gatekeeper is a handler that holds each request until it is let go.
type gatekeeper struct {
	entered chan string
	open    chan struct{}
}

func newGatekeeper() *gatekeeper {
	return &gatekeeper{entered: make(chan string, 1000), open: make(chan struct{})}
}

func (g *gatekeeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.entered <- r.URL.Path
	select {
	case <-g.open:
		_, _ = io.WriteString(w, "done")
	case <-r.Context().Done():
	}
}

// get makes a request in the background.
func (s *site) get(path string) <-chan result {
	out := make(chan result, 1)
	go func() { out <- fetch(s.url + path) }()
	return out
}

type result struct {
	status int
	header http.Header
	body   string
	err    error
}

func fetch(url string) result {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return result{err: err}
	}
	resp, err := client().Do(req)
	if err != nil {
		return result{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	return result{status: resp.StatusCode, header: resp.Header, body: string(raw), err: err}
}

func received[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("never came: %s", what)
		panic("unreachable")
	}
}

func TestThreadsBoundTheWorkAndTheLine(t *testing.T) {
	t.Parallel()
	g := newGatekeeper()
	s := newSite(t, ServerOptions{Handler: g, Threads: 1, Exempt: func(r *http.Request) bool { return r.URL.Path == "/exempt" }, Connections: 1000})
	answers := []<-chan result{s.get("/")}
	received(t, g.entered, "the first request")
	for range linePerThread {
		answers = append(answers, s.get("/"))
	}
	require.Eventually(t, func() bool { return s.server.Counts().Waiting == linePerThread }, patience, look)

	full := received(t, s.get("/"), "a refusal")
	require.NoError(t, full.err)
	require.Equal(t, http.StatusServiceUnavailable, full.status)
	require.Equal(t, "application/problem+json", full.header.Get("Content-Type"))
	require.Equal(t, "1", full.header.Get("Retry-After"))
	require.Contains(t, full.body, `"reason":"serve.busy"`)

	exempt := s.get("/exempt")
	require.Equal(t, "/exempt", received(t, g.entered, "the exempt request"))
	require.Empty(t, g.entered, "nobody else is let in")
	close(g.open)
	for _, c := range append(answers, exempt) {
		r := received(t, c, "an answer")
		require.NoError(t, r.err)
		require.Equal(t, "done", r.body)
	}
	require.Zero(t, s.server.Counts().Waiting)
	s.stop()
	s.wait()
}

func TestClientThatGivesUpLeavesTheLine(t *testing.T) {
	t.Parallel()
	g := newGatekeeper()
	s := newSite(t, ServerOptions{Handler: g, Threads: 1})
	first := s.get("/")
	received(t, g.entered, "the first request")
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	require.NoError(t, err)
	gone := make(chan error, 1)
	go func() {
		resp, err := client().Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		gone <- err
	}()
	require.Eventually(t, func() bool { return s.server.Counts().Waiting == 1 }, patience, look)
	cancel()
	require.Error(t, <-gone)
	require.Eventually(t, func() bool { return s.server.Counts().Waiting == 0 }, patience, look)
	close(g.open)
	require.Equal(t, "done", received(t, first, "the answer").body)
	require.Empty(t, g.entered, "the one that gave up was not worked")
}

func TestFurtherConnectionsWaitInTheBacklog(t *testing.T) {
	t.Parallel()
	g := newGatekeeper()
	s := newSite(t, ServerOptions{Handler: g, Connections: 3})
	var answers []<-chan result
	for range 8 {
		answers = append(answers, s.get("/"))
	}
	for range 3 {
		received(t, g.entered, "a request")
	}
	require.Equal(t, 3, s.server.Counts().Connections)
	require.Equal(t, 3, s.server.Counts().InFlight)
	require.Empty(t, g.entered)
	close(g.open)
	for _, c := range answers {
		r := received(t, c, "an answer")
		require.NoError(t, r.err)
		require.Equal(t, "done", r.body)
	}
	require.Eventually(t, func() bool { return s.server.Counts().Connections == 0 }, patience, look)
}

// A listener that waits for a connection must not use up the place of one that
// comes on another listener.
func TestConnectionLimitIsSharedByListeners(t *testing.T) {
	t.Parallel()
	first, second := listen(t), listen(t)
	g := newGatekeeper()
	close(g.open)
	s := newSite(t, ServerOptions{Handler: g, Connections: 1}, first, second)
	require.Zero(t, s.server.Counts().Connections, "nobody is connected")
	for range 3 {
		for _, l := range []net.Listener{first, second} {
			r := fetch("http://" + l.Addr().String())
			require.NoError(t, r.err)
			require.Equal(t, "done", r.body)
		}
	}
}

// lateListener accepts its only connection just after it was closed, as happens when
// a drain begins while a connection is being accepted.
type lateListener struct {
	closed chan struct{}
	once   sync.Once
	conn   chan net.Conn
}

func (l *lateListener) Accept() (net.Conn, error) {
	<-l.closed
	select {
	case c := <-l.conn:
		return c, nil
	default:
		return nil, net.ErrClosed
	}
}

func (l *lateListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *lateListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func TestConnectionAcceptedWhileTheDrainBeginsIsServed(t *testing.T) {
	t.Parallel()
	for i := range 50 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			ours, theirs := net.Pipe()
			l := &lateListener{closed: make(chan struct{}), conn: make(chan net.Conn, 1)}
			l.conn <- theirs
			s := newSite(t, ServerOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })}, l)
			s.stop()
			_ = ours.SetDeadline(time.Now().Add(patience))
			_, err := io.WriteString(ours, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			require.NoError(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(ours), nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, resp.StatusCode)
			s.wait()
		})
	}
}

func TestIdleConnectionMayAskOnceMoreDuringADrain(t *testing.T) {
	t.Parallel()
	g := newGatekeeper()
	close(g.open)
	s := newSite(t, ServerOptions{Handler: g, Keepalive: patience})
	c := dialRaw(t, s.url)
	require.False(t, c.ask(t).Close)
	s.stop()
	require.Eventually(t, func() bool { return fetch(s.url).err != nil }, patience, look)
	resp := c.ask(t)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.True(t, resp.Close)
	s.wait()
}

func TestIdleConnectionsEndWithTheKeepaliveTime(t *testing.T) {
	t.Parallel()
	g := newGatekeeper()
	close(g.open)
	s := newSite(t, ServerOptions{Handler: g, Keepalive: 300 * time.Millisecond})
	c := dialRaw(t, s.url)
	c.ask(t)
	began := time.Now()
	_, err := c.in.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	require.Greater(t, time.Since(began), 200*time.Millisecond)
	c = dialRaw(t, s.url)
	c.ask(t)
	s.stop()
	s.wait() // without its client's help
}

func TestGraceEndsADrain(t *testing.T) {
	t.Parallel()
	g := newGatekeeper()
	s := newSite(t, ServerOptions{Handler: g, Grace: 200 * time.Millisecond})
	answer := s.get("/")
	received(t, g.entered, "the request")
	s.stop()
	require.Error(t, received(t, answer, "its end").err)
	s.wait()
}

func TestDrainWaitsForLongLivedConnections(t *testing.T) {
	t.Parallel()
	left, asked := make(chan struct{}), make(chan struct{})
	s := newSite(t, ServerOptions{Handler: http.NotFoundHandler(), Leave: func(ctx context.Context) {
		close(asked)
		select {
		case <-left:
		case <-ctx.Done():
		}
	}})
	s.stop()
	received(t, asked, "the hint to move")
	select {
	case <-s.ended:
		t.Fatal("the drain did not wait")
	case <-time.After(100 * time.Millisecond):
	}
	close(left)
	s.wait()
}

func TestRecycleIsAskedForOnce(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s := newSite(t, ServerOptions{Handler: http.NotFoundHandler(), MaxRequests: 3, Recycle: func() { asked.Add(1) }})
	for range 2 {
		fetch(s.url)
	}
	require.Zero(t, asked.Load())
	for range 8 {
		fetch(s.url)
	}
	require.Equal(t, int64(1), asked.Load())
	require.Equal(t, uint64(10), s.server.Counts().Requests)
}

func TestOversizedHeaderIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, ServerOptions{Handler: http.NotFoundHandler()})
	c := dialRaw(t, s.url)
	go func() {
		_, _ = fmt.Fprintf(c.conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Big: %s\r\n\r\n", strings.Repeat("a", maxHeaderBytes*2))
	}()
	resp, err := http.ReadResponse(c.in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
	require.True(t, resp.Close)
}

func TestListenerThatFailsEndsTheServer(t *testing.T) {
	t.Parallel()
	l := listen(t)
	s := NewServer(ServerOptions{Handler: http.NotFoundHandler(), Listeners: []net.Listener{l}, Log: slog.New(slog.DiscardHandler), Keepalive: time.Second, Grace: time.Second, Connections: 10})
	require.NoError(t, l.Close())
	require.ErrorContains(t, s.Run(t.Context(), func() {}), "serve "+l.Addr().String())
}

// raw is a connection of which every byte is seen.
type raw struct {
	conn net.Conn
	in   *bufio.Reader
}

func dialRaw(t *testing.T, url string) *raw {
	t.Helper()
	c, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return &raw{conn: c, in: bufio.NewReader(c)}
}

func (r *raw) ask(t *testing.T) *http.Response {
	t.Helper()
	_, err := io.WriteString(r.conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(r.in, nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	return resp
}

func TestClosingWriterKeepsWhatTheConnectionCanDo(t *testing.T) {
	t.Parallel()
	var draining atomic.Bool
	draining.Store(true)
	rec := httptest.NewRecorder()
	w := &closingWriter{ResponseWriter: rec, control: http.NewResponseController(rec), draining: &draining}
	w.WriteHeader(http.StatusEarlyHints)
	require.Empty(t, w.Header().Get("Connection"), "not with a provisional answer")
	require.NoError(t, http.NewResponseController(w).Flush())
	require.ErrorIs(t, http.NewResponseController(w).SetReadDeadline(time.Now()), http.ErrNotSupported)

	rec = httptest.NewRecorder()
	w = &closingWriter{ResponseWriter: rec, control: http.NewResponseController(rec), draining: &draining}
	_, err := io.WriteString(w, "x")
	require.NoError(t, err)
	require.Equal(t, "close", w.Header().Get("Connection"))
}

// endless writes until the client is gone, and says what it was told.
func endless(ended chan<- error) http.Handler {
	block := make([]byte, 32<<10)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(block); err != nil {
				ended <- err
				return
			}
		}
	})
}

// A client that reads nothing must not hold a thread for ever.
func TestClientThatReadsNothingIsCutOff(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	s := newStallingSite(t, ServerOptions{Handler: endless(ended), Threads: 1}, 300*time.Millisecond)
	c := dialRaw(t, s.url)
	_, err := io.WriteString(c.conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	require.ErrorIs(t, received(t, ended, "the end of the answer"), os.ErrDeadlineExceeded)
}

// One that is slow, but reads, may take as long as it likes; so may one that is told
// something now and then.
func TestSlowClientsAndSlowAnswersAreNotCutOff(t *testing.T) {
	t.Parallel()
	const stall = 300 * time.Millisecond
	next := make(chan struct{})
	s := newStallingSite(t, ServerOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		for range 3 {
			select {
			case <-next:
			case <-r.Context().Done():
			}
			_, _ = io.WriteString(w, "word\n")
			_ = http.NewResponseController(w).Flush()
		}
		<-next // says nothing more before it ends
	}), Keepalive: patience}, stall)
	c := dialRaw(t, s.url)
	for range 2 { // on the same connection
		_, err := io.WriteString(c.conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		resp, err := http.ReadResponse(c.in, nil)
		require.NoError(t, err)
		for range 4 {
			pause(2 * stall)
			next <- struct{}{}
		}
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "word\nword\nword\n", string(raw))
		pause(2 * stall)
	}
}

func TestTakenConnectionHasNoDeadlineOfOurs(t *testing.T) {
	t.Parallel()
	const stall = 200 * time.Millisecond
	taken := make(chan net.Conn, 1)
	s := newStallingSite(t, ServerOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			taken <- c
		}
	})}, stall)
	c := dialRaw(t, s.url)
	_, err := io.WriteString(c.conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	conn := received(t, taken, "the connection")
	defer func() { _ = conn.Close() }()
	pause(2 * stall)
	_, err = io.WriteString(conn, "hello\n")
	require.NoError(t, err)
	line, err := c.in.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "hello\n", line)
}
