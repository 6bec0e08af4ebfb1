package serving

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Stats are a worker's figures, sent with every beat.
type Stats struct {
	Requests    uint64   `json:"requests"`    // answered since its start
	InFlight    int      `json:"in_flight"`   // being answered
	Waiting     int      `json:"waiting"`     // in line for one of GUNICORN_THREADS
	Connections int      `json:"connections"` // open, sockets included
	WebSocket   int      `json:"websocket"`   // realtime sessions by transport
	Polling     int      `json:"polling"`
	Memory      uint64   `json:"memory"` // resident bytes
	Realtime    Realtime `json:"realtime"`
}

// Realtime are the figures of a worker's realtime side.
type Realtime struct {
	Ready       bool      `json:"ready"`
	Reason      string    `json:"reason,omitempty"` // why not
	Bus         string    `json:"bus"`
	Connections int64     `json:"connections"`
	Rooms       int64     `json:"rooms"`
	Streams     int64     `json:"streams"`
	Delivered   int64     `json:"delivered"`
	Replayed    int64     `json:"replayed"`
	FromLog     int64     `json:"from_log"` // events that no hint had announced
	SlowCloses  int64     `json:"slow_closes"`
	LastSweep   time.Time `json:"last_sweep,omitzero"`
}

// The messages of the channel.
const (
	msgReady   = "ready"   // worker: it accepts
	msgBeat    = "beat"    // worker: it lives
	msgRecycle = "recycle" // worker: it has served enough
	msgReopen  = "reopen"  // arbiter: open the log files anew
	msgDrain   = "drain"   // arbiter: stop accepting, end what there is, exit
	msgQuit    = "quit"    // arbiter: exit now
)

type message struct {
	Type  string `json:"type"`
	Stats *Stats `json:"stats,omitempty"`
}

const (
	maxMessage   = 64 << 10
	writeTimeout = 2 * time.Second // a peer that reads nothing for so long is stuck
)

// channel is one end of the pair between the arbiter and a worker.
type channel struct {
	conn net.Conn
	mu   sync.Mutex // one writer at a time
}

func (c *channel) send(m message) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if _, err := c.conn.Write(append(raw, '\n')); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// receive hands every message to f until the peer is gone.
func (c *channel) receive(f func(message)) error {
	lines := bufio.NewScanner(c.conn)
	lines.Buffer(nil, maxMessage)
	for lines.Scan() {
		var m message
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			continue // a newer release may say more than this one knows
		}
		f(m)
	}
	return errors.Join(lines.Err(), c.conn.Close())
}
