package realtime

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

const answerWait = 60 * time.Second

// client is one WebSocket connection of the generator.
type client struct {
	conn   net.Conn
	reader *bufio.Reader
	wire   wire
	buffer []byte
}

func dial(ctx context.Context, address string, w wire, room string) (*client, error) {
	d := ws.Dialer{Timeout: answerWait, ReadBufferSize: 1024, WriteBufferSize: 1024}
	conn, early, _, err := d.Dial(ctx, "ws://"+address+w.path())
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, wire: w}
	var src io.Reader = conn
	if early != nil {
		src = io.MultiReader(early, conn)
	}
	c.reader = bufio.NewReaderSize(src, 16<<10)
	_ = conn.SetReadDeadline(time.Now().Add(answerWait))
	if err := w.enter(c, room); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, conn.SetReadDeadline(time.Time{})
}

// next returns the payload of the next data frame, valid until the one after it.
func (c *client) next() ([]byte, error) {
	for {
		h, err := ws.ReadHeader(c.reader)
		if err != nil {
			return nil, err
		}
		c.buffer = slices.Grow(c.buffer[:0], int(h.Length))[:h.Length]
		if _, err := io.ReadFull(c.reader, c.buffer); err != nil {
			return nil, err
		}
		switch {
		case h.OpCode == ws.OpClose:
			return nil, errors.New("closed by the server: " + string(c.buffer))
		case h.OpCode == ws.OpPing:
			if err := c.write(ws.OpPong, c.buffer); err != nil {
				return nil, err
			}
		case !h.Fin:
			return nil, errors.New("fragmented message")
		default:
			if answer := c.wire.pong(c.buffer); answer != nil {
				if err := c.write(ws.OpText, answer); err != nil {
					return nil, err
				}
				continue
			}
			return c.buffer, nil
		}
	}
}

func (c *client) write(op ws.OpCode, payload []byte) error {
	var out bytes.Buffer
	if err := ws.WriteFrame(&out, ws.MaskFrame(ws.NewFrame(op, true, bytes.Clone(payload)))); err != nil {
		return err
	}
	_, err := c.conn.Write(out.Bytes())
	return err
}

func (c *client) expect(prefix string) error {
	got, err := c.next()
	if err == nil && !bytes.HasPrefix(got, []byte(prefix)) {
		err = fmt.Errorf("want %s..., got %s", prefix, got)
	}
	return err
}

func (c *client) exchange(text, prefix string) error {
	if err := c.write(ws.OpText, []byte(text)); err != nil {
		return err
	}
	return c.expect(prefix)
}

// crowd is many clients that count what they get.
type crowd struct {
	clients  []*client
	received atomic.Int64
	begun    time.Time

	mu    sync.Mutex
	waits []time.Duration
	fault error

	group sync.WaitGroup
}

// gather connects clients, some at a time, to one room or to one each, and lets them
// listen.
func gather(ctx context.Context, address string, w wire, count, atOnce int, own bool) (*crowd, time.Duration, error) {
	c := &crowd{clients: make([]*client, count), begun: time.Now()}
	var next atomic.Int64
	failures := make(chan error, atOnce)
	var dialing sync.WaitGroup
	for range atOnce {
		dialing.Go(func() {
			for i := next.Add(1) - 1; i < int64(count); i = next.Add(1) - 1 {
				room := "all"
				if own {
					room = "own" + strconv.FormatInt(i, 10)
				}
				one, err := dial(ctx, address, w, room)
				if err != nil {
					failures <- err
					return
				}
				c.clients[i] = one
			}
		})
	}
	dialing.Wait()
	took := time.Since(c.begun)
	select {
	case err := <-failures:
		c.leave()
		return nil, 0, err
	default:
	}
	for _, one := range c.clients {
		c.group.Go(func() { c.listen(one) })
	}
	return c, took, nil
}

func (c *crowd) listen(one *client) {
	var waits []time.Duration
	for {
		frame, err := one.next()
		if err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.waits = append(c.waits, waits...)
			if !errors.Is(err, net.ErrClosed) && c.fault == nil {
				c.fault = err
			}
			return
		}
		now := int64(time.Since(c.begun))
		n := int64(0)
		numbers(frame, stampMark, func(sent int64) {
			n++
			waits = append(waits, time.Duration(now-sent))
		})
		c.received.Add(n)
	}
}

// await waits until so many events have come in all.
func (c *crowd) await(ctx context.Context, total int64) error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	last, changed := int64(-1), time.Now()
	for c.received.Load() < total {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if got := c.received.Load(); got != last {
			last, changed = got, time.Now()
		} else if time.Since(changed) > answerWait/2 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return fmt.Errorf("%d of %d events came; first fault: %w", got, total, c.fault)
		}
	}
	return nil
}

// leave ends all and gives how long events were on their way.
func (c *crowd) leave() []time.Duration {
	for _, one := range c.clients {
		if one != nil {
			_ = one.conn.Close()
		}
	}
	c.group.Wait()
	slices.Sort(c.waits)
	return c.waits
}

func sorted(list []time.Duration) []time.Duration { return slices.Sorted(slices.Values(list)) }

func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}
