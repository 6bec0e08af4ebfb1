package peers

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/serving"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func signerAt(t *testing.T, secret string, now func() time.Time) *Signer {
	t.Helper()
	s, err := NewSigner([]byte(secret), now)
	require.NoError(t, err)
	return s
}

// relay is a replica's internal listener before one worker.
func relay(t *testing.T, signer *Signer, own string, worker http.Handler) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "peers-") //nolint:usetesting // the path of a socket must be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	if own != "" {
		ln, err := net.Listen("unix", filepath.Join(dir, own))
		require.NoError(t, err)
		private := &httptest.Server{Listener: ln, Config: &http.Server{Handler: worker, ReadHeaderTimeout: patience}}
		private.Start()
		t.Cleanup(private.Close)
	}
	mux := http.NewServeMux()
	mux.Handle(RelayPattern, &Inbound{Signer: signer, Log: quiet(), Paths: []string{"/sessions/"}, Deliver: ToPrivate(dir, patience)})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestOnlyAFreshProofOfTheSameSecretIsTaken(t *testing.T) {
	t.Parallel()
	now := time.Now()
	clock := func() time.Time { return now }
	own := serving.NewName()
	address := relay(t, signerAt(t, "secret", clock), own, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "served "+r.URL.Path+"?"+r.URL.RawQuery+r.Header.Get(headerMAC)) // the proof does not travel on
	}))
	ask := func(method, path string, prepare func(r *http.Request)) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/relay/"+path, nil)
		require.NoError(t, err)
		prepare(r)
		transport := &http.Transport{DisableKeepAlives: true}
		res, err := transport.RoundTrip(r)
		require.NoError(t, err)
		raw, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode, string(raw)
	}
	by := func(s *Signer) func(*http.Request) { return s.sign }
	good := signerAt(t, "secret", clock)

	status, body := ask(http.MethodGet, own+"/sessions/?a=1", by(good))
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "served /sessions/?a=1", body)
	for what, prepare := range map[string]func(*http.Request){
		"no proof":        func(*http.Request) {},
		"another secret":  by(signerAt(t, "other", clock)),
		"an old date":     by(signerAt(t, "secret", func() time.Time { return now.Add(-ReplayWindow - 2*time.Second) })),
		"a future date":   by(signerAt(t, "secret", func() time.Time { return now.Add(ReplayWindow + 2*time.Second) })),
		"a changed query": func(r *http.Request) { good.sign(r); r.URL.RawQuery = "a=2" },
		"a changed path":  func(r *http.Request) { good.sign(r); r.URL.Path += "x" },
		"a changed method": func(r *http.Request) {
			good.sign(r)
			r.Method = http.MethodPost
		},
		"a changed date": func(r *http.Request) { good.sign(r); r.Header.Set(headerDate, "1") },
		"a changed hop":  func(r *http.Request) { good.sign(r); r.Header.Set(headerHop, "2") },
	} {
		status, _ := ask(http.MethodGet, own+"/sessions/?a=1", prepare)
		require.Equal(t, http.StatusUnauthorized, status, what)
	}
	status, _ = ask(http.MethodGet, own+"/sessions/", func(r *http.Request) { // a proof of a second hop
		date := "0"
		r.Header.Set(headerDate, date)
		good.sign(r)
		date = r.Header.Get(headerDate)
		r.Header.Set(headerHop, "2")
		r.Header.Set(headerMAC, good.mac(r, date, "2"))
	})
	require.Equal(t, http.StatusLoopDetected, status)
	for _, path := range []string{serving.NewName() + "/sessions/", "short/sessions/", own + "/debug/pprof/cmdline", own + "/metrics"} {
		status, _ = ask(http.MethodGet, path, by(good))
		require.Equal(t, http.StatusNotFound, status, path)
	}
}

// registered is a router that knows one other worker.
func registered(t *testing.T, other Worker) *Router {
	t.Helper()
	registry := NewRegistry(nil, Worker{Name: serving.NewName()}, quiet())
	registry.known.Store(&map[string]Worker{other.Name: other})
	r := NewRouter(Options{
		Own: registry.self.Name, Hostname: "here", Registry: registry, Signer: signerAt(t, "secret", time.Now), Sessions: "/sessions/", Patience: patience,
	})
	t.Cleanup(r.Close)
	return r
}

