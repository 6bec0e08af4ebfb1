package realtime

import (
	"bytes"
	"fmt"
	"strings"
)

// order is what a server is asked to publish: Count events to Room, or to each of as
// many rooms own0, own1, ...
type order struct {
	Room         string
	Rooms, Count int
	Stamp        int64
	First        int64 // number of the first event, where the publisher numbers
}

// String gives it as JSON.
func (o order) String() string {
	return fmt.Sprintf(`{"room":%q,"rooms":%d,"count":%d,"stamp":%d,"first":%d}`, o.Room, o.Rooms, o.Count, o.Stamp, o.First)
}

// wire is a protocol, as far as the generator speaks it.
type wire interface {
	path() string
	// enter connects and joins a room.
	enter(c *client, room string) error
	publish(o order) []byte
	// pong is the answer to a heartbeat; nil: the packet is none.
	pong(packet []byte) []byte
}

var stampMark, sequenceMark = []byte(`"stamp":`), []byte(`"sequence":`)

// numbers yields the number after each mark in a frame; a frame may have several
// events.
func numbers(frame, mark []byte, use func(int64)) {
	for {
		i := bytes.Index(frame, mark)
		if i < 0 {
			return
		}
		frame = frame[i+len(mark):]
		n, end := int64(0), 0
		for end < len(frame) && frame[end] >= '0' && frame[end] <= '9' {
			n = n*10 + int64(frame[end]-'0')
			end++
		}
		use(n)
	}
}

type socketIO struct{}

func (socketIO) path() string { return "/socket.io/?EIO=4&transport=websocket" }

func (socketIO) enter(c *client, room string) error {
	if err := c.expect("0{"); err != nil {
		return err
	}
	if err := c.exchange("40", "40{"); err != nil {
		return err
	}
	if room == "" {
		return nil
	}
	return c.exchange(fmt.Sprintf(`420["join",%q]`, room), "430[")
}

func (socketIO) publish(o order) []byte {
	return fmt.Appendf(nil, `42["publish",%s]`, o)
}

func (socketIO) pong(packet []byte) []byte {
	if string(packet) == "2" {
		return []byte("3")
	}
	return nil
}

type centrifugal struct{}

func (centrifugal) path() string { return "/connection/websocket" }

func (centrifugal) enter(c *client, room string) error {
	if err := c.exchange(`{"id":1,"connect":{}}`, `{"id":1,"connect"`); err != nil {
		return err
	}
	if room == "" {
		return nil
	}
	return c.exchange(fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, room), `{"id":2,"subscribe"`)
}

func (centrifugal) publish(o order) []byte {
	return fmt.Appendf(nil, `{"id":3,"rpc":{"method":"publish","data":%s}}`, o)
}

func (centrifugal) pong(packet []byte) []byte {
	if strings.TrimSpace(string(packet)) == "{}" {
		return []byte("{}")
	}
	return nil
}

// hub is Socket.IO with the requests of the Studio.
type hub struct{ socketIO }

func (hub) enter(c *client, room string) error {
	if err := c.expect("0{"); err != nil {
		return err
	}
	if room == "" { // a publisher
		return c.exchange("40", "40{")
	}
	if err := c.exchange("40/rt,", "40/rt,{"); err != nil {
		return err
	}
	if err := c.expect(`42/rt,["rt.connected"`); err != nil {
		return err
	}
	return c.exchange(fmt.Sprintf(`42/rt,0["rt.subscribe",{"rooms":[%q]}]`, room), `43/rt,0[{"ok":true,"rooms":["`)
}
