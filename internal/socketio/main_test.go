package socketio

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// echoEngine makes the server send every Engine.IO message back.
func echoEngine(s *Server) {
	s.HandleRaw(func(session RawSession, data []byte, binary bool) { _ = session.Send(data, binary) })
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