func forward(t *testing.T, r *Router, req *http.Request, sid string) (bool, *httptest.ResponseRecorder) {
	t.Helper()
	w := httptest.NewRecorder()
	return r.Forward(w, req, sid), w
}

func request(t *testing.T) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/socket.io/?EIO=4&sid=x", nil)
	r.Header.Set("Origin", "https://studio.example.com")
	return r
}

func TestAForeignSessionIsServedByItsOwner(t *testing.T) {
	t.Parallel()
	var again atomic.Bool
	other := Worker{Name: serving.NewName(), Hostname: "here"}
	worker := Arrived(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere := registered(t, Worker{Name: serving.NewName(), Hostname: "here", Address: "127.0.0.1:1"})
		again.Store(elsewhere.Forward(w, r, serving.NewName()+".x")) // what has arrived goes no further
		_, _ = io.WriteString(w, r.Host+" "+r.URL.RequestURI()+" "+r.Header.Get("Origin"))
	}))
	other.Address = relay(t, signerAt(t, "secret", time.Now), other.Name, worker)
	r := registered(t, other)
	ok, w := forward(t, r, request(t), other.Name+".abc")
	require.True(t, ok)
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "example.com /sessions/?EIO=4&sid=x ", w.Body.String())
	require.Empty(t, w.Header().Get(headerOwner))
	require.False(t, again.Load())

	for _, sid := range []string{"", "abc", r.Own() + ".abc", "../../etc.x", strings.ToLower(other.Name) + ".abc"} {
		ok, _ = forward(t, r, request(t), sid)
		require.False(t, ok, sid)
	}
}

func TestWhoeverIsNotTheOwnerMakesTheSessionUnknown(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	gone := ln.Addr().String()
	require.NoError(t, ln.Close())
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	t.Cleanup(stranger.Close)
	noHandler := http.NotFoundHandler()
	for what, address := range map[string]string{
		"nobody":            gone,
		"a stranger":        stranger.Listener.Addr().String(),
		"another secret":    relay(t, signerAt(t, "other", time.Now), "", noHandler),
		"another's replica": relay(t, signerAt(t, "secret", time.Now), serving.NewName(), noHandler),
	} {
		other := Worker{Name: serving.NewName(), Hostname: "here", Address: address}
		ok, w := forward(t, registered(t, other), request(t), other.Name+".abc")
		require.True(t, ok, what)
		require.Equal(t, http.StatusBadRequest, w.Code, what)
		require.JSONEq(t, `{"code":1,"message":"Session ID unknown"}`, w.Body.String(), what)
	}
	for what, other := range map[string]Worker{
		"no address":                      {},
		"a loopback address of elsewhere": {Address: "127.0.0.1:9091", Hostname: "there"},
		"long silent":                     {Address: gone, Hostname: "here", Silent: time.Minute},
	} {
		other.Name = serving.NewName()
		ok, _ := forward(t, registered(t, other), request(t), other.Name+".abc")
		require.False(t, ok, what)
	}
}

func TestAKilledNeighboursSessionIsUnknownAtOnce(t *testing.T) {
	t.Parallel()
	dir, own, killed := t.TempDir(), serving.NewName(), serving.NewName()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(dir, killed)})
	require.NoError(t, err)
	ln.SetUnlinkOnClose(false) // what is killed leaves its socket behind
	require.NoError(t, ln.Close())
	r := NewRouter(Options{Own: own, RunDir: dir, Sessions: "/sessions/", Patience: patience})
	ok, w := forward(t, r, request(t), killed+".x")
	require.True(t, ok)
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.JSONEq(t, `{"code":1,"message":"Session ID unknown"}`, w.Body.String())
	for _, sid := range []string{own + ".X", "X", "../../etc." + killed, serving.NewName() + ".X"} {
		ok, _ := forward(t, r, request(t), sid)
		require.False(t, ok, "%s is no session of a worker that is here", sid)
	}
}

// register runs a registry until end is called.
func register(t *testing.T, r *Registry) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- r.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatal("not ready")
	}
	return func() {
		cancel()
		require.NoError(t, <-done)
	}
}

