package socketio

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

const testPayload = 1_000_000

func TestHandshake(t *testing.T) {
	t.Parallel()
	opts := Options{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond}
	_, url := serve(t, opts, echoEngine)

	t.Run("polling", func(t *testing.T) {
		t.Parallel()
		got := do(t, http.MethodGet, url+"?EIO=4&transport=polling", "")
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, "text/plain; charset=utf-8", got.header.Get("Content-Type"))
		require.Equal(t, "no-store", got.header.Get("Cache-Control"))
		open := parseOpen(t, got.body)
		require.GreaterOrEqual(t, len(open.SID), 20)
		require.Equal(t, terms{open.SID, []string{"websocket"}, 300, 200, testPayload}, open)
	})
	t.Run("websocket", func(t *testing.T) {
		t.Parallel()
		_, open := openWebSocket(t, url)
		require.Equal(t, terms{open.SID, []string{}, 300, 200, testPayload}, open)
	})
	t.Run("without trailing slash", func(t *testing.T) {
		t.Parallel()
		bare := strings.TrimSuffix(url, "/")
		require.Equal(t, http.StatusOK, do(t, http.MethodGet, bare+"?EIO=4&transport=polling", "").status)
		openWebSocket(t, bare)
		require.Equal(t, http.StatusNotFound, do(t, http.MethodGet, url+"more?EIO=4&transport=polling", "").status)
	})
}

