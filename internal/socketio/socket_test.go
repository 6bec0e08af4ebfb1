package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// recorder is a handler that writes down what it is called with.
type recorder struct {
	connected    chan *Socket
	events       chan string
	disconnected chan string
}

func newRecorder() *recorder {
	return &recorder{
		connected: make(chan *Socket, 1024), events: make(chan string, 4096), disconnected: make(chan string, 1024),
	}
}

func (r *recorder) handler() Handler {
	return Handler{
		Connect: func(s *Socket) { r.connected <- s },
		Event: func(_ *Socket, name string, args []json.RawMessage, _ func(...any)) {
			r.events <- fmt.Sprintf("%s%s", name, args)
		},
		Disconnect: func(_ *Socket, reason string) { r.disconnected <- reason },
	}
}

func (r *recorder) mount(s *Server) { s.Namespace("/", r.handler()) }

func echoes(s *Server) {
	s.Namespace("/", echoHandler())
	s.Namespace("/custom", echoHandler())
}

func TestConnect(t *testing.T) {
	t.Parallel()
	_, url := serve(t, Options{}, echoes)
	for _, tc := range []struct{ name, prefix, payload, auth string }{
		{"main", "", "", `{}`},
		{"main with a payload", "", `{"token":"123"}`, `{"token":"123"}`},
		{"main, spelled out", "/,", "", `{}`},
		{"custom", "/custom,", "", `{}`},
		{"custom with a payload", "/custom,", `{"token":"abc"}`, `{"token":"abc"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p, _ := openWebSocket(t, url)
			p.send("40" + tc.prefix + tc.payload)
			answer := tc.prefix
			if answer == "/," {
				answer = ""
			}
			require.Regexp(t, `^40`+answer+`\{"sid":"[A-Z0-9]{26}"\}$`, p.text())
			require.Equal(t, "42"+answer+`["auth",`+tc.auth+`]`, p.text())
		})
	}
	t.Run("over polling", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		require.Equal(t, "ok", p.post("40").body)
		got := p.get().body
		if !strings.Contains(got, "\x1e") { // the two may come in one answer or in two
			got += "\x1e" + p.get().body
		}
		require.Regexp(t, `^40\{"sid":"[A-Z0-9]{26}"\}\x1e42\["auth",\{\}\]$`, got)
	})
	t.Run("unknown namespace", func(t *testing.T) {
		t.Parallel()
		p, _ := openWebSocket(t, url)
		p.send("40/random")
		require.Equal(t, `44/random,{"message":"Invalid namespace"}`, p.text())
		p.connectNamespace("") // and the session goes on
	})
	t.Run("one namespace twice", func(t *testing.T) {
		t.Parallel()
		p, _ := openWebSocket(t, url)
		p.connectNamespace("")
		p.text()
		p.send("40")
		require.Equal(t, ws.StatusProtocolError, p.closed())
	})
}

func TestMalformedPacketsEndTheSession(t *testing.T) {
	t.Parallel()
	_, url := serve(t, Options{}, echoes)
	for _, text := range []string{
		"4", "4abc", "42", "42{}", "42[]", "42[1]", `42["message"`, `42abc["message"]`, `42["connect"]`, `42/custom["message"]`,
		"43[1]", "43x[1]", "431{}", `44{"message":"x"}`, `45["message"]`, `45x-["message"]`, `4599-["message"]`,
		"40[1]", "401{}", `40{"a"`, "411", `41{}`, "47", `42/unknown,["message"]`, `421234567890123456789["message"]`,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			p, _ := openWebSocket(t, url)
			p.connectNamespace("")
			p.text()
			p.send(text)
			require.Contains(t, []ws.StatusCode{ws.StatusProtocolError, ws.StatusMessageTooBig}, p.closed())
		})
	}
	t.Run("binary without a packet", func(t *testing.T) {
		t.Parallel()
		p, _ := openWebSocket(t, url)
		p.connectNamespace("")
		p.text()
		p.sendBinary(1)
		require.Equal(t, ws.StatusProtocolError, p.closed())
	})
	t.Run("text instead of an attachment", func(t *testing.T) {
		t.Parallel()
		p, _ := openWebSocket(t, url)
		p.connectNamespace("")
		p.text()
		p.send(`451-["message",{"_placeholder":true,"num":0}]`, `42["message"]`)
		require.Equal(t, ws.StatusProtocolError, p.closed())
	})
	t.Run("before any namespace", func(t *testing.T) {
		t.Parallel()
		p, _ := openWebSocket(t, url)
		p.send(`42["message"]`)
		require.Equal(t, ws.StatusProtocolError, p.closed())
	})
}

func TestEventsAndAcknowledgements(t *testing.T) {
	t.Parallel()
	_, url := serve(t, Options{}, echoes)
	for _, tc := range []struct {
		name        string
		prefix      string
		send, want  string
		attachments [][]byte
	}{
		{"event", "", `42["message",1,"2",{"3":[true]}]`, `42["message-back",1,"2",{"3":[true]}]`, nil},
		{"event in a namespace", "/custom,", `42/custom,["message",1]`, `42/custom,["message-back",1]`, nil},
		{"ack", "", `42456["message-with-ack",1,"2",{"3":[false]}]`, `43456[1,"2",{"3":[false]}]`, nil},
		{"ack without arguments", "/custom,", `42/custom,0["message-with-ack"]`, `43/custom,0[]`, nil},
		{
			"binary", "", `452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`,
			`452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`,
			[][]byte{{1, 2, 3}, {4, 5}},
		},
		{
			"binary ack", "/custom,", `451-/custom,789["message-with-ack",{"_placeholder":true,"num":0}]`,
			`461-/custom,789[{"_placeholder":true,"num":0}]`,
			[][]byte{{7}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p, _ := openWebSocket(t, url)
			p.connectNamespace(tc.prefix)
			p.text() // auth
			p.send(tc.send)
			for _, a := range tc.attachments {
				p.sendBinary(a...)
			}
			require.Equal(t, tc.want, p.text())
			for _, a := range tc.attachments {
				require.Equal(t, a, p.binary())
			}
		})
	}
}

func TestAttachmentsReachAPlainHandlerAsBase64(t *testing.T) {
	t.Parallel()
	type file struct {
		Name string  `json:"name"`
		Size float64 `json:"size"`
		Data []byte  `json:"data"`
	}
	files := make(chan file, 1)
	_, url := serve(t, Options{}, func(s *Server) {
		s.Namespace("/", Handler{Event: func(_ *Socket, _ string, args []json.RawMessage, _ func(...any)) {
			var f file
			if json.Unmarshal(args[0], &f) == nil {
				files <- f
			}
		}})
	})
	p, _ := openWebSocket(t, url)
	p.connectNamespace("")
	p.send(`451-["upload",{"name":"a","size":1.50,"data":{"_placeholder":true,"num":0}}]`)
	p.sendBinary(250, 251, 252)
	require.Equal(t, file{"a", 1.5, []byte{250, 251, 252}}, receive(t, files))
	p.send(`451-["upload",{"_placeholder":true,"num":1}]`) // there is no attachment 1
	p.sendBinary(1)
	require.Equal(t, ws.StatusProtocolError, p.closed())
}

func TestCall(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	_, url := serve(t, Options{MaxPendingCalls: 1}, rec.mount)
	p, _ := openWebSocket(t, url)
	p.connectNamespace("")
	s := receive(t, rec.connected)

	type outcome struct {
		args []json.RawMessage
		err  error
	}
	call := func(ctx context.Context) <-chan outcome {
		done := make(chan outcome, 1)
		go func() {
			args, err := s.Call(ctx, "question", 1)
			done <- outcome{args, err}
		}()
		return done
	}
	first := call(t.Context())
	require.Equal(t, `420["question",1]`, p.text())
	_, err := s.Call(t.Context(), "question")
	require.ErrorIs(t, err, ErrTooManyCalls)
	p.send(`430["answer"]`, `430["again"]`, `4399["to nothing"]`)
	require.Equal(t, outcome{args: []json.RawMessage{json.RawMessage(`"answer"`)}}, receive(t, first))

	second := call(t.Context())
	require.Equal(t, `421["question",1]`, p.text())
	p.send(`461-1[{"_placeholder":true,"num":0}]`)
	p.sendBinary(1, 2, 3)
	require.Equal(t, outcome{args: []json.RawMessage{json.RawMessage(`"AQID"`)}}, receive(t, second))

	ctx, cancel := context.WithCancel(t.Context())
	third := call(ctx)
	require.Equal(t, `422["question",1]`, p.text())
	cancel()
	require.ErrorIs(t, receive(t, third).err, context.Canceled)

	fourth := call(t.Context())
	require.Equal(t, `423["question",1]`, p.text())
	p.send("41")
	require.ErrorIs(t, receive(t, fourth).err, ErrClosed)
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	connected := make(chan any, 8)
	_, url := serve(t, Options{ConnectTimeout: 200 * time.Millisecond}, func(s *Server) {
		s.Namespace("/", Handler{
			Authorize: func(ctx context.Context, r *http.Request, auth json.RawMessage) (any, error) {
				switch string(auth) {
				case `{"as":"nobody"}`:
					return nil, fmt.Errorf("wrapped: %w", &ConnectError{"go away", map[string]string{"code": "unauthenticated"}})
				case `{"as":"fault"}`:
					return nil, errors.New("the password is hunter2")
				case `{"as":"panic"}`:
					panic("at the disco")
				case `{"as":"unspeakable"}`:
					return nil, &ConnectError{"go away", make(chan int)}
				case `{"as":"slow"}`:
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return r.Header.Get("X-Name"), nil
			},
			Connect: func(s *Socket) { connected <- s.Principal() },
		})
	})
	for auth, want := range map[string]string{
		`{"as":"nobody"}`:      `44{"message":"go away","data":{"code":"unauthenticated"}}`,
		`{"as":"fault"}`:       `44{"message":"Internal error"}`,
		`{"as":"panic"}`:       `44{"message":"Internal error"}`,
		`{"as":"unspeakable"}`: `44{"message":"go away"}`,
	} {
		t.Run(auth, func(t *testing.T) {
			t.Parallel()
			p, _ := openWebSocket(t, url)
			p.send("40" + auth)
			require.Equal(t, want, p.text())
		})
	}
	t.Run("principal", func(t *testing.T) {
		t.Parallel()
		p, err := tryDial(t, url, "?EIO=4&transport=websocket", http.Header{"X-Name": {"ada"}})
		require.NoError(t, err)
		parseOpen(t, p.text())
		p.connectNamespace("")
		require.Equal(t, "ada", receive(t, connected))
	})
	t.Run("slow", func(t *testing.T) {
		t.Parallel()
		p, _ := openWebSocket(t, url)
		p.send(`40{"as":"slow"}`)
		p.closed() // with or without a refusal: both timeouts are the same
	})
	t.Run("given up", func(t *testing.T) {
		t.Parallel()
		p, _ := openWebSocket(t, url)
		p.send(`40{"as":"slow"}`, "41", `40{"as":"nobody"}`)
		require.Equal(t, `44{"message":"go away","data":{"code":"unauthenticated"}}`, p.text())
	})
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	s, url := serve(t, Options{ConnectTimeout: 500 * time.Millisecond}, echoes)
	idle, _ := openWebSocket(t, url)
	require.Equal(t, ws.StatusPolicyViolation, idle.closed())
	openPolling(t, url).gone(s)
	left, _ := openWebSocket(t, url)
	left.connectNamespace("")
	left.text()
	left.send("41")
	require.Equal(t, ws.StatusPolicyViolation, left.closed())
	require.EqualValues(t, 3, s.Stats().Closed[ReasonConnectTimeout])
}

func TestDisconnect(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*Server, string, *recorder) {
		t.Helper()
		rec := newRecorder()
		s, url := serve(t, Options{}, func(s *Server) {
			rec.mount(s)
			s.Namespace("/custom", echoHandler())
		})
		return s, url, rec
	}
	t.Run("by the client, one namespace", func(t *testing.T) {
		t.Parallel()
		_, url, rec := setup(t)
		p, _ := openWebSocket(t, url)
		p.connectNamespace("")
		p.connectNamespace("/custom,")
		p.text()
		s := receive(t, rec.connected)
		p.send("41", `42["late"]`, `42/custom,["message",1]`)
		require.Equal(t, `42/custom,["message-back",1]`, p.text())
		require.Equal(t, ReasonClientDisconnect, receive(t, rec.disconnected))
		require.ErrorContains(t, context.Cause(s.Context()), ReasonClientDisconnect)
		require.ErrorIs(t, s.Emit("x"), ErrClosed)
		require.Empty(t, rec.events)
		require.NotEqual(t, s.ID(), p.connectNamespace("")) // and may come back
	})
	t.Run("by the server, one namespace", func(t *testing.T) {
		t.Parallel()
		_, url, rec := setup(t)
		p, _ := openWebSocket(t, url)
		p.connectNamespace("")
		p.connectNamespace("/custom,")
		p.text()
		receive(t, rec.connected).Disconnect(false)
		require.Equal(t, "41", p.text())
		require.Equal(t, ReasonServerDisconnect, receive(t, rec.disconnected))
		p.send(`42/custom,["message",1]`)
		require.Equal(t, `42/custom,["message-back",1]`, p.text())
	})
	t.Run("by the server, all of it", func(t *testing.T) {
		t.Parallel()
		srv, url, rec := setup(t)
		p, open := openWebSocket(t, url)
		p.connectNamespace("")
		s := receive(t, rec.connected)
		require.NoError(t, s.Emit("last"))
		s.Disconnect(true)
		require.Equal(t, `42["last"]`, p.text())
		require.Equal(t, "41", p.text())
		require.Equal(t, ws.StatusNormalClosure, p.closed())
		require.Equal(t, ReasonServerDisconnect, receive(t, rec.disconnected))
		eventually(t, "session is gone", func() bool { return srv.lookup(open.SID) == nil })
	})
	t.Run("by the server, all of it, over polling", func(t *testing.T) {
		t.Parallel()
		srv, url, rec := setup(t)
		p := openPolling(t, url)
		p.post("40")
		p.get()
		s := receive(t, rec.connected)
		waiting := p.poll(t.Context(), srv)
		s.Disconnect(true)
		require.Equal(t, "41", receive(t, waiting).body)
		require.Equal(t, "1", p.get().body)
		p.gone(srv)
	})
	t.Run("both sides at once, over polling", func(t *testing.T) {
		t.Parallel()
		srv, url, rec := setup(t)
		p := openPolling(t, url)
		p.post("40")
		p.get()
		receive(t, rec.connected).Disconnect(true)
		require.Equal(t, http.StatusBadRequest, p.post(`42["late"]`).status)
		require.Equal(t, "ok", p.post("1").body)
		p.gone(srv)
	})
	t.Run("by a lost connection", func(t *testing.T) {
		t.Parallel()
		_, url, rec := setup(t)
		p, _ := openWebSocket(t, url)
		p.connectNamespace("")
		receive(t, rec.connected)
		require.NoError(t, p.conn.Close())
		require.Contains(t, []string{ReasonTransportClose, ReasonTransportError}, receive(t, rec.disconnected))
	})
}

func TestHandlerOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var calls []string
	done := make(chan struct{})
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, what)
	}
	gate := make(chan struct{})
	_, url := serve(t, Options{}, func(s *Server) {
		s.Namespace("/", Handler{
			Connect: func(*Socket) { <-gate; note("connect") },
			Event:   func(_ *Socket, name string, _ []json.RawMessage, _ func(...any)) { note(name) },
			Disconnect: func(*Socket, string) {
				note("disconnect")
				close(done)
			},
		})
	})
	p, _ := openWebSocket(t, url)
	p.connectNamespace("")
	want := []string{"connect"}
	for i := range 200 {
		name := fmt.Sprintf("e%d", i)
		want = append(want, name)
		p.send(`42["` + name + `"]`)
	}
	p.send("41")
	close(gate)
	receive(t, done)
	require.Equal(t, append(want, "disconnect"), calls)
}

func TestHandlerPanicEndsTheSessionOnly(t *testing.T) {
	t.Parallel()
	reasons := make(chan string, 1)
	_, url := serve(t, Options{}, func(s *Server) {
		s.Namespace("/", Handler{
			Event:      func(*Socket, string, []json.RawMessage, func(...any)) { panic("at the disco") },
			Disconnect: func(_ *Socket, reason string) { reasons <- reason },
		})
	})
	p, _ := openWebSocket(t, url)
	p.connectNamespace("")
	p.send(`42["x"]`)
	require.Equal(t, ws.StatusInternalServerError, p.closed())
	require.Equal(t, ReasonHandlerPanic, receive(t, reasons))
	openWebSocket(t, url)
}

func TestAcknowledgementIsSentOnce(t *testing.T) {
	t.Parallel()
	_, url := serve(t, Options{}, func(s *Server) {
		s.Namespace("/", Handler{Event: func(s *Socket, _ string, _ []json.RawMessage, ack func(...any)) {
			ack(1)
			ack(2)
			_ = s.Emit("end")
		}})
	})
	p, _ := openWebSocket(t, url)
	p.connectNamespace("")
	p.send(`427["x"]`)
	require.Equal(t, "437[1]", p.text())
	require.Equal(t, `42["end"]`, p.text())
}

func TestMessageIsSharedByAllReceivers(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	_, url := serve(t, Options{}, func(s *Server) { s.Namespace("/rt", rec.handler()) })
	w, _ := openWebSocket(t, url)
	w.connectNamespace("/rt,")
	p := openPolling(t, url)
	p.post("40/rt")
	p.get()
	m, err := NewBinaryMessage("/rt", "news", [][]byte{{1, 2, 3, 4}}, json.RawMessage(`{"_placeholder":true,"num":0}`))
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, receive(t, rec.connected).Send(m))
	}
	text := `451-/rt,["news",{"_placeholder":true,"num":0}]`
	require.Equal(t, text, w.text())
	require.Equal(t, []byte{1, 2, 3, 4}, w.binary())
	require.Equal(t, text+"\x1ebAQIDBA==", p.get().body)
}

func TestSocketSeesTheHandshake(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	_, url := serve(t, Options{}, rec.mount)
	p, err := tryDial(t, url, "?EIO=4&transport=websocket&v=1", http.Header{"Cookie": {"session=abc"}})
	require.NoError(t, err)
	parseOpen(t, p.text())
	id := p.connectNamespace("")
	s := receive(t, rec.connected)
	cookie, err := s.Request().Cookie("session")
	require.NoError(t, err)
	require.Equal(t, "abc", cookie.Value)
	require.Equal(t, "1", s.Request().URL.Query().Get("v"))
	require.NotEmpty(t, s.Request().RemoteAddr)
	require.NoError(t, s.Request().Context().Err())
	require.Equal(t, []string{id, "/", TransportWebSocket}, []string{s.ID(), s.Namespace(), s.Transport()})
	require.NoError(t, s.Context().Err())
}

func TestSendRefusals(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	_, url := serve(t, Options{QueueBytes: 1000}, rec.mount)
	p, _ := openWebSocket(t, url)
	p.connectNamespace("")
	s := receive(t, rec.connected)
	other, err := NewMessage("/other", "x")
	require.NoError(t, err)
	require.ErrorContains(t, s.Send(other), "/other")
	require.ErrorIs(t, s.Emit("x", string(make([]byte, 1000))), ErrTooLarge)
	require.Error(t, s.Emit("x", func() {}))
	require.Error(t, s.Emit("connect"))
	require.Error(t, s.Emit("x", json.RawMessage(`{`)))
	require.NoError(t, s.Emit("fine")) // and the session has survived it all
	require.Equal(t, `42["fine"]`, p.text())
}
