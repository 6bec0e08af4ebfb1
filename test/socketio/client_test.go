package socketio

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/socketio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a web server whose Socket.IO server can be replaced while clients are connected.
type rig struct {
	t       *testing.T
	current atomic.Pointer[socketio.Server]
	retired chan error
}

func (r *rig) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.current.Load().ServeHTTP(w, req) }

func (r *rig) start() {
	s, err := socketio.New(socketio.Options{
		PingInterval: 300 * time.Millisecond, PingTimeout: 2 * time.Second,
		AllowOrigin: socketio.AllowOrigins("https://allowed.example"),
	})
	if err != nil {
		r.t.Errorf("new server: %v", err)
		return
	}
	s.Namespace("/", r.handler())
	s.Namespace("/guarded", guarded())
	if old := r.current.Swap(s); old != nil {
		go func() { r.retired <- stop(old) }()
	}
}

func stop(s *socketio.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.Shutdown(ctx)
}

// handler does what client.mjs asks for.
func (r *rig) handler() socketio.Handler {
	return socketio.Handler{
		Connect: func(s *socketio.Socket) {
			if err := s.Emit("welcome", map[string]string{"id": s.ID(), "transport": s.Transport()}); err != nil {
				r.t.Errorf("welcome: %v", err)
			}
		},
		Event: func(s *socketio.Socket, name string, args []json.RawMessage, ack func(...any)) {
			r.event(s, name, args, ack)
		},
		BinaryEvent: func(s *socketio.Socket, name string, args []json.RawMessage, attachments [][]byte, ack func(...any)) {
			if ack != nil {
				ack(socketio.Binary(attachments[0]), len(attachments[0]))
				return
			}
			m, err := socketio.NewBinaryMessage(s.Namespace(), name, attachments, args...)
			if err != nil {
				r.t.Errorf("binary message: %v", err)
				return
			}
			_ = s.Send(m) // the client notices what is missing
		},
	}
}

func (r *rig) event(s *socketio.Socket, name string, args []json.RawMessage, ack func(...any)) {
	switch name {
	case "kick":
		s.Disconnect(true)
	case "leave":
		s.Disconnect(false)
	case "restart":
		r.start()
	case "transport":
		ack(s.Transport())
	case "burst":
		for i := range 200 {
			_ = s.Emit("burst", i)
		}
	case "ask":
		go func() { // the answer comes on another goroutine, so this is only not to hold up later events
			ctx, cancel := context.WithTimeout(s.Context(), 5*time.Second)
			defer cancel()
			answer, err := s.Call(ctx, "question", 6, 7)
			if err != nil {
				r.t.Errorf("call: %v", err)
				return
			}
			_ = s.Emit("answered", args[0], answer[0])
		}()
	default:
		values := make([]any, len(args))
		for i := range args {
			values[i] = args[i]
		}
		if ack != nil {
			ack(values...)
			return
		}
		_ = s.Emit(name, values...)
	}
}

func guarded() socketio.Handler {
	return socketio.Handler{
		Authorize: func(_ context.Context, _ *http.Request, auth json.RawMessage) (any, error) {
			var given struct {
				Token string `json:"token"`
			}
			if len(auth) > 0 {
				if err := json.Unmarshal(auth, &given); err != nil {
					return nil, err
				}
			}
			if given.Token != "secret" {
				return nil, &socketio.ConnectError{Message: "refused", Data: map[string]string{"code": "unauthenticated"}}
			}
			return "ada", nil
		},
		Connect: func(s *socketio.Socket) { _ = s.Emit("principal", s.Principal()) },
	}
}

func TestOfficialClient(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	require.NoError(t, err, "Node is needed, as for everything else here")
	install(t)
	r := &rig{t: t, retired: make(chan error, 16)}
	r.start()
	mux := http.NewServeMux()
	mux.Handle("/socket.io", r)
	mux.Handle("/socket.io/{$}", r)
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "client.mjs", web.URL)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	require.Contains(t, string(out), "48 of 48 checks passed")

	require.NoError(t, stop(r.current.Load()))
	for range 3 { // one restart per transport setting
		require.NoError(t, <-r.retired)
	}
}

// installing is shared by the tests, which run side by side.
var installing sync.Mutex

// install fetches the official packages, once, as they are pinned.
func install(t *testing.T) {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	if _, err := os.Stat(filepath.Join("node_modules", "@socket.io", "redis-emitter", "package.json")); err == nil {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Run(), "npm ci: %s", &out)
}
