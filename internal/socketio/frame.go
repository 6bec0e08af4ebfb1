package socketio

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"iter"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Engine.IO packet types.
const (
	engineOpen    = '0'
	engineClose   = '1'
	enginePing    = '2'
	enginePong    = '3'
	engineMessage = '4'
	engineUpgrade = '5'
	engineNoop    = '6'
)

// separator stands between the packets of a polling payload. It is a control character, so valid JSON never holds it.
const separator = 0x1e

// frame is one Engine.IO packet, encoded as a complete WebSocket frame. It is immutable and may wait in any number of
// queues. The polling form of a text packet is the payload of the same bytes.
type frame struct {
	data   []byte
	head   uint8
	binary bool
}

// frameHead is the largest header of a frame that is not masked.
const frameHead = 10

// newFrame makes a final, unmasked WebSocket frame out of the joined parts.
func newFrame(op ws.OpCode, parts ...[]byte) frame {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	buf := make([]byte, frameHead, frameHead+n)
	for _, p := range parts {
		buf = append(buf, p...)
	}
	return sealFrame(op, buf)
}

// sealFrame makes a frame of a payload that frameHead bytes were left free before.
func sealFrame(op ws.OpCode, buf []byte) frame {
	n := len(buf) - frameHead
	const final = 0x80
	head := 2
	switch {
	case n < 126:
		buf[frameHead-1] = byte(n)
	case n <= 0xffff:
		head = 4
		binary.BigEndian.PutUint16(buf[frameHead-2:], uint16(n))
		buf[frameHead-3] = 126
	default:
		head = 10
		binary.BigEndian.PutUint64(buf[frameHead-8:], uint64(n))
		buf[frameHead-9] = 127
	}
	buf[frameHead-head] = final | byte(op)
	return frame{data: buf[frameHead-head:], head: uint8(head), binary: op == ws.OpBinary}
}

func textFrame(packet string) frame { return newFrame(ws.OpText, []byte(packet)) }

func closeFrame(code ws.StatusCode, reason string) frame {
	return newFrame(ws.OpClose, ws.NewCloseFrameBody(code, reason))
}

func (f frame) payload() []byte { return f.data[f.head:] }

// pollingSize is the number of bytes that appendPolling adds.
func (f frame) pollingSize() int {
	if f.binary {
		return 1 + base64.StdEncoding.EncodedLen(len(f.payload()))
	}
	return len(f.payload())
}

func (f frame) appendPolling(dst []byte) []byte {
	if f.binary {
		return base64.StdEncoding.AppendEncode(append(dst, 'b'), f.payload())
	}
	return append(dst, f.payload()...)
}

func frameBytes(frames []frame) int {
	n := 0
	for _, f := range frames {
		n += len(f.data)
	}
	return n
}

// joinPolling encodes frames as one polling payload.
func joinPolling(frames []frame) []byte {
	n := len(frames)
	for _, f := range frames {
		n += f.pollingSize()
	}
	out := make([]byte, 0, n)
	for i, f := range frames {
		if i > 0 {
			out = append(out, separator)
		}
		out = f.appendPolling(out)
	}
	return out
}

// enginePacket is a received Engine.IO packet. A binary one is always a message.
type enginePacket struct {
	kind   byte
	data   []byte
	binary bool
}

// decodePayload yields the packets of a polling payload and stops after the first that is malformed.
func decodePayload(body []byte) iter.Seq2[enginePacket, error] {
	return func(yield func(enginePacket, error) bool) {
		if !utf8.Valid(body) {
			yield(enginePacket{}, errNotUTF8)
			return
		}
		for part := range bytes.SplitSeq(body, []byte{separator}) {
			p, err := decodePolled(part)
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

func decodePolled(part []byte) (enginePacket, error) {
	if len(part) > 0 && part[0] == 'b' {
		data := make([]byte, base64.StdEncoding.DecodedLen(len(part)-1))
		n, err := base64.StdEncoding.Decode(data, part[1:])
		if err != nil {
			return enginePacket{}, fmt.Errorf("decode binary packet: %w", err)
		}
		return enginePacket{kind: engineMessage, data: data[:n], binary: true}, nil
	}
	return decodeText(part)
}

// decodeText decodes a text packet; the result shares its memory.
func decodeText(part []byte) (enginePacket, error) {
	if len(part) == 0 || part[0] < engineOpen || part[0] > engineNoop {
		return enginePacket{}, fmt.Errorf("engine packet type: %w", errMalformed)
	}
	return enginePacket{kind: part[0], data: part[1:]}, nil
}
