package socketio

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// observed counts what is written to a connection, through it or past it.
type observed struct {
	net.Conn
	through, past *atomic.Int64
}

func (o observed) Write(p []byte) (int, error) {
	n, err := o.Conn.Write(p)
	o.through.Add(int64(n))
	return n, err
}

func (o observed) NetConn() net.Conn { return o.Conn }
func (o observed) Wrote(n int)       { o.past.Add(int64(n)) }

type observedListener struct {
	net.Listener
	through, past atomic.Int64
}

func (l *observedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return observed{c, &l.through, &l.past}, nil
}

func TestObserversAreToldWhatIsWrittenPastThem(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	s, err := New(Options{})
	require.NoError(t, err)
	rec.mount(s)
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &observedListener{Listener: inner}
	web := &http.Server{Handler: s}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, s.Shutdown(context.WithoutCancel(t.Context())))
		require.NoError(t, web.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	p, _ := openWebSocket(t, "http://"+l.Addr().String()+"/")
	p.connectNamespace("")
	before := l.past.Load()
	m := message(t, 100)
	require.NoError(t, receive(t, rec.connected).Send(m))
	p.text()
	if !directIO {
		t.Skip("no direct way to a socket here")
	}
	eventually(t, "the observer knows", func() bool { return l.past.Load() == before+int64(m.Size()) })
	require.Positive(t, l.through.Load(), "the handshake")
}

func TestEncryptedConnectionsAreNotUnwrapped(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	s, err := New(Options{})
	require.NoError(t, err)
	rec.mount(s)
	web := httptest.NewTLSServer(s)
	t.Cleanup(func() {
		require.NoError(t, s.Shutdown(context.WithoutCancel(t.Context())))
		web.Close()
	})
	pool := web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	dialer := ws.Dialer{Timeout: patience, TLSConfig: &tls.Config{RootCAs: pool}}
	conn, early, _, err := dialer.Dial(t.Context(), strings.Replace(web.URL, "http", "ws", 1)+"/?EIO=4&transport=websocket")
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	p := &peer{t: t, conn: conn, reader: early}
	if early == nil {
		p.reader = newReader(conn)
	}
	parseOpen(t, p.text())
	p.connectNamespace("")
	socket := receive(t, rec.connected)
	for i := range 50 {
		require.NoError(t, socket.Emit("n", i))
	}
	for i := range 50 {
		require.Equal(t, fmt.Sprintf(`42["n",%d]`, i), p.text())
	}
	p.send(`42["e"]`)
	require.Nil(t, s.all()[0].link.raw, "what leaves would not be encrypted")
}

// A peer that reads by fits and starts makes the socket take parts of frames.
func TestPartiallyTakenWritesStayWhole(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	_, url := serve(t, Options{QueueBytes: 64 << 20, QueueFrames: 10_000, PingInterval: time.Hour}, rec.mount)
	p, _ := openWebSocket(t, url)
	require.NoError(t, p.conn.(*net.TCPConn).SetReadBuffer(128<<10))
	p.connectNamespace("")
	socket := receive(t, rec.connected)
	const events = 3000
	for i := range events {
		m, err := EncodeMessage("/", "n", i, strings.Repeat("y", i*7%9000))
		require.NoError(t, err)
		require.NoError(t, socket.Send(m))
	}
	for i := range events {
		require.Equal(t, fmt.Sprintf(`42["n",%d,%q]`, i, strings.Repeat("y", i*7%9000)), p.text())
		if i%500 == 0 {
			<-time.After(20 * time.Millisecond) // lets the buffers fill
		}
	}
}
