package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tinylib/msgp/msgp"

	"github.com/llmctl/studio/internal/socketio"
	"github.com/llmctl/studio/internal/socketio/redisadapter"
	"github.com/llmctl/studio/internal/testkit/llmtest"
	"github.com/llmctl/studio/internal/testkit/redistest"
)

type readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons"`
}

type realtimeStatus struct {
	Workers []struct {
		Hub struct {
			Bus       string `json:"bus"`
			BusHealth struct {
				OK bool `json:"ok"`
			} `json:"bus_health"`
		} `json:"hub"`
		Foreign map[string]redisadapter.Status `json:"foreign"`
	} `json:"workers"`
}

// TestRedisOnlyMakesItFaster: a Redis that is away at the start, comes, goes and comes
// again keeps the studio from nothing, and no event is lost or doubled.
func TestRedisOnlyMakesItFaster(t *testing.T) {
	t.Parallel()
	llm := llmtest.New(t)
	llm.On("SUMMARY", llmtest.Reply{Text: "Short."})
	llm.On("OUTLINE", llmtest.Reply{Text: "One."})
	llm.On("REPORT", llmtest.Reply{Text: "All is well."})
	cache := redistest.Start(t)
	cache.Kill(t)
	s := newStudio(t, "--env-file", envFile(t,
		fmt.Sprintf("LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE=redis://127.0.0.1:%d/3", cache.Port),
		"LLMCTL_STUDIO_SOCKETIO_ADAPTER=classic,python"))
	var ready readiness
	require.Equal(t, http.StatusServiceUnavailable, s.call("GET", "/api/ready", nil, &ready))
	require.Contains(t, strings.Join(ready.Reasons, "\n"), "bus: not subscribed")
	s.signIn()
	id := s.flowchart(sixNodes(s.model(llm.OpenAIURL())))
	f := s.follow(s.key, "websocket", fmt.Sprintf("flowchart:%d", id))
	f.acknowledged()
	s.runHeard(f, id) // without Redis

	cache.Restart(t)
	s.awaitReady(true)
	var status realtimeStatus
	// The links to foreign servers connect by themselves, each with pauses of its own; readiness does not wait for them.
	require.Eventually(t, func() bool {
		status = realtimeStatus{}
		require.Equal(t, http.StatusOK, s.call("GET", "/api/realtime/status", nil, &status))
		w := status.Workers[0]
		return w.Hub.Bus == "redis" && w.Hub.BusHealth.OK && w.Foreign["python"].OK && w.Foreign["classic"].OK
	}, patience, 50*time.Millisecond, "%+v", &status)
	heard := s.foreignServer(cache)
	run := s.runHeard(f, id)

	cache.Freeze(t)
	s.runHeard(f, id)
	s.awaitReady(false)
	cache.Thaw(t)
	s.awaitReady(true)
	s.runHeard(f, id)
	require.Zero(t, f.repeated)
	s.foreignEmitter(cache, f, fmt.Sprintf("flowchart:%d", id))

	// The foreign server heard what was committed while it listened, in order, once.
	stream := fmt.Sprintf("flowchart_run:%d", run)
	logged := s.events(stream)
	require.GreaterOrEqual(t, len(heard), len(logged))
	sequence := int64(0)
	for len(heard) > 0 {
		var e envelope
		require.NoError(t, json.Unmarshal(<-heard, &e))
		if e.Stream == stream {
			sequence++
			require.Equal(t, sequence, e.Sequence)
		}
	}
	require.Len(t, logged, int(sequence))
}

func envFile(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "studio.env")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return file
}

// runHeard runs the flowchart to its end and compares what was heard with the log.
func (s *studio) runHeard(f *follower, id int64) (run int64) {
	s.t.Helper()
	var started runBody
	require.Equal(s.t, 202, s.call("POST", fmt.Sprintf("/api/flowcharts/%d/runs", id), map[string]any{"input": map[string]any{"text": "A text."}}, &started))
	f.until(started.Run.ID)
	require.Equal(s.t, "succeeded", s.run(started.Run.ID).Run.Status)
	stream := fmt.Sprintf("flowchart_run:%d", started.Run.ID)
	logged, heard := s.events(stream), f.seen[stream]
	require.Len(s.t, heard, len(logged))
	for i := range logged {
		require.JSONEq(s.t, string(logged[i]), string(heard[i]))
	}
	return started.Run.ID
}

func (s *studio) awaitReady(want bool) {
	s.t.Helper()
	var last readiness
	require.Eventually(s.t, func() bool {
		_, raw, err := s.try("GET", "/api/ready", nil)
		return err == nil && json.Unmarshal(raw, &last) == nil && last.Ready == want
	}, patience, 50*time.Millisecond, "ready is not %v", want)
}

// foreignServer hears what foreign servers hear, and gives the envelopes.
func (s *studio) foreignServer(cache *redistest.Server) chan []byte {
	s.t.Helper()
	heard := make(chan []byte, 10_000)
	sub := cache.Client(s.t).PSubscribe(s.t.Context(), "socket.io#/rt#*")
	_, err := sub.Receive(s.t.Context())
	require.NoError(s.t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range sub.Channel(redis.WithChannelHealthCheckInterval(0), redis.WithChannelSize(10_000)) {
			if envelope, ok := firstArgument([]byte(m.Payload)); ok {
				heard <- envelope
			}
		}
	}()
	s.t.Cleanup(func() {
		_ = sub.Close()
		<-done
	})
	return heard
}

// firstArgument takes a message of the classic format apart.
func firstArgument(raw []byte) ([]byte, bool) {
	var text bytes.Buffer
	if _, err := msgp.UnmarshalAsJSON(&text, raw); err != nil {
		return nil, false
	}
	var packet struct{ Data []json.RawMessage }
	parts := []any{new(string), &packet, new(any)}
	if err := json.Unmarshal(text.Bytes(), &parts); err != nil || len(packet.Data) < 2 {
		return nil, false
	}
	return packet.Data[1], true
}

// foreignEmitter emits to a room that the follower is in and to one that it is not in.
func (s *studio) foreignEmitter(cache *redistest.Server, f *follower, room string) {
	s.t.Helper()
	client := cache.Client(s.t)
	e, err := redisadapter.NewEmitter(redisadapter.Options{
		Namespace: "/rt", Node: func(context.Context, int) (redis.UniversalClient, error) { return client, nil },
	})
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx, func() {}) }()
	for _, to := range [][]string{{"flowchart:999999"}, {room, "flowchart:999999"}} {
		e.Emit(redisadapter.Event{Name: "foreign:" + fmt.Sprint(len(to)), Args: []json.RawMessage{json.RawMessage(`{"n":1}`)}}, socketio.Audience{Rooms: to}, false)
	}
	for {
		l := f.next()
		require.NotEqual(s.t, "foreign:1", l.Event, "the client is not in that room")
		if l.Event == "foreign:2" {
			require.JSONEq(s.t, `{"n":1}`, string(l.Payload))
			break
		}
	}
	cancel()
	require.NoError(s.t, <-done)
}
