package socketio

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), text)
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == "sid" {
			return slog.Attr{}
		}
		return a
	}}))
}

func echoing() Handler {
	return Handler{Event: func(s *Socket, _ string, _ []json.RawMessage, ack func(...any)) {
		_ = s.Emit("answer", "hush-out", Binary("hush"))
		ack("hush-ack")
	}}
}

func TestThePacketLogsTellBothDirectionsWithoutContent(t *testing.T) {
	t.Parallel()
	packets, engine := &lines{}, &lines{}
	_, url := serve(t, Options{PacketLogger: packets.logger(), EngineLogger: engine.logger()}, func(s *Server) {
		s.Namespace("/rt", echoing())
	})
	p, _ := openWebSocket(t, url)
	p.connectNamespace("/rt,")
	p.send(`42/rt,7["ask","hush-in"]`)
	for _, want := range []string{
		`msg="packet received" namespace=/rt type=0`, `msg="packet queued" namespace=/rt type=0`,
		`msg="packet received" namespace=/rt type=2 event=ask`, `msg="packet queued" namespace=/rt type=5 event=answer`,
		`msg="packet queued" namespace=/rt type=3`,
	} {
		eventually(t, want, func() bool { return packets.has(want) })
	}
	for _, want := range []string{`msg="engine packet received" type=4`, `msg="engine packet queued" binary=true`} {
		eventually(t, want, func() bool { return engine.has(want) })
	}
	require.False(t, packets.has("hush"))
	require.False(t, engine.has("hush"))
}

func TestDepthsCountEveryNumberOnce(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{0: 0, 1: 1, 2: 2, 3: 3, 4: 3, 5: 4, 1024: 7, 1025: 8} {
		require.Equal(t, want, depthOf(n), n)
	}
	require.Len(t, DepthBounds(), depths-1)
}
