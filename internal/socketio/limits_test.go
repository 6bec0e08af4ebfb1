package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// flood sends until the socket refuses, and returns why and how much is queued at most on the way.
func flood(t *testing.T, srv *Server, s *Socket, m *Message) (int, error) {
	t.Helper()
	highest := 0
	for i := range 1_000_000 {
		if err := s.Send(m); err != nil {
			return highest, err
		}
		if i%64 == 0 {
			highest = max(highest, srv.Stats().QueuedBytes)
		}
	}
	require.Fail(t, "the queue has no end")
	return 0, nil
}

func message(t *testing.T, size int) *Message {
	t.Helper()
	m, err := NewMessage("/", "news", json.RawMessage(`"`+strings.Repeat("x", size)+`"`))
	require.NoError(t, err)
	return m
}

func TestSlowConsumerIsCutOff(t *testing.T) {
	t.Parallel()
	for _, size := range []int{600, 20_000} {
		t.Run(fmt.Sprintf("websocket, %d bytes", size), func(t *testing.T) {
			t.Parallel()
			const readers = 10
			opts := Options{QueueBytes: 256 << 10, QueueFrames: 256}
			rec := newRecorder()
			s, url := serve(t, opts, rec.mount)
			m := message(t, size)
			for range readers {
				p, _ := openWebSocket(t, url)
				require.NoError(t, p.conn.(*net.TCPConn).SetReadBuffer(4096))
				p.connectNamespace("")
				highest, err := flood(t, s, receive(t, rec.connected), m)
				require.ErrorIs(t, err, ErrSlow)
				require.LessOrEqual(t, highest, min(opts.QueueBytes, opts.QueueFrames*m.Size()))
				require.Equal(t, ReasonSlowConsumer, receive(t, rec.disconnected))
			}
			eventually(t, "sessions are gone", func() bool { return len(s.all()) == 0 })
			st := s.Stats()
			require.EqualValues(t, readers, st.Closed[ReasonSlowConsumer])
			require.Zero(t, st.QueuedBytes)
		})
	}
	t.Run("polling", func(t *testing.T) {
		t.Parallel()
		rec := newRecorder()
		s, url := serve(t, Options{QueueFrames: 100}, rec.mount)
		p := openPolling(t, url)
		p.post("40")
		p.get()
		socket := receive(t, rec.connected)
		m := message(t, 10)
		for range 100 {
			require.NoError(t, socket.Send(m))
		}
		require.Equal(t, 100*m.Size(), s.Stats().QueuedBytes)
		require.ErrorIs(t, socket.Send(m), ErrSlow)
		require.ErrorIs(t, socket.Send(m), ErrClosed)
		p.gone(s)
	})
}

func TestQueueIsFreedByReading(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	s, url := serve(t, Options{QueueFrames: 8}, rec.mount)
	p, _ := openWebSocket(t, url)
	p.connectNamespace("")
	socket := receive(t, rec.connected)
	for range 100 {
		require.NoError(t, socket.Emit("x"))
		require.Equal(t, `42["x"]`, p.text())
	}
	eventually(t, "nothing is queued", func() bool { return s.Stats().QueuedFrames == 0 })
	require.Zero(t, s.Stats().QueuedBytes)
}

func TestWriteDeadline(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	s, url := serve(t, Options{QueueBytes: 128 << 20, WriteTimeout: 50 * time.Millisecond}, rec.mount)
	p, _ := openWebSocket(t, url)
	p.connectNamespace("")
	require.NoError(t, receive(t, rec.connected).Send(message(t, 64<<20))) // more than any socket buffer
	require.Equal(t, ReasonTransportError, receive(t, rec.disconnected))
	eventually(t, "session is gone", func() bool { return len(s.all()) == 0 })
}

// TestAPeerThatWasSlowOnceIsNotCutOffLater: what it did not take at once was written within a time, which has passed by
// the next event.
func TestAPeerThatWasSlowOnceIsNotCutOffLater(t *testing.T) {
	t.Parallel()
	const limit = time.Second
	rec := newRecorder()
	s, url := serve(t, Options{QueueBytes: 128 << 20, WriteTimeout: limit}, rec.mount)
	p, _ := openWebSocket(t, url)
	p.connectNamespace("")
	socket := receive(t, rec.connected)
	require.NoError(t, socket.Send(message(t, 16<<20))) // more than any socket buffer
	p.text()
	eventually(t, "nothing is queued", func() bool { return s.Stats().QueuedFrames == 0 })
	<-time.After(limit + limit/2)
	require.NoError(t, socket.Emit("x"))
	require.Equal(t, `42["x"]`, p.text())
}