func TestWorkersFindEachOther(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	newRegistry := func(name string) *Registry {
		return NewRegistry(db, Worker{Name: name, Hostname: "box", PID: 7, Version: "v", Address: "10.0.0.1:9091"}, quiet())
	}
	first := newRegistry("AAAAAAAAAAAA")
	defer register(t, first)()
	second := newRegistry("BBBBBBBBBBBB")
	endSecond := register(t, second)

	w, ok := first.Find(t.Context(), "BBBBBBBBBBBB")
	require.True(t, ok, "one that is younger than the list is looked up")
	require.Equal(t, "10.0.0.1:9091", w.Address)
	require.Equal(t, "box", w.Hostname)
	require.Len(t, first.List(), 2)
	_, ok = first.Find(t.Context(), "CCCCCCCCCCCC")
	require.False(t, ok)

	endSecond()
	require.Eventually(t, func() bool {
		_, ok := first.Find(t.Context(), "BBBBBBBBBBBB")
		return !ok
	}, patience, 50*time.Millisecond, "one that has ended is not on the list")

	_, err := db.Exec(t.Context(), `INSERT INTO web_worker (name, hostname, pid, version, address, beat_at)
		VALUES ('DDDDDDDDDDDD', 'box', 1, 'v', 'x:1', now() - interval '20 seconds'), ('EEEEEEEEEEEE', 'box', 1, 'v', 'x:1', now() - interval '2 hours')`)
	require.NoError(t, err)
	_, ok = first.Find(t.Context(), "DDDDDDDDDDDD")
	require.False(t, ok, "one that is silent is thought dead")
	require.Len(t, first.List(), 2, "but listed for a minute")
	register(t, newRegistry("FFFFFFFFFFFF"))()
	var left int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM web_worker WHERE name = 'EEEEEEEEEEEE'`).Scan(&left))
	require.Zero(t, left, "rows of the dead do not stay")
}

func TestAskTellsWhyAWorkerIsMute(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	defer close(hang)
	other := Worker{Name: serving.NewName(), Hostname: "here"}
	other.Address = relay(t, signerAt(t, "secret", time.Now), other.Name, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	r := registered(t, other)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, _, err := r.Ask(ctx, other, http.MethodGet, "/sessions/", nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	other.Silent = time.Minute
	_, _, err = r.Ask(t.Context(), other, http.MethodGet, "/sessions/", nil)
	require.ErrorContains(t, err, "silent for 1m0s")
	_, _, err = r.Ask(t.Context(), Worker{Name: other.Name}, http.MethodGet, "/sessions/", nil)
	require.ErrorIs(t, err, errNoAddress)
	require.Len(t, r.Others(), 1)
}

func TestOnlyTheCertainlyDeadLeaveTheListBeforeTheirTime(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	signer := signerAt(t, "secret", time.Now)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refusing := ln.Addr().String()
	require.NoError(t, ln.Close())
	frozen, hang := serving.NewName(), make(chan struct{})
	defer close(hang)
	asked := make(chan struct{}, 100)
	full := relay(t, signer, frozen, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	stranger := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	const insert = `INSERT INTO web_worker (name, hostname, pid, version, address, beat_at) VALUES ($1, $2, 1, 'v', $3, now() - interval '20 seconds')`
	add := func(name, hostname, address string) string {
		_, err := db.Exec(t.Context(), insert, name, hostname, address)
		require.NoError(t, err)
		return name
	}
	dead := []string{add(serving.NewName(), "here", refusing), add(serving.NewName(), "here", full)}
	stay := []string{
		add(frozen, "here", full), add(serving.NewName(), "here", stranger.Listener.Addr().String()), add(serving.NewName(), "here", ""),
		add(serving.NewName(), "there", refusing), // somebody else's loopback address tells nothing
	}
	registry := NewRegistry(db, Worker{Name: serving.NewName()}, quiet())
	r := NewRouter(Options{Own: registry.self.Name, Hostname: "here", Registry: registry, Signer: signer, Sessions: "/sessions/", Patience: patience})
	t.Cleanup(r.Close)
	defer register(t, registry)()
	left := func(names []string) (n int) {
		require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM web_worker WHERE name = ANY($1)`, names).Scan(&n))
		return n
	}
	require.Eventually(t, func() bool { return left(dead) == 0 }, patience, 50*time.Millisecond)
	<-asked // the frozen one was not left out
	require.Equal(t, len(stay), left(stay))
}