func TestHandshakeRefusals(t *testing.T) {
	t.Parallel()
	_, url := serve(t, Options{}, echoEngine)
	for _, tc := range []struct{ name, method, query, want string }{
		{"no EIO", http.MethodGet, "?transport=polling", `{"code":5,"message":"Unsupported protocol version"}`},
		{"EIO is no number", http.MethodGet, "?EIO=abc&transport=polling", `{"code":5,"message":"Unsupported protocol version"}`},
		{"older EIO", http.MethodGet, "?EIO=3&transport=polling", `{"code":5,"message":"Unsupported protocol version"}`},
		{"no transport", http.MethodGet, "?EIO=4", `{"code":0,"message":"Transport unknown"}`},
		{"unknown transport", http.MethodGet, "?EIO=4&transport=abc", `{"code":0,"message":"Transport unknown"}`},
		{"POST", http.MethodPost, "?EIO=4&transport=polling", `{"code":2,"message":"Bad handshake method"}`},
		{"PUT", http.MethodPut, "?EIO=4&transport=polling", `{"code":2,"message":"Bad handshake method"}`},
		{"unknown sid", http.MethodGet, "?EIO=4&transport=polling&sid=x", `{"code":1,"message":"Session ID unknown"}`},
		{"JSONP", http.MethodGet, "?EIO=4&transport=polling&j=0", `{"code":3,"message":"Bad request"}`},
		{"websocket without upgrade", http.MethodGet, "?EIO=4&transport=websocket", `{"code":3,"message":"Bad request"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := do(t, tc.method, url+tc.query, "")
			require.Equal(t, http.StatusBadRequest, got.status)
			require.JSONEq(t, tc.want, got.body)
		})
	}
	for _, query := range []string{"?transport=websocket", "?EIO=abc&transport=websocket", "?EIO=4", "?EIO=4&transport=abc"} {
		t.Run("websocket "+query, func(t *testing.T) {
			t.Parallel()
			_, err := tryDial(t, url, query, nil)
			require.Error(t, err)
		})
	}
}

func TestTransportsOption(t *testing.T) {
	t.Parallel()
	_, only := serve(t, Options{Transports: []string{TransportWebSocket}}, echoEngine)
	require.Equal(t, http.StatusBadRequest, do(t, http.MethodGet, only+"?EIO=4&transport=polling", "").status)
	openWebSocket(t, only)

	_, polling := serve(t, Options{Transports: []string{TransportPolling}}, echoEngine)
	got := do(t, http.MethodGet, polling+"?EIO=4&transport=polling", "")
	require.Empty(t, parseOpen(t, got.body).Upgrades)
	_, err := tryDial(t, polling, "?EIO=4&transport=websocket", nil)
	require.Error(t, err)

	_, err = New(Options{Transports: []string{"carrier pigeon"}})
	require.ErrorContains(t, err, "carrier pigeon")
	_, err = New(Options{QueueBytes: -1})
	require.ErrorContains(t, err, "QueueBytes")
}

func TestPollingMessages(t *testing.T) {
	t.Parallel()
	_, url := serve(t, Options{}, echoEngine)
	for name, payload := range map[string]string{
		"one packet":      "4hello",
		"three packets":   "4test1\x1e4test2\x1e4test3",
		"text and binary": "4hello\x1ebAQIDBA==",
		"empty message":   "4",
		"unicode":         "4zażółć 🙂",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openPolling(t, url)
			got := p.post(payload)
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, "ok", got.body)
			require.Equal(t, payload, p.get().body)
		})
	}
}

func TestPollingFaultsEndTheSession(t *testing.T) {
	t.Parallel()
	s, url := serve(t, Options{}, echoEngine)
	for name, tc := range map[string]struct {
		body   string
		status int
	}{
		"unknown type":        {"abc", http.StatusBadRequest},
		"empty body":          {"", http.StatusBadRequest},
		"empty packet":        {"4a\x1e", http.StatusBadRequest},
		"bad base64":          {"b!!", http.StatusBadRequest},
		"not UTF-8":           {"4\xff", http.StatusBadRequest},
		"a client's ping":     {"2", http.StatusBadRequest},
		"upgrade on polling":  {"5", http.StatusBadRequest},
		"larger than allowed": {"4" + strings.Repeat("x", testPayload), http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openPolling(t, url)
			require.Equal(t, tc.status, p.post(tc.body).status)
			p.gone(s)
		})
	}
	t.Run("larger than allowed, without a length", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		endless := struct{ *strings.Reader }{strings.NewReader("4" + strings.Repeat("x", testPayload))}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url, endless)
		require.NoError(t, err)
		req.ContentLength = -1
		resp, err := p.client.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
		p.gone(s)
	})
}

func TestOverlappingPollEndsBoth(t *testing.T) {
	t.Parallel()
	s, url := serve(t, Options{}, echoEngine)
	p := openPolling(t, url)
	first := p.poll(t.Context(), s)
	require.Equal(t, http.StatusBadRequest, p.get().status)
	got := receive(t, first)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "1", got.body)
	p.gone(s)
	require.EqualValues(t, 1, s.Stats().PollOverlaps)
}

func TestOverlappingPostEndsTheSession(t *testing.T) {
	t.Parallel()
	s, url := serve(t, Options{}, echoEngine)
	p := openPolling(t, url)
	c := s.lookup(p.sid)
	require.True(t, c.beginPost())
	require.Equal(t, http.StatusBadRequest, p.post("4x").status)
	c.endPost()
	p.gone(s)
}

func TestCancelledPollEndsTheSession(t *testing.T) {
	t.Parallel()
	s, url := serve(t, Options{}, echoEngine)
	p := openPolling(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	p.poll(ctx, s)
	cancel()
	p.gone(s)
	require.EqualValues(t, 1, s.Stats().Closed[ReasonTransportClose])
}

func TestPollOutlivesTheTimeoutsOfTheHTTPServer(t *testing.T) {
	t.Parallel()
	s, err := New(Options{PingInterval: 400 * time.Millisecond})
	require.NoError(t, err)
	echoEngine(s)
	web := &http.Server{Handler: s, ReadTimeout: 100 * time.Millisecond, WriteTimeout: 100 * time.Millisecond}
	url := listen(t, web)
	t.Cleanup(func() { require.NoError(t, s.Shutdown(context.Background())) })
	require.Equal(t, "2", openPolling(t, url).get().body)
	peer, _ := openWebSocket(t, url)
	require.Equal(t, "2", peer.text())
}

func TestWebSocketMessages(t *testing.T) {
	t.Parallel()
	_, url := serve(t, Options{}, echoEngine)
	p, _ := openWebSocket(t, url)
	p.send("4hello")
	require.Equal(t, "4hello", p.text())
	p.sendBinary(1, 2, 3, 4)
	require.Equal(t, []byte{1, 2, 3, 4}, p.binary())

	large := strings.Repeat("0123456789", 30_000)
	p.send("4" + large)
	require.Equal(t, "4"+large, p.text())

	// A fragmented message, with a ping between the fragments.
	p.frame(ws.NewFrame(ws.OpText, false, []byte("4he")))
	p.frame(ws.NewPingFrame([]byte("are you there")))
	p.frame(ws.NewFrame(ws.OpContinuation, false, []byte("ll")))
	p.frame(ws.NewFrame(ws.OpContinuation, true, []byte("o")))
	op, body, err := p.next()
	require.NoError(t, err)
	require.Equal(t, ws.OpPong, op)
	require.Equal(t, "are you there", string(body))
	require.Equal(t, "4hello", p.text())
}

func TestWebSocketFaultsEndTheSession(t *testing.T) {
	t.Parallel()
	s, url := serve(t, Options{}, echoEngine)
	for name, tc := range map[string]struct {
		frame ws.Frame
		code  ws.StatusCode
	}{
		"unknown type":        {ws.NewTextFrame([]byte("abc")), ws.StatusProtocolError},
		"empty":               {ws.NewTextFrame(nil), ws.StatusProtocolError},
		"a client's ping":     {ws.NewTextFrame([]byte("2")), ws.StatusProtocolError},
		"not UTF-8":           {ws.NewTextFrame([]byte("4\xff")), ws.StatusProtocolError},
		"stray continuation":  {ws.NewFrame(ws.OpContinuation, true, []byte("4x")), ws.StatusProtocolError},
		"larger than allowed": {ws.Frame{Header: ws.Header{Fin: true, OpCode: ws.OpText, Length: testPayload + 1}}, ws.StatusMessageTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, open := openWebSocket(t, url)
			p.frame(tc.frame)
			require.Equal(t, tc.code, p.closed())
			eventually(t, "session is gone", func() bool { return s.lookup(open.SID) == nil })
		})
	}
	t.Run("not masked", func(t *testing.T) {
		t.Parallel()
		p, _ := openWebSocket(t, url)
		require.NoError(t, ws.WriteFrame(p.conn, ws.NewTextFrame([]byte("4x"))))
		require.Equal(t, ws.StatusProtocolError, p.closed())
	})
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	_, url := serve(t, Options{PingInterval: 100 * time.Millisecond, PingTimeout: 5 * time.Second}, echoEngine)
	t.Run("polling", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		for range 3 {
			require.Equal(t, "2", p.get().body)
			require.Equal(t, http.StatusOK, p.post("3").status)
		}
	})
	t.Run("websocket", func(t *testing.T) {
		t.Parallel()
		p, _ := openWebSocket(t, url)
		for range 3 {
			require.Equal(t, "2", p.text())
			p.send("3")
		}
	})
	t.Run("unanswered", func(t *testing.T) {
		t.Parallel()
		quick, url := serve(t, Options{PingInterval: 50 * time.Millisecond, PingTimeout: 50 * time.Millisecond}, echoEngine)
		openPolling(t, url).gone(quick)
		p, _ := openWebSocket(t, url)
		require.Equal(t, "2", p.text())
		p.closed()
		require.EqualValues(t, 2, quick.Stats().Closed[ReasonPingTimeout])
	})
	t.Run("unanswered but kept", func(t *testing.T) {
		t.Parallel()
		kept, url := serve(t, Options{
			PingInterval: 20 * time.Millisecond, PingTimeout: 20 * time.Millisecond, KeepSilent: true,
		}, echoEngine)
		p, _ := openWebSocket(t, url)
		for range 4 {
			require.Equal(t, "2", p.text())
		}
		openPolling(t, url).gone(kept)
		p.send("4still here")
		for {
			if got := p.text(); got != "2" {
				require.Equal(t, "4still here", got)
				break
			}
		}
	})
}

func TestCloseByTheClient(t *testing.T) {
	t.Parallel()
	s, url := serve(t, Options{}, echoEngine)
	t.Run("polling, with a poll waiting", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		waiting := p.poll(t.Context(), s)
		require.Equal(t, http.StatusOK, p.post("1").status)
		require.Equal(t, "6", receive(t, waiting).body)
		p.gone(s)
	})
	t.Run("polling, with a poll on its way", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		require.Equal(t, http.StatusOK, p.post("1").status)
		require.Equal(t, "6", p.get().body)
		p.gone(s)
	})
	t.Run("polling, without another poll", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		require.Equal(t, http.StatusOK, p.post("1").status)
		eventually(t, "session is gone", func() bool { return s.lookup(p.sid) == nil })
	})
	t.Run("websocket packet", func(t *testing.T) {
		t.Parallel()
		p, _ := openWebSocket(t, url)
		p.send("1")
		require.Equal(t, ws.StatusNormalClosure, p.closed())
	})
	t.Run("websocket close frame", func(t *testing.T) {
		t.Parallel()
		p, open := openWebSocket(t, url)
		p.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
		require.Equal(t, ws.StatusNormalClosure, p.closed())
		eventually(t, "session is gone", func() bool { return s.lookup(open.SID) == nil })
	})
	t.Run("connection lost", func(t *testing.T) {
		t.Parallel()
		p, open := openWebSocket(t, url)
		require.NoError(t, p.conn.Close())
		eventually(t, "session is gone", func() bool { return s.lookup(open.SID) == nil })
	})
}