func TestPollingAnswersRespectMaxPayload(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	_, url := serve(t, Options{MaxPayload: 1000}, rec.mount)
	p := openPolling(t, url)
	p.post("40")
	p.get()
	socket := receive(t, rec.connected)
	for range 10 {
		require.NoError(t, socket.Send(message(t, 300)))
	}
	total := 0
	for total < 10 {
		body := p.get().body
		require.LessOrEqual(t, len(body), 1000)
		total += strings.Count(body, "news")
	}
	require.Equal(t, 10, total)
}

func TestInboxOverflowEndsTheSession(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]Options{
		"events":    {InboxEvents: 5},
		"bytes":     {InboxBytes: 5000},
		"arguments": {InboxBytes: 150_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := newRecorder()
			gate := make(chan struct{})
			h := rec.handler()
			h.Connect = func(*Socket) { <-gate }
			_, url := serve(t, opts, func(s *Server) { s.Namespace("/", h) })
			p, _ := openWebSocket(t, url)
			p.connectNamespace("")
			text := `42["x","` + strings.Repeat("y", 1000) + `"]`
			if name == "arguments" {
				text = `42["x"` + strings.Repeat(",1", 1000) + `]`
			}
			for range 5 {
				p.send(text)
			}
			require.Equal(t, ws.StatusPolicyViolation, func() ws.StatusCode {
				if name == "events" {
					p.send(text)
				}
				return p.closed()
			}())
			close(gate)
			require.Equal(t, ReasonFlood, receive(t, rec.disconnected))
			require.LessOrEqual(t, len(rec.events), 5)
		})
	}
}

func TestAttachmentLimits(t *testing.T) {
	t.Parallel()
	_, url := serve(t, Options{MaxAttachments: 2, InboxBytes: 3000}, echoes)
	t.Run("number", func(t *testing.T) {
		t.Parallel()
		p, _ := openWebSocket(t, url)
		p.send(`453-["x"]`)
		require.Equal(t, ws.StatusMessageTooBig, p.closed())
	})
	t.Run("bytes", func(t *testing.T) {
		t.Parallel()
		p, _ := openWebSocket(t, url)
		p.connectNamespace("")
		p.text()
		p.send(`452-["x"]`)
		p.sendBinary(make([]byte, 2000)...)
		p.sendBinary(make([]byte, 2000)...)
		require.Equal(t, ws.StatusMessageTooBig, p.closed())
	})
}

func TestOversizedMessageIsToldSo(t *testing.T) {
	t.Parallel()
	_, url := serve(t, Options{}, echoEngine)
	p, _ := openWebSocket(t, url)
	p.frame(ws.NewTextFrame(make([]byte, 4*testPayload))) // all of it is sent before the answer is looked for
	require.Equal(t, ws.StatusMessageTooBig, p.closed())
}

func TestPacketRateIsLimited(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(p *peer){
		"packets": func(p *peer) { p.frame(ws.NewTextFrame([]byte("6"))) },
		"pings":   func(p *peer) { p.frame(ws.NewPingFrame(nil)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := newRecorder()
			_, url := serve(t, Options{PacketRate: 2}, rec.mount)
			p, _ := openWebSocket(t, url)
			p.connectNamespace("")
			for range 20 { // the CONNECT was one already
				send(p)
			}
			require.Equal(t, ReasonFlood, receive(t, rec.disconnected))
			require.Equal(t, ws.StatusPolicyViolation, p.closed())
		})
	}
}

func TestNamespaceLimit(t *testing.T) {
	t.Parallel()
	_, url := serve(t, Options{MaxNamespaces: 1}, echoes)
	p, _ := openWebSocket(t, url)
	p.connectNamespace("")
	p.text()
	p.send("40/custom")
	require.Equal(t, `44/custom,{"message":"Too many namespaces"}`, p.text())
}

