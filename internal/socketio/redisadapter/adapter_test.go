package redisadapter_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/socketio"
	"github.com/llmctl/studio/internal/socketio/redisadapter"
	"github.com/llmctl/studio/internal/testkit/redistest"
)

const patience = 10 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a server with clients, whose sockets come out of connected.
type rig struct {
	server    *socketio.Server
	url       string
	connected chan *socketio.Socket
	ended     chan string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{connected: make(chan *socketio.Socket, 100), ended: make(chan string, 100)}
	var err error
	r.server, err = socketio.New(socketio.Options{})
	require.NoError(t, err)
	r.server.Namespace("/rt", socketio.Handler{
		Connect:    func(s *socketio.Socket) { r.connected <- s },
		Disconnect: func(_ *socketio.Socket, reason string) { r.ended <- reason },
	})
	mux := http.NewServeMux()
	r.server.Mount(mux, "/socket.io")
	web := httptest.NewServer(mux)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, r.server.Shutdown(ctx))
		web.Close()
	})
	r.url = strings.Replace(web.URL, "http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
	return r
}

// client is a raw client that gives what it gets.
type client struct {
	socket *socketio.Socket
	got    chan string
	write  func(text string)
}

func (r *rig) connect(t *testing.T, rooms ...string) *client {
	t.Helper()
	conn, _, _, err := ws.Dial(t.Context(), r.url)
	require.NoError(t, err)
	c := &client{got: make(chan string, 1000)}
	c.write = func(text string) { require.NoError(t, wsutil.WriteClientText(conn, []byte(text))) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			raw, op, err := wsutil.ReadServerData(conn)
			if err != nil {
				return
			}
			if op == ws.OpText && (raw[0] != '4' || raw[1] == '0') {
				continue // not an event
			}
			c.got <- string(raw)
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	c.write("40/rt,")
	c.socket = receive(t, r.connected)
	if len(rooms) > 0 {
		require.NoError(t, c.socket.Join(rooms...))
	}
	return c
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

func options(c *redis.Client) redisadapter.Options {
	return redisadapter.Options{
		Namespace: "/rt", Node: func(context.Context, int) (redis.UniversalClient, error) { return c, nil },
		Timeout: 300 * time.Millisecond, PingEvery: 50 * time.Millisecond, Backoff: 10 * time.Millisecond,
	}
}

func connectTo(t *testing.T, s *redistest.Server) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{
		Addr: s.Addr(), MaxRetries: -1, DialerRetries: 1, PipelinePoolSize: -1, ContextTimeoutEnabled: true,
		DialTimeout: 300 * time.Millisecond, ReadTimeout: 300 * time.Millisecond, WriteTimeout: 300 * time.Millisecond,
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func run(t *testing.T, service interface {
	Run(ctx context.Context, ready func()) error
},
) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- service.Run(ctx, func() { close(ready) }) }()
	receive(t, ready)
	t.Cleanup(func() {
		cancel()
		require.NoError(t, receive(t, done))
	})
}

func startAdapter(t *testing.T, r *rig, o redisadapter.Options) *redisadapter.Adapter {
	t.Helper()
	a, err := redisadapter.NewAdapter(r.server, o)
	require.NoError(t, err)
	run(t, a)
	return a
}

func event(name string, args ...string) redisadapter.Event {
	e := redisadapter.Event{Name: name}
	for _, a := range args {
		e.Args = append(e.Args, json.RawMessage(a))
	}
	return e
}

func TestTwoServersShareBroadcasts(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := connectTo(t, s)
	one, two := newRig(t), newRig(t)
	a := startAdapter(t, one, options(c))
	startAdapter(t, two, options(c))
	here, there := one.connect(t, "x"), two.connect(t, "x")
	other := two.connect(t)
	require.NoError(t, a.Broadcast(event("e", `{"n":1.0}`), socketio.Audience{Rooms: []string{"x"}}, false))
	require.Equal(t, `42/rt,["e",{"n":1.0}]`, receive(t, here.got))
	require.Equal(t, `42/rt,["e",{"n":1}]`, receive(t, there.got))
	require.NoError(t, a.Broadcast(event("all"), socketio.Audience{}, false))
	for _, one := range []*client{here, there, other} {
		require.Equal(t, `42/rt,["all"]`, receive(t, one.got))
	}
	require.Error(t, a.Broadcast(event("connect"), socketio.Audience{}, false), "a reserved name")
}

func TestAGroupDoesNotHearItself(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := connectTo(t, s)
	r, o := newRig(t), options(c)
	o.Group = "ours"
	a := startAdapter(t, r, o)
	member, err := redisadapter.NewEmitter(o)
	require.NoError(t, err)
	run(t, member)
	stranger, err := redisadapter.NewEmitter(options(c))
	require.NoError(t, err)
	run(t, stranger)
	got := r.connect(t).got
	member.Emit(event("member"), socketio.Audience{}, false)
	require.Eventually(t, func() bool { return a.Status().Ignored == 1 }, patience, time.Millisecond)
	stranger.Emit(event("stranger"), socketio.Audience{}, false)
	require.Equal(t, `42/rt,["stranger"]`, receive(t, got))
}

func TestRequestsAreAnswered(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := connectTo(t, s)
	r := newRig(t)
	a := startAdapter(t, r, options(c))
	x := r.connect(t, "x")
	sub := c.Subscribe(t.Context(), "socket.io-response#/rt#")
	t.Cleanup(func() { _ = sub.Close() })
	_, err := sub.Receive(t.Context())
	require.NoError(t, err)
	ask := func(request string) string {
		require.NoError(t, c.Publish(t.Context(), "socket.io-request#/rt#", request).Err())
		got, err := sub.ReceiveTimeout(t.Context(), patience)
		require.NoError(t, err)
		return got.(*redis.Message).Payload
	}
	id := x.socket.ID()
	require.JSONEq(t, `{"requestId":"1","sockets":["`+id+`"]}`, ask(`{"uid":"n","requestId":"1","type":0,"rooms":["x"]}`))
	require.JSONEq(t, `{"requestId":"2","rooms":["`+id+`","x"]}`, ask(`{"uid":"n","requestId":"2","type":1}`))
	require.JSONEq(t, `{"requestId":"3"}`, ask(`{"uid":"n","requestId":"3","type":2,"sid":"`+id+`","room":"y"}`))
	require.Equal(t, []string{id, "x", "y"}, x.socket.Rooms())
	fetched := ask(`{"uid":"n","requestId":"4","type":5,"opts":{"rooms":[],"except":[]}}`)
	require.Contains(t, fetched, `"rooms":["`+id+`","x","y"]`)
	require.Contains(t, fetched, `"headers":{}`)
	require.NotContains(t, strings.ToLower(fetched), "upgrade", "the client's headers stay here")
	for _, bad := range []string{`{"type":2}`, `{"type":"x"}`, `{`, "\xc1", ""} {
		require.NoError(t, c.Publish(t.Context(), "socket.io-request#/rt#", bad).Err())
	}
	require.Eventually(t, func() bool { return a.Status().Undecodable == 5 }, patience, time.Millisecond)
	require.JSONEq(t, `{"requestId":"5"}`, ask(`{"requestId":"5","type":4,"sid":"`+id+`"}`))
	require.Equal(t, socketio.ReasonServerDisconnect, receive(t, r.ended))
}

func TestWhatIsNotForUsCostsNothing(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := connectTo(t, s)
	r, o := newRig(t), options(c)
	o.MaxMessage = 1000
	a := startAdapter(t, r, o)
	x := r.connect(t, "x")
	require.NoError(t, c.Publish(t.Context(), "socket.io#/rt#empty room#", "not even MessagePack").Err())
	require.NoError(t, c.Publish(t.Context(), "socket.io#/rt#x#", "not even MessagePack").Err())
	require.NoError(t, c.Publish(t.Context(), "socket.io#/rt#x#", strings.Repeat("x", 1001)).Err())
	e, err := redisadapter.NewEmitter(options(c))
	require.NoError(t, err)
	run(t, e)
	e.Emit(event("fine"), socketio.Audience{Rooms: []string{"x"}}, false)
	require.Equal(t, `42/rt,["fine"]`, receive(t, x.got))
	st := a.Status()
	require.Equal(t, []int64{4, 1, 1, 2}, []int64{st.Received, st.Ignored, st.Delivered, st.Undecodable})
}

func TestEmitterNeverWaits(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := options(connectTo(t, s))
	o.QueueMessages, o.QueueBytes = 3, 10_000
	e, err := redisadapter.NewEmitter(o)
	require.NoError(t, err)
	for range 10 { // nobody runs it
		e.Emit(event("e"), socketio.Audience{}, false)
	}
	require.Equal(t, int64(7), e.Status().Dropped)
	o.QueueMessages = 100
	e, err = redisadapter.NewEmitter(o)
	require.NoError(t, err)
	for range 10 {
		e.Emit(event("e", `"`+strings.Repeat("x", 3000)+`"`), socketio.Audience{}, false)
	}
	require.Equal(t, int64(7), e.Status().Dropped)
	s.Kill(t)
	run(t, e)
	require.Eventually(t, func() bool { return e.Status().Dropped == 10 && !e.Status().OK }, patience, time.Millisecond)
	s.Restart(t)
	require.Eventually(t, func() bool { return e.Status().OK }, patience, time.Millisecond, "by itself")
	e.Emit(event("e"), socketio.Audience{}, false)
	require.Eventually(t, func() bool { return e.Status().Published == 1 }, patience, time.Millisecond)
}

func TestAdapterComesBack(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(t *testing.T, s *redistest.Server) (undo func()){
		"killed": func(t *testing.T, s *redistest.Server) func() { t.Helper(); s.Kill(t); return func() { s.Restart(t) } },
		"frozen": func(t *testing.T, s *redistest.Server) func() { t.Helper(); s.Freeze(t); return func() { s.Thaw(t) } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			c := connectTo(t, s)
			r := newRig(t)
			a := startAdapter(t, r, options(c))
			got := r.connect(t).got
			undo := harm(t, s)
			require.Eventually(t, func() bool { return !a.Status().OK }, patience, time.Millisecond)
			require.Contains(t, a.Status().Reason, "not subscribed")
			undo()
			require.Eventually(t, func() bool { return a.Status().OK }, patience, time.Millisecond)
			e, err := redisadapter.NewEmitter(options(c))
			require.NoError(t, err)
			run(t, e)
			e.Emit(event("again"), socketio.Audience{}, false)
			require.Equal(t, `42/rt,["again"]`, receive(t, got))
			require.Positive(t, a.Status().Reconnects)
		})
	}
}

