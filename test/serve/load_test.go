package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// load is a number of clients that ask without a pause, each on one connection, and
// forgive nothing: an end of the connection is a failure unless the answer before it
// announced it.
type load struct {
	address, path, key string
	requests, failures atomic.Int64
	connections        atomic.Int64
	first              atomic.Pointer[string]
	stop               chan struct{}
	clients            sync.WaitGroup
}

func startLoad(address, path, key string, clients int, pauses time.Duration) *load {
	l := &load{address: address, path: path, key: key, stop: make(chan struct{})}
	for range clients {
		l.clients.Go(func() { l.client(pauses) })
	}
	return l
}

func (l *load) end() {
	close(l.stop)
	l.clients.Wait()
}

func (l *load) client(pauses time.Duration) {
	for {
		err := l.connection(pauses)
		if err == nil {
			select {
			case <-l.stop:
				return
			default:
				continue
			}
		}
		text := err.Error()
		l.first.CompareAndSwap(nil, &text)
		l.failures.Add(1)
	}
}

// connection asks on one connection until its end is announced or the load ends.
func (l *load) connection(pauses time.Duration) error {
	c, err := net.DialTimeout("tcp", l.address, patience)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = c.Close() }()
	l.connections.Add(1)
	in := bufio.NewReader(c)
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return nil
		default:
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", l.path, l.key); err != nil {
			return fmt.Errorf("request %d of a connection: %w", n, err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return fmt.Errorf("answer %d of a connection: %w", n, err)
		}
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			return fmt.Errorf("body: %w", err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", resp.Status, raw)
		}
		l.requests.Add(1)
		if resp.Close {
			return nil
		}
		if pauses > 0 {
			pause(pauses)
		}
	}
}

// listener is a Socket.IO client over WebSocket that follows one room, comes back when
// its connection ends, and says what it has.
type listener struct {
	address, room, key string
	ready              chan struct{} // closed with the first answer to its subscription

	mu         sync.Mutex
	last       map[string]int64 // sequence by stream
	position   string
	gaps       []string
	duplicates int
	resyncs    int
	connects   int
	failures   []string
}

type packet struct {
	Type     string          `json:"event_type"`
	Stream   string          `json:"sequence_stream"`
	Sequence int64           `json:"sequence"`
	Position string          `json:"position"`
	OK       bool            `json:"ok"`
	Resync   json.RawMessage `json:"resync"`
}

func newListener(address, room, key string) *listener {
	return &listener{address: address, room: room, key: key, ready: make(chan struct{}), last: map[string]int64{}}
}

// run follows the room until ctx ends. Like the official client it waits before it
// connects again.
func (l *listener) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := l.connection(ctx)
		if ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		if err != nil && !errors.Is(err, io.EOF) {
			l.failures = append(l.failures, err.Error())
		}
		l.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (l *listener) connection(ctx context.Context) error {
	target := url.URL{Scheme: "ws", Host: l.address, Path: "/api/socket.io/", RawQuery: "EIO=4&transport=websocket"}
	dialer := ws.Dialer{Timeout: patience}
	conn, early, _, err := dialer.Dial(ctx, target.String())
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var in io.Reader = conn
	if early != nil {
		in = io.MultiReader(early, conn)
	}
	both := struct {
		io.Reader
		io.Writer
	}{in, conn}
	for {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		raw, err := wsutil.ReadServerText(both)
		if err != nil {
			return io.EOF // the server ended it, or a proxy did
		}
		answer, err := l.take(string(raw))
		if err != nil {
			return err
		}
		if answer == "" {
			continue
		}
		if err := wsutil.WriteClientText(conn, []byte(answer)); err != nil {
			return io.EOF
		}
	}
}

// take handles one Engine.IO packet and gives what is to be answered.
func (l *listener) take(raw string) (string, error) {
	const namespace = "/rt,"
	switch {
	case raw[0] == '0':
		return fmt.Sprintf(`40/rt,{"token":%q}`, l.key), nil
	case raw == "2":
		return "3", nil
	case hasPrefix(raw, "40"+namespace):
		return l.subscribe(), nil
	case hasPrefix(raw, "43"+namespace+"1"):
		return "", l.subscribed(raw[len("43"+namespace+"1"):])
	case hasPrefix(raw, "42"+namespace):
		return "", l.event(raw[len("42"+namespace):])
	case hasPrefix(raw, "44"):
		return "", errors.New(raw)
	}
	return "", nil
}

func hasPrefix(s, prefix string) bool { return len(s) >= len(prefix) && s[:len(prefix)] == prefix }

func (l *listener) subscribe() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connects++
	ask := map[string]any{"rooms": []string{l.room}}
	if l.position != "" {
		ask["position"], ask["after"] = l.position, l.last
	}
	raw, _ := json.Marshal(ask) //nolint:errchkjson // texts and numbers
	return `42/rt,1["rt.subscribe",` + string(raw) + `]`
}

func (l *listener) subscribed(raw string) error {
	var args []packet
	if err := json.Unmarshal([]byte(raw), &args); err != nil || len(args) != 1 || !args[0].OK {
		return fmt.Errorf("subscription: %s", raw)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.position == "" {
		l.position = args[0].Position
		close(l.ready)
	}
	if string(args[0].Resync) != "[]" && string(args[0].Resync) != "null" {
		l.resyncs++
	}
	return nil
}

func (l *listener) event(raw string) error {
	var args []json.RawMessage
	var name string
	var p packet
	if err := json.Unmarshal([]byte(raw), &args); err != nil || len(args) < 2 {
		return nil // an event without a payload is none of ours
	}
	if err := errors.Join(json.Unmarshal(args[0], &name), json.Unmarshal(args[1], &p)); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case name == "rt.position":
		l.position = p.Position
	case name == "rt.resync":
		l.resyncs++
	case p.Stream == "":
	case p.Sequence <= l.last[p.Stream]:
		l.duplicates++
	case p.Sequence != l.last[p.Stream]+1:
		l.gaps = append(l.gaps, fmt.Sprintf("%s: %d after %d", p.Stream, p.Sequence, l.last[p.Stream]))
		l.last[p.Stream] = p.Sequence
	default:
		l.last[p.Stream] = p.Sequence
	}
	return nil
}

// has tells how far it knows a stream.
func (l *listener) has(stream string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[stream]
}
