package socketio

import (
	"bytes"
	"encoding/json"
)

// logPacketsOut tells [Options.PacketLogger] of what is queued. It reads the packets' heads out of the frames, so that
// nothing has to be kept for a log that is off as a rule.
func (c *conn) logPacketsOut(frames []frame) {
	log := c.srv.opts.PacketLogger
	if log == nil {
		return
	}
	for _, f := range frames {
		text := f.payload()
		if f.binary || len(text) < 2 || text[0] != engineMessage {
			continue // an attachment, or nothing of the Socket.IO layer
		}
		p := headOf(text[1:])
		log.InfoContext(c.ctx, "packet queued", "sid", c.id, "namespace", p.namespace, "type", string(p.kind), "event", p.name)
	}
}

// headOf reads the head of a packet that this server has made: its kind, its namespace, and of an event the name.
func headOf(text []byte) packet {
	p := packet{kind: packetType(text[0]), namespace: "/"}
	text = text[1:]
	if n := countDigits(text); n > 0 && n < len(text) && text[n] == '-' { // attachments
		text = text[n+1:]
	}
	if len(text) > 0 && text[0] == '/' {
		name, rest, _ := bytes.Cut(text, []byte{','})
		p.namespace, text = string(name), rest
	}
	text = text[countDigits(text):] // an acknowledgement's id
	if p.kind != packetEvent && p.kind != packetBinaryEvent {
		return p
	}
	items := json.NewDecoder(bytes.NewReader(text))
	if _, err := items.Token(); err == nil { // the bracket
		_ = items.Decode(&p.name) // what this server has made begins with a name
	}
	return p
}