func TestPythonBridge(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := connectTo(t, s)
	r, o := newRig(t), options(c)
	o.Group = "ours"
	b, err := redisadapter.NewPythonBridge(r.server, "flask-socketio", o)
	require.NoError(t, err)
	run(t, b)
	x, y := r.connect(t, "x"), r.connect(t, "x", "y")
	publish := func(text string) {
		require.NoError(t, c.Publish(t.Context(), "flask-socketio", strings.ReplaceAll(text, "YID", y.socket.ID())).Err())
	}
	for _, tc := range []struct{ text, want string }{
		{`{"method":"emit","event":"e","data":[{"a":1}],"binary":false,"namespace":"/rt","room":"x","skip_sid":null,"callback":null,"host_id":"h"}`, `42/rt,["e",{"a":1}]`},
		{`{"method":"emit","event":"bare","data":"text","namespace":"/rt"}`, `42/rt,["bare","text"]`},
		{`{"method":"emit","event":"none","data":null,"namespace":"/rt","room":["x","y"]}`, `42/rt,["none"]`},
		{`{"method":"emit","event":"skip","data":[],"namespace":"/rt","skip_sid":"YID"}`, `42/rt,["skip"]`},
		{`{"method":"emit","event":"bin","binary":true,"namespace":"/rt","data":[[1,{"_placeholder":true,"num":0}],"AQI="],"room":"x"}`, `451-/rt,["bin",1,{"_placeholder":true,"num":0}]`},
	} {
		publish(tc.text)
		require.Equal(t, tc.want, receive(t, x.got))
		if !strings.Contains(tc.text, "YID") {
			require.Equal(t, tc.want, receive(t, y.got))
		}
	}
	require.Equal(t, "\x01\x02", receive(t, x.got))
	require.Equal(t, "\x01\x02", receive(t, y.got))
	for _, bad := range []string{
		"\x80\x04\x95\x0b\x00\x00\x00", // a pickle
		`{"method":"emit","event":"connect","namespace":"/rt"}`, `{"method":"emit","event":"x","binary":true,"namespace":"/rt","data":[[],"***"]}`,
		`{"method":"disconnect","namespace":"/rt"}`, `[]`,
	} {
		publish(bad)
	}
	for _, ignored := range []string{
		`{"method":"emit","event":"own","namespace":"/rt","host_id":"ours"}`, `{"method":"emit","event":"other"}`, `{"method":"callback","namespace":"/rt"}`,
	} {
		publish(ignored)
	}
	publish(`{"method":"disconnect","sid":"YID","namespace":"/rt","host_id":"h"}`)
	require.Equal(t, socketio.ReasonServerDisconnect, receive(t, r.ended))
	st := b.Status()
	require.Equal(t, []int64{5, 3, 1}, []int64{st.Undecodable, st.Ignored, st.Requests}, "%+v", st)
	require.Empty(t, x.got)
}
