package socketio

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// full asks for the tests below at full size, which takes minutes.
var full = os.Getenv("SOCKETIO_TEST_FULL") != ""

// TestEveryConnectIsAnswered lets clients speak before they are spoken to, all at once.
func TestEveryConnectIsAnswered(t *testing.T) {
	t.Parallel()
	rounds, clients := 1, 300
	if full {
		rounds, clients = 20, 1000
	}
	s, url := serve(t, Options{}, echoes)
	for round := range rounds {
		answers := make(chan error, clients)
		slots := make(chan struct{}, 200)
		for range clients {
			go func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				answers <- connectAtOnce(t.Context(), url)
			}()
		}
		for range clients {
			require.NoError(t, receive(t, answers), "round %d", round)
		}
	}
	require.EqualValues(t, rounds*clients, s.Stats().Opened)
}

// TestSlowConsumersCostNothing broadcasts to clients that never read, and to one that does: it gets everything, the
// others are cut off, and memory stays where it was.
//
//nolint:paralleltest // it measures the memory of the process
func TestSlowConsumersCostNothing(t *testing.T) {
	// More than the socket buffers of the system take, which may be several megabytes each.
	slow, events, size := 5, 2500, 6000
	if full {
		slow, events, size = 20, 20_000, 600
	}
	opts := Options{QueueBytes: 256 << 10, QueueFrames: 256}
	rec := newRecorder()
	s, url := serve(t, opts, rec.mount)
	sockets := make([]*Socket, 0, slow+1)
	for range slow {
		p, _ := openWebSocket(t, url)
		require.NoError(t, p.conn.(*net.TCPConn).SetReadBuffer(4096))
		p.connectNamespace("")
		sockets = append(sockets, receive(t, rec.connected))
	}
	reader, _ := openWebSocket(t, url)
	reader.connectNamespace("")
	sockets = append(sockets, receive(t, rec.connected))
	got := make(chan int, events)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for i := 0; ctx.Err() == nil && i < events; i++ {
			_, body, err := reader.next()
			if err != nil || !strings.HasPrefix(string(body), fmt.Sprintf(`42["news",{"n":%d,`, i)) {
				got <- -1
				return
			}
			got <- i
		}
	}()

	before, highest := heap(), uint64(0)
	pad := strings.Repeat("x", size)
	for i := range events {
		m, err := NewMessage("/", "news", json.RawMessage(fmt.Sprintf(`{"n":%d,"pad":%q}`, i, pad)))
		require.NoError(t, err)
		for _, socket := range sockets {
			_ = socket.Send(m) // those that are cut off are counted below
		}
		require.Equal(t, i, receive(t, got), "the reader gets everything in order")
		if i%1000 == 999 {
			highest = max(highest, heap())
		}
	}
	t.Logf("heap %d KiB before, at most %d KiB during %d events of %d bytes to %d that do not read", before>>10, highest>>10, events, size, slow)
	require.Less(t, highest, before+4<<20)
	for range slow {
		require.Equal(t, ReasonSlowConsumer, receive(t, rec.disconnected))
	}
	require.EqualValues(t, slow, s.Stats().Closed[ReasonSlowConsumer])
	require.NoError(t, sockets[slow].Emit("still here"))
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
