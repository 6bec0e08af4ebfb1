package socketio

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/socketio"
	"github.com/llmctl/studio/internal/socketio/redisadapter"
	"github.com/llmctl/studio/internal/testkit/redistest"
)

// shared is a namespace of ours in a cluster with foreign servers.
type shared struct{ adapter *redisadapter.Adapter }

func (s *shared) event(socket *socketio.Socket, name string, args []json.RawMessage, attachments [][]byte, ack func(...any)) {
	switch name {
	case "join":
		var rooms []string
		if json.Unmarshal(args[0], &rooms) == nil && socket.Join(rooms...) == nil {
			ack()
		}
	case "shout":
		var to struct {
			Event         string
			Rooms, Except []string
		}
		if json.Unmarshal(args[0], &to) == nil {
			_ = s.adapter.Broadcast(redisadapter.Event{Name: to.Event, Args: args[1:], Attachments: attachments},
				socketio.Audience{Rooms: to.Rooms, Except: to.Except}, false) // the clients notice
		}
	}
}

func TestOfficialAdapterAndEmitter(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	require.NoError(t, err, "Node is needed, as for everything else here")
	install(t)
	server, err := socketio.New(socketio.Options{})
	require.NoError(t, err)
	cache := redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: cache.Addr(), PipelinePoolSize: -1})
	t.Cleanup(func() { _ = client.Close() })
	s := &shared{}
	s.adapter, err = redisadapter.NewAdapter(server, redisadapter.Options{
		Namespace: "/rt", Node: func(context.Context, int) (redis.UniversalClient, error) { return client, nil },
	})
	require.NoError(t, err)
	server.Namespace("/rt", socketio.Handler{
		Event: func(socket *socketio.Socket, name string, args []json.RawMessage, ack func(...any)) {
			s.event(socket, name, args, nil, ack)
		},
		BinaryEvent: s.event,
	})
	runService(t, s.adapter)
	mux := http.NewServeMux()
	server.Mount(mux, "/socket.io")
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	t.Cleanup(func() { require.NoError(t, stop(server)) })

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "interop.mjs", web.URL, "redis://"+cache.Addr())
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	require.Contains(t, string(out), "31 of 31 checks passed")
	require.Zero(t, s.adapter.Status().Undecodable)
	require.True(t, s.adapter.Status().OK, s.adapter.Status().Reason)
}

// runService runs a service until the test ends, and waits until it is ready.
func runService(t *testing.T, s interface {
	Run(ctx context.Context, ready func()) error
},
) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- s.Run(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}