func TestARequestForAWorkerThatFallsSilentIsLetGo(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	other := Worker{Name: serving.NewName(), Hostname: "here"}
	other.Address = relay(t, signerAt(t, "secret", time.Now), other.Name, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}))
	r := registered(t, other)
	answer := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		w := httptest.NewRecorder()
		r.Forward(w, request(t), other.Name+".abc")
		answer <- w
	}()
	<-arrived
	other.Silent = deadAfter + time.Second
	r.o.Registry.learn(map[string]Worker{other.Name: other})
	w := <-answer
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.JSONEq(t, `{"code":1,"message":"Session ID unknown"}`, w.Body.String())
	require.Empty(t, r.o.Registry.tied)
}

// TestAWorkerWhoseEntryIsLateKeepsItsConnectionsWhileItAnswers: the database is busy, the worker is not. It is
// asked, and only when it does not answer any more its connections end.
func TestAWorkerWhoseEntryIsLateKeepsItsConnectionsWhileItAnswers(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	arrived, frozen := make(chan struct{}, 1), make(chan struct{})
	other := Worker{Name: serving.NewName(), Hostname: "here"}
	other.Address = relay(t, signerAt(t, "secret", time.Now), other.Name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("sid") == "" {
			select {
			case <-frozen:
				<-r.Context().Done()
			default:
				http.Error(w, "which session?", http.StatusBadRequest)
			}
			return
		}
		arrived <- struct{}{}
		<-r.Context().Done()
	}))
	_, err := db.Exec(t.Context(), `INSERT INTO web_worker (name, hostname, pid, version, address, beat_at) VALUES ($1, 'here', 1, 'v', $2, now() - interval '6 seconds')`,
		other.Name, other.Address)
	require.NoError(t, err)
	registry := NewRegistry(db, Worker{Name: serving.NewName()}, quiet())
	r := NewRouter(Options{
		Own: registry.self.Name, Hostname: "here", Registry: registry, Signer: signerAt(t, "secret", time.Now), Sessions: "/sessions/", Patience: patience,
	})
	t.Cleanup(r.Close)
	defer register(t, registry)()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		req := request(t)
		req.URL.RawQuery = "sid=x"
		r.Forward(httptest.NewRecorder(), req, other.Name+".abc")
	}()
	<-arrived
	silent := func(more time.Duration) bool {
		w := (*registry.known.Load())[other.Name]
		return w.Silent > deadAfter+more
	}
	require.Eventually(t, func() bool { return silent(beatEvery) }, patience, 50*time.Millisecond)
	select {
	case <-ended:
		require.Fail(t, "a connection ended although its worker answers")
	default:
	}
	_, ok := registry.Find(t.Context(), other.Name)
	require.True(t, ok, "and it gets new ones")
	close(frozen)
	select {
	case <-ended:
	case <-time.After(patience):
		require.Fail(t, "a connection to a frozen worker does not end")
	}
	_, ok = registry.Find(t.Context(), other.Name)
	require.False(t, ok)
}

func TestASilentNeighbourGetsNoRequests(t *testing.T) {
	t.Parallel()
	dir, frozen := t.TempDir(), serving.NewName()
	ln, err := net.Listen("unix", filepath.Join(dir, frozen)) // accepts, and says nothing
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	r := registered(t, Worker{Name: frozen, Hostname: "here", Silent: deadAfter + time.Second})
	r.o.RunDir = dir
	ok, _ := forward(t, r, request(t), frozen+".x")
	require.False(t, ok)
}

func TestAWebSocketToAWorkerThatFallsSilentEnds(t *testing.T) {
	t.Parallel()
	other := Worker{Name: serving.NewName(), Hostname: "here"}
	other.Address = relay(t, signerAt(t, "secret", time.Now), other.Name, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
	}))
	r := registered(t, other)
	entry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.Forward(w, req, other.Name+".abc")
	}))
	t.Cleanup(entry.Close)
	conn, err := net.Dial("tcp", entry.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET /api/socket.io/?sid=x HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	read := bufio.NewReader(conn)
	answer, err := http.ReadResponse(read, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, answer.StatusCode)
	said := make([]byte, len("hello"))
	_, err = io.ReadFull(read, said)
	require.NoError(t, err)
	require.Equal(t, "hello", string(said))
	other.Silent = deadAfter + time.Second
	r.o.Registry.learn(map[string]Worker{other.Name: other})
	_, err = read.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}