func TestConnectingAndLeavingInALoopEndsTheSession(t *testing.T) {
	t.Parallel()
	var entered atomic.Int32
	gate := make(chan struct{})
	s, url := serve(t, Options{MaxNamespaces: 2}, func(s *Server) {
		s.Namespace("/", Handler{Authorize: func(context.Context, *http.Request, json.RawMessage) (any, error) {
			entered.Add(1)
			<-gate
			return "somebody", nil
		}})
	})
	p, _ := openWebSocket(t, url)
	for range 5 {
		p.send("40", "41")
	}
	require.Equal(t, ws.StatusPolicyViolation, p.closed())
	require.EqualValues(t, 1, s.Stats().Closed[ReasonFlood])
	eventually(t, "authorisations run", func() bool { return entered.Load() == 4 })
	close(gate)

	// At a pace that handlers can follow there is no limit.
	p, _ = openWebSocket(t, url)
	for range 20 {
		p.connectNamespace("")
		p.send("41")
	}
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	s, url := serve(t, Options{MaxConnections: 1}, echoes)
	p, _ := openWebSocket(t, url)
	require.Equal(t, http.StatusServiceUnavailable, do(t, http.MethodGet, url+"?EIO=4&transport=polling", "").status)
	_, err := tryDial(t, url, "?EIO=4&transport=websocket", nil)
	require.Error(t, err)
	require.EqualValues(t, 2, s.Stats().Rejected["capacity"])
	p.send("1")
	p.closed()
	eventually(t, "the place is free", func() bool { return !s.full() })
	openWebSocket(t, url)
}

// Every client that answers the open packet at once must get a reply, however busy the server is.
// connectAtOnce sends the CONNECT without waiting for the open packet.
func connectAtOnce(ctx context.Context, url string) error {
	conn, early, _, err := ws.Dial(ctx, strings.Replace(url, "http", "ws", 1)+"?EIO=4&transport=websocket")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := ws.WriteFrame(conn, ws.MaskFrame(ws.NewTextFrame([]byte("40")))); err != nil {
		return err
	}
	p := &peer{conn: conn, reader: early}
	if early == nil {
		p.reader = newReader(conn)
	}
	for {
		_, body, err := p.next()
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(body), "40{") {
			return nil
		}
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	s, err := New(Options{})
	require.NoError(t, err)
	rec.mount(s)
	url := listen(t, &http.Server{Handler: s, ReadHeaderTimeout: patience})
	w, _ := openWebSocket(t, url)
	w.connectNamespace("")
	waiting := openPolling(t, url)
	answered := waiting.poll(t.Context(), s)
	openPolling(t, url) // no poll of it waits
	probing := openPolling(t, url)
	candidate := probe(t, url, probing)
	require.NoError(t, receive(t, rec.connected).Emit("last"))

	done := make(chan error, 1)
	go func() { done <- s.Shutdown(t.Context()) }()
	require.Equal(t, `42["last"]`, w.text())
	require.Equal(t, ws.StatusGoingAway, w.closed())
	require.Equal(t, "1", receive(t, answered).body)
	candidate.closed()
	require.NoError(t, receive(t, done))
	require.Equal(t, ReasonShutdown, receive(t, rec.disconnected))
	require.Empty(t, s.all())
	require.Equal(t, http.StatusServiceUnavailable, do(t, http.MethodGet, url+"?EIO=4&transport=polling", "").status)
	require.ErrorIs(t, s.Shutdown(t.Context()), ErrServerClosed)
}

func TestShutdownGivesUpOnAHandlerThatStays(t *testing.T) {
	t.Parallel()
	gate, entered := make(chan struct{}), make(chan struct{})
	s, err := New(Options{})
	require.NoError(t, err)
	s.Namespace("/", Handler{Connect: func(*Socket) { close(entered); <-gate }})
	url := listen(t, &http.Server{Handler: s, ReadHeaderTimeout: patience})
	p, _ := openWebSocket(t, url)
	p.connectNamespace("")
	receive(t, entered)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Shutdown(ctx), context.DeadlineExceeded)
	p.closed()
	close(gate)
	s.group.Wait()
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	s, url := serve(t, Options{}, rec.mount)
	const clients, senders, each = 8, 4, 50
	sockets := make([]*Socket, clients)
	peers := make([]*peer, clients)
	for i := range clients {
		peers[i], _ = openWebSocket(t, url)
		peers[i].connectNamespace("")
		sockets[i] = receive(t, rec.connected)
	}
	errs := make(chan error, senders)
	for n := range senders {
		go func() {
			var failed error
			for i := range each {
				m, err := NewMessage("/", "n", json.RawMessage(fmt.Sprintf("[%d,%d]", n, i)))
				failed = errors.Join(failed, err)
				for _, socket := range sockets {
					failed = errors.Join(failed, socket.Send(m))
				}
				s.Stats()
			}
			errs <- failed
		}()
	}
	for range senders {
		require.NoError(t, receive(t, errs))
	}
	for _, p := range peers {
		var last [senders]int
		for range senders * each {
			var got []json.RawMessage
			require.NoError(t, json.Unmarshal([]byte(p.text()[2:]), &got))
			var pair [2]int
			require.NoError(t, json.Unmarshal(got[1], &pair))
			require.Equal(t, last[pair[0]], pair[1], "the messages of one sender keep their order")
			last[pair[0]]++
		}
	}
}
