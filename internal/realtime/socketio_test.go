package realtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus/bustest"
	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/socketio"
)

// socket is a connection as the program makes it.
type socket struct{ *socketio.Socket }

func (s socket) Send(f realtime.Frame) error {
	message, ok := f.(*socketio.Message)
	if !ok {
		return errors.New("foreign frame")
	}
	return s.Socket.Send(message)
}

func (s socket) Close(reason string) { s.Drop(reason) }

func namespace(hub *realtime.Hub) socketio.Handler {
	var sessions sync.Map
	session := func(s *socketio.Socket) *realtime.Session {
		v, _ := sessions.Load(s)
		found, _ := v.(*realtime.Session)
		return found
	}
	return socketio.Handler{
		Connect: func(s *socketio.Socket) {
			attached, err := hub.Attach(socket{s}, "somebody", s.Transport())
			if err != nil {
				s.Drop("not attached")
				return
			}
			sessions.Store(s, attached)
		},
		Event: func(s *socketio.Socket, name string, args []json.RawMessage, ack func(...any)) {
			session(s).Event(name, args, func(answer any) { ack(answer) })
		},
		Disconnect: func(s *socketio.Socket, _ string) { session(s).Detach() },
	}
}

// wire is a Socket.IO client by hand.
type wire struct {
	t    *testing.T
	conn io.ReadWriter
}

func dialWire(t *testing.T, url string) *wire {
	t.Helper()
	conn, early, _, err := ws.Dial(t.Context(), strings.Replace(url, "http", "ws", 1)+"/api/socket.io/?EIO=4&transport=websocket")
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(bustest.Patience)))
	t.Cleanup(func() { _ = conn.Close() })
	w := &wire{t: t, conn: conn}
	if early != nil { // what came along with the handshake
		w.conn = struct {
			io.Reader
			io.Writer
		}{io.MultiReader(early, conn), conn}
	}
	require.True(t, strings.HasPrefix(w.read(), "0{"))
	return w
}

func (w *wire) read() string {
	w.t.Helper()
	for {
		data, err := wsutil.ReadServerText(w.conn)
		require.NoError(w.t, err)
		if string(data) != "2" {
			return string(data)
		}
		w.write("3") // heartbeat
	}
}

func (w *wire) write(text string) {
	w.t.Helper()
	require.NoError(w.t, wsutil.WriteClientText(w.conn, []byte(text)))
}

// event reads an event of the namespace.
func (w *wire) event() (name string, arg json.RawMessage) {
	w.t.Helper()
	text := w.read()
	body, ok := strings.CutPrefix(text, "42/rt,")
	require.True(w.t, ok, text)
	var parts []json.RawMessage
	require.NoError(w.t, json.Unmarshal([]byte(body), &parts))
	require.Len(w.t, parts, 2)
	require.NoError(w.t, json.Unmarshal(parts[0], &name))
	return name, parts[1]
}

func serveSocketIO(t *testing.T, change func(*realtime.Options)) (*bundle, *socketio.Server, string) {
	t.Helper()
	b := setup(t, func(o *realtime.Options) {
		o.Encode = func(name string, args ...json.RawMessage) (realtime.Frame, error) {
			return socketio.NewMessage(realtime.Namespace, name, args...)
		}
		if change != nil {
			change(o)
		}
	})
	server, err := socketio.New(socketio.Options{QueueFrames: realtime.QueueFrames, QueueBytes: realtime.QueueBytes})
	require.NoError(t, err)
	server.Namespace(realtime.Namespace, namespace(b.hub))
	mux := http.NewServeMux()
	server.Mount(mux, "/api/socket.io")
	web := httptest.NewServer(mux)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), bustest.Patience)
		defer cancel()
		if err := server.Shutdown(ctx); !errors.Is(err, socketio.ErrServerClosed) {
			require.NoError(t, err)
		}
		web.Close()
	})
	return b, server, web.URL
}

func (w *wire) connect() {
	w.t.Helper()
	w.write(`40/rt,`)
	require.Regexp(w.t, `^40/rt,\{"sid":`, w.read())
	name, arg := w.event()
	require.Equal(w.t, "rt.connected", name)
	require.Contains(w.t, string(arg), `"transport":"websocket"`)
}

func TestSocketIOAnswersThenReplaysThenLive(t *testing.T) {
	t.Parallel()
	b, _, url := serveSocketIO(t, nil)
	b.commit(t, "task:1", "task:1")
	w := dialWire(t, url)
	w.connect()
	w.write(`42/rt,7["rt.subscribe",{"rooms":["task:1"],"after":{"task:1":0}}]`)
	body, ok := strings.CutPrefix(w.read(), `43/rt,7[`)
	require.True(t, ok)
	var a answer
	require.NoError(t, json.Unmarshal([]byte(strings.TrimSuffix(body, "]")), &a))
	require.True(t, a.OK)
	for sequence := int64(1); sequence <= 3; {
		name, arg := w.event()
		if name == "rt.position" {
			b.commit(t, "task:1") // live
			continue
		}
		require.Equal(t, "flowchart:run:updated", name)
		require.Equal(t, sequence, item{arg: arg}.envelope(t).Sequence)
		sequence++
	}
	w.write(`42/rt,8["rt.health",{"x":[1]}]`)
	require.Contains(t, w.read(), `"echo":{"x":[1]}`)
}

func TestSocketIOReplayFitsTheQueue(t *testing.T) {
	t.Parallel()
	b, _, url := serveSocketIO(t, nil)
	streams := make([]string, 5000)
	for i := range streams {
		streams[i] = "task:1"
	}
	b.commit(t, streams...)
	require.Eventually(t, func() bool { return b.hub.Status().Processed == 5000 }, bustest.Patience, time.Millisecond)
	w := dialWire(t, url)
	w.connect()
	w.write(`42/rt,7["rt.subscribe",{"rooms":["task:1"],"after":{"task:1":0}}]`)
	require.Contains(t, w.read(), `"resync":[]`)
	for sequence := int64(1); sequence <= 5000; sequence++ {
		_, arg := w.event()
		require.Equal(t, sequence, item{arg: arg}.envelope(t).Sequence)
	}
}

func TestSocketIOGoesAndComes(t *testing.T) {
	t.Parallel()
	b, server, url := serveSocketIO(t, nil)
	w := dialWire(t, url)
	w.connect()
	w.write(`41/rt,`)
	require.Eventually(t, func() bool { return b.hub.Status().Connections == 0 }, bustest.Patience, time.Millisecond)

	last := dialWire(t, url)
	last.connect()
	require.Eventually(t, func() bool { return b.hub.Status().Connections == 1 }, bustest.Patience, time.Millisecond)
	b.end()
	name, arg := last.event()
	require.Equal(t, "rt.closing", name)
	require.JSONEq(t, `{"reason":"shutdown","reconnect":true}`, string(arg))
	require.NoError(t, server.Shutdown(t.Context()))
}
