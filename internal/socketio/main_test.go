package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var conformanceAddr = flag.String("conformance", "", "serve the official conformance suites on this address")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// conformanceOptions are the terms that the official suites expect.
func conformanceOptions() Options {
	return Options{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond}
}

// echoEngine makes the server send every Engine.IO message back.
func echoEngine(s *Server) {
	s.onMessage = func(c *conn, p enginePacket) error {
		if p.binary {
			return c.send(newFrame(ws.OpBinary, p.data))
		}
		return c.send(newFrame(ws.OpText, []byte{engineMessage}, p.data))
	}
}

// echoHandler answers as the official Socket.IO suite expects.
func echoHandler() Handler {
	return Handler{
		Authorize: func(_ context.Context, _ *http.Request, auth json.RawMessage) (any, error) {
			if auth == nil {
				auth = json.RawMessage(`{}`)
			}
			return auth, nil
		},
		Connect: func(s *Socket) { _ = s.Emit("auth", s.Principal()) },
		Event: func(s *Socket, name string, args []json.RawMessage, ack func(...any)) {
			echo(s, name, anys(args), ack)
		},
		BinaryEvent: func(s *Socket, name string, args []json.RawMessage, attachments [][]byte, ack func(...any)) {
			values := anys(args)
			for i, arg := range args {
				var hole struct {
					Placeholder bool `json:"_placeholder"`
					Num         int  `json:"num"`
				}
				if json.Unmarshal(arg, &hole) == nil && hole.Placeholder {
					values[i] = Binary(attachments[hole.Num])
				}
			}
			echo(s, name, values, ack)
		},
	}
}

func echo(s *Socket, name string, args []any, ack func(...any)) {
	switch {
	case name == "message":
		_ = s.Emit("message-back", args...)
	case ack != nil:
		ack(args...)
	}
}

func anys(args []json.RawMessage) []any {
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = a
	}
	return out
}

// TestConformanceServer is no test: with -conformance=localhost:3000 it serves until it is interrupted.
func TestConformanceServer(t *testing.T) {
	t.Parallel()
	if *conformanceAddr == "" {
		t.Skip("no -conformance address given")
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
	defer stop()
	engine, err := New(conformanceOptions())
	require.NoError(t, err)
	echoEngine(engine)
	server, err := New(conformanceOptions())
	require.NoError(t, err)
	server.Namespace("/", echoHandler())
	server.Namespace("/custom", echoHandler())
	mux := http.NewServeMux()
	engine.Mount(mux, "/engine.io")
	server.Mount(mux, "/socket.io")
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *conformanceAddr)
	require.NoError(t, err)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() {
		<-ctx.Done()
		_ = web.Close()
	}()
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		require.NoError(t, err)
	}
	require.NoError(t, engine.Shutdown(t.Context()))
	require.NoError(t, server.Shutdown(t.Context()))
}

// serve starts a server on a real listener and ends it with the test.
func serve(t *testing.T, opts Options, setup func(*Server)) (*Server, string) {
	t.Helper()
	s, err := New(opts)
	require.NoError(t, err)
	if setup != nil {
		setup(s)
	}
	mux := http.NewServeMux()
	s.Mount(mux, "/socket.io")
	web := httptest.NewServer(mux)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
		web.Close()
	})
	return s, web.URL + "/socket.io/"
}

// listen serves on a free port, without closing the Socket.IO server.
func listen(t *testing.T, web *http.Server) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- web.Serve(listener) }()
	t.Cleanup(func() {
		_ = web.Close()
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return "http://" + listener.Addr().String() + "/"
}
