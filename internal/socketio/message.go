package socketio

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/gobwas/ws"
)

// Message is an event for one namespace, encoded once. It is immutable: send it to as many sockets as needed, from any
// goroutine.
type Message struct {
	namespace string
	event     string
	frames    []frame
}

// NewMessage encodes an event. Each argument must be valid JSON.
func NewMessage(namespace, event string, args ...json.RawMessage) (*Message, error) {
	return NewBinaryMessage(namespace, event, nil, args...)
}

// NewBinaryMessage encodes an event with binary attachments. The place of attachment N in the arguments is taken by
// the object {"_placeholder":true,"num":N}; every attachment must have one.
func NewBinaryMessage(namespace, event string, attachments [][]byte, args ...json.RawMessage) (*Message, error) {
	for i, arg := range args {
		// A broken one would break the session of every receiver.
		if !json.Valid(arg) {
			return nil, fmt.Errorf("socketio: argument %d is not valid JSON", i)
		}
	}
	return newMessage(namespace, event, args, attachments)
}

// EncodeMessage is [NewMessage] for arguments that are encoded as [Socket.Emit] does it.
func EncodeMessage(namespace, event string, args ...any) (*Message, error) {
	items, attachments, err := encodeArgs(args)
	if err != nil {
		return nil, err
	}
	return newMessage(namespace, event, items, attachments)
}

func newMessage(namespace, event string, args []json.RawMessage, attachments [][]byte) (*Message, error) {
	frames, err := encodeEvent(packet{kind: packetEvent, namespace: namespace}, event, args, attachments)
	if err != nil {
		return nil, err
	}
	return &Message{namespace: namespace, event: event, frames: frames}, nil
}

// Namespace returns the namespace the message is for.
func (m *Message) Namespace() string { return m.namespace }

// Event returns the name of the event.
func (m *Message) Event() string { return m.event }

// Size returns how many bytes the message takes in the queue of each receiver.
func (m *Message) Size() int { return frameBytes(m.frames) }

func encodeEvent(head packet, event string, args []json.RawMessage, attachments [][]byte) ([]frame, error) {
	if err := checkNamespace(head.namespace); err != nil {
		return nil, err
	}
	if reservedEvent(event) {
		return nil, fmt.Errorf("socketio: event name %q is reserved", event)
	}
	name, err := encodeName(event)
	if err != nil {
		return nil, fmt.Errorf("encode event name: %w", err)
	}
	return encodeFrames(head, append([]json.RawMessage{name}, args...), attachments)
}

// encodeName spares the usual name the encoder.
func encodeName(event string) (json.RawMessage, error) {
	for i := range len(event) {
		if c := event[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return encodeJSON(event)
		}
	}
	return json.RawMessage(`"` + event + `"`), nil
}

// packetHead is enough for what stands around the namespace and the items of a packet.
const packetHead = 32

// encodeFrames encodes a packet with an array of valid JSON and attachments; the frames must stay together.
func encodeFrames(head packet, items []json.RawMessage, attachments [][]byte) ([]frame, error) {
	if len(attachments) > 0 {
		head.attachments = len(attachments)
		if head.kind == packetEvent {
			head.kind = packetBinaryEvent
		} else {
			head.kind = packetBinaryAck
		}
	}
	size := frameHead + packetHead + len(head.namespace)
	for _, item := range items {
		size += len(item) + 1
	}
	text := append(appendHeader(make([]byte, frameHead, size), head), '[')
	for i, item := range items {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, item...)
	}
	frames := make([]frame, 0, 1+len(attachments))
	frames = append(frames, sealFrame(ws.OpText, append(text, ']')))
	for _, a := range attachments {
		frames = append(frames, newFrame(ws.OpBinary, a))
	}
	return frames, nil
}

func encodeConnect(namespace, sid string) frame {
	text := appendHeader(nil, packet{kind: packetConnect, namespace: namespace})
	return newFrame(ws.OpText, text, []byte(`{"sid":"`+sid+`"}`))
}

func encodeDisconnect(namespace string) frame {
	return newFrame(ws.OpText, appendHeader(nil, packet{kind: packetDisconnect, namespace: namespace}))
}

func encodeConnectError(namespace string, refusal *ConnectError) (frame, error) {
	body, err := encodeJSON(struct {
		Message string `json:"message"`
		Data    any    `json:"data,omitempty"`
	}{refusal.Message, refusal.Data})
	if err != nil {
		return frame{}, fmt.Errorf("encode connect error: %w", err)
	}
	text := appendHeader(nil, packet{kind: packetConnectError, namespace: namespace})
	return newFrame(ws.OpText, bytes.Join([][]byte{text, body}, nil)), nil
}
