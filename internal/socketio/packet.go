package socketio

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// packetType is a Socket.IO packet type, as the digit it is on the wire.
type packetType byte

const (
	packetConnect      packetType = '0'
	packetDisconnect   packetType = '1'
	packetEvent        packetType = '2'
	packetAck          packetType = '3'
	packetConnectError packetType = '4'
	packetBinaryEvent  packetType = '5'
	packetBinaryAck    packetType = '6'
)

// maxNamespaceLength bounds names that come from peers; no registered name is longer either.
const maxNamespaceLength = 256

// maxAckDigits keeps acknowledgement ids below 2^63.
const maxAckDigits = 18

// packet is a decoded Socket.IO packet. Nothing in it shares memory with what it was decoded from.
type packet struct {
	kind        packetType
	attachments int
	namespace   string
	id          uint64
	hasID       bool
	name        string            // of an event
	args        []json.RawMessage // of an event (without its name) or an acknowledgement
	auth        json.RawMessage   // of a CONNECT; nil when it has none
}

// decodePacket decodes the text part of a packet that a client may send. Whatever is not exactly that is an error.
func decodePacket(text []byte, maxAttachments int) (packet, error) {
	var p packet
	if len(text) == 0 {
		return p, fmt.Errorf("empty packet: %w", errMalformed)
	}
	p.kind, text = packetType(text[0]), text[1:]
	var err error
	if p.kind == packetBinaryEvent || p.kind == packetBinaryAck {
		if text, err = p.decodeAttachments(text, maxAttachments); err != nil {
			return p, err
		}
	}
	if text, err = p.decodeNamespace(text); err != nil {
		return p, err
	}
	if text, err = p.decodeID(text); err != nil {
		return p, err
	}
	return p, p.decodeData(text)
}

func (p *packet) decodeAttachments(text []byte, limit int) ([]byte, error) {
	digits, rest, found := bytes.Cut(text, []byte{'-'})
	if !found || len(digits) == 0 || len(digits) != countDigits(digits) {
		return nil, fmt.Errorf("attachment count: %w", errMalformed)
	}
	n, err := strconv.Atoi(string(digits))
	if err != nil || n > limit {
		return nil, fmt.Errorf("attachments: %w", errPayloadLimit)
	}
	p.attachments = n
	return rest, nil
}

func (p *packet) decodeNamespace(text []byte) ([]byte, error) {
	p.namespace = "/"
	if len(text) == 0 || text[0] != '/' {
		return text, nil
	}
	name, rest, _ := bytes.Cut(text, []byte{','})
	if len(name) > maxNamespaceLength {
		return nil, fmt.Errorf("namespace: %w", errPayloadLimit)
	}
	p.namespace = string(name)
	return rest, nil
}

func (p *packet) decodeID(text []byte) ([]byte, error) {
	n := countDigits(text)
	if n == 0 {
		return text, nil
	}
	if n > maxAckDigits {
		return nil, fmt.Errorf("acknowledgement id: %w", errMalformed)
	}
	id, err := strconv.ParseUint(string(text[:n]), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("acknowledgement id: %w", err)
	}
	p.id, p.hasID = id, true
	return text[n:], nil
}

func (p *packet) decodeData(text []byte) error {
	switch p.kind {
	case packetConnect:
		return p.decodeConnect(text)
	case packetDisconnect:
		if p.hasID || len(text) > 0 {
			return fmt.Errorf("disconnect: %w", errMalformed)
		}
		return nil
	case packetEvent, packetBinaryEvent:
		return p.decodeEvent(text)
	case packetAck, packetBinaryAck:
		if !p.hasID {
			return fmt.Errorf("acknowledgement without an id: %w", errMalformed)
		}
		return decodeArray(text, &p.args)
	default: // a CONNECT_ERROR too: only servers send it
		return fmt.Errorf("packet type %q: %w", byte(p.kind), errMalformed)
	}
}

func (p *packet) decodeConnect(text []byte) error {
	if p.hasID {
		return fmt.Errorf("connect with an id: %w", errMalformed)
	}
	if len(text) == 0 {
		return nil
	}
	if text[0] != '{' || !json.Valid(text) {
		return fmt.Errorf("connect payload: %w", errMalformed)
	}
	p.auth = bytes.Clone(text)
	return nil
}

func (p *packet) decodeEvent(text []byte) error {
	var items []json.RawMessage
	if err := decodeArray(text, &items); err != nil {
		return err
	}
	if len(items) == 0 || len(items[0]) == 0 || items[0][0] != '"' {
		return fmt.Errorf("event name: %w", errMalformed)
	}
	if err := json.Unmarshal(items[0], &p.name); err != nil {
		return fmt.Errorf("event name: %w", err)
	}
	if reservedEvent(p.name) {
		return fmt.Errorf("reserved event name: %w", errMalformed)
	}
	p.args = items[1:]
	return nil
}

func decodeArray(text []byte, into *[]json.RawMessage) error {
	if len(text) == 0 || text[0] != '[' {
		return fmt.Errorf("packet data: %w", errMalformed)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("packet data: %w", err)
	}
	return nil
}

func countDigits(text []byte) int {
	for i, c := range text {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(text)
}

// reservedEvent reports names that clients use for their own notifications; an event called so would be mistaken for
// one.
func reservedEvent(name string) bool {
	return slices.Contains([]string{
		"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener",
	}, name)
}

// appendHeader starts a Socket.IO packet inside an Engine.IO message.
func appendHeader(dst []byte, p packet) []byte {
	dst = append(dst, engineMessage, byte(p.kind))
	if p.kind == packetBinaryEvent || p.kind == packetBinaryAck {
		dst = append(strconv.AppendInt(dst, int64(p.attachments), 10), '-')
	}
	if p.namespace != "/" {
		dst = append(append(dst, p.namespace...), ',')
	}
	if p.hasID {
		dst = strconv.AppendUint(dst, p.id, 10)
	}
	return dst
}

// checkNamespace reports whether a name can be told apart on the wire.
func checkNamespace(name string) error {
	if !strings.HasPrefix(name, "/") || len(name) > maxNamespaceLength {
		return fmt.Errorf("socketio: namespace %q must begin with a slash and be at most %d bytes", name, maxNamespaceLength)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r == ',' || r == '?' || r < ' ' || r == 0x7f || r == '�' }) {
		return fmt.Errorf("socketio: namespace %q has a character that is not allowed", name)
	}
	return nil
}
