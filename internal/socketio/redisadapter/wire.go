package redisadapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tinylib/msgp/msgp"

	"github.com/llmctl/studio/internal/socketio"
)

// maxRooms bounds the rooms that a message names.
const maxRooms = 1000

// Event is an event with JSON arguments; the place of attachment N is taken by {"_placeholder":true,"num":N}.
type Event struct {
	Name        string
	Args        []json.RawMessage
	Attachments [][]byte
}

// names is a list of rooms; JavaScript programs use numbers as well.
type names []string

func (n *names) UnmarshalJSON(raw []byte) error {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return err
	}
	if len(items) > maxRooms {
		return fmt.Errorf("names %d rooms; at most %d are accepted", len(items), maxRooms)
	}
	*n = make(names, 0, len(items))
	for _, item := range items {
		var name string
		switch {
		case len(item) > 0 && item[0] == '"':
			if err := json.Unmarshal(item, &name); err != nil {
				return err
			}
		case bytes.ContainsAny(item[:1], "-0123456789"):
			name = string(item)
		default:
			return errors.New("a room is neither text nor a number")
		}
		*n = append(*n, name)
	}
	return nil
}

// wirePacket is a Socket.IO packet in a message.
type wirePacket struct {
	Data      []json.RawMessage `json:"data"`
	Namespace *string           `json:"nsp"`
}

// wireOptions say for whom a message is.
type wireOptions struct {
	Rooms  names `json:"rooms"`
	Except names `json:"except"`
	Flags  struct {
		Volatile bool    `json:"volatile"`
		Timeout  float64 `json:"timeout"` // milliseconds
	} `json:"flags"`
}

func (o wireOptions) audience() socketio.Audience {
	return socketio.Audience{Rooms: o.Rooms, Except: o.Except}
}

// event takes the packet's event out.
func (p wirePacket) event(attachments [][]byte) (Event, error) {
	e := Event{Attachments: attachments}
	if len(p.Data) == 0 {
		return e, errors.New("the packet has no event")
	}
	if err := json.Unmarshal(p.Data[0], &e.Name); err != nil || p.Data[0][0] != '"' {
		return e, errors.New("the name of the event is no text")
	}
	e.Args = p.Data[1:]
	return e, nil
}

func (p wirePacket) namespace() string {
	if p.Namespace == nil {
		return "/"
	}
	return *p.Namespace
}

// broadcast is a decoded message of a broadcast channel.
type broadcast struct {
	uid         string
	packet      wirePacket
	opts        wireOptions
	attachments [][]byte
}

func decodeBroadcast(raw []byte) (broadcast, error) {
	var b broadcast
	text, attachments, err := toJSON(raw)
	if err != nil {
		return b, err
	}
	b.attachments = attachments
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		return b, fmt.Errorf("decode broadcast: %w", err)
	}
	if len(parts) < 3 {
		return b, fmt.Errorf("decode broadcast: it has %d parts of 3", len(parts))
	}
	for i, into := range []any{&b.uid, &b.packet, &b.opts} {
		if err := json.Unmarshal(parts[i], into); err != nil {
			return b, fmt.Errorf("decode broadcast: part %d: %w", i, err)
		}
	}
	return b, nil
}

func encodeBroadcast(uid, namespace string, e Event, a socketio.Audience, volatile bool) ([]byte, error) {
	out := msgp.AppendArrayHeader(make([]byte, 0, 1024), 3)
	out = msgp.AppendString(out, uid)
	out = msgp.AppendMapHeader(out, 3)
	out = msgp.AppendInt(msgp.AppendString(out, "type"), 2)
	out = msgp.AppendArrayHeader(msgp.AppendString(out, "data"), uint32(len(e.Args)+1))
	out = msgp.AppendString(out, e.Name)
	var err error
	for _, arg := range e.Args {
		if out, err = appendMsgpack(out, arg, e.Attachments); err != nil {
			return nil, err
		}
	}
	out = msgp.AppendString(msgp.AppendString(out, "nsp"), namespace)
	out = msgp.AppendMapHeader(out, 3)
	out = appendNames(msgp.AppendString(out, "rooms"), a.Rooms)
	out = appendNames(msgp.AppendString(out, "except"), a.Except)
	out = msgp.AppendString(out, "flags")
	if !volatile {
		return msgp.AppendMapHeader(out, 0), nil
	}
	return msgp.AppendBool(msgp.AppendString(msgp.AppendMapHeader(out, 1), "volatile"), true), nil
}

func appendNames(dst []byte, names []string) []byte {
	dst = msgp.AppendArrayHeader(dst, uint32(len(names)))
	for _, n := range names {
		dst = msgp.AppendString(dst, n)
	}
	return dst
}

// Kinds of requests and responses.
const (
	requestSockets     = 0
	requestRooms       = 1
	requestJoin        = 2
	requestLeave       = 3
	requestDisconnect  = 4
	requestFetch       = 5
	requestServerSide  = 6
	requestBroadcast   = 7
	responseClients    = 8
	responseAcknowlege = 9
)

// request is a decoded message of the request channel.
type request struct {
	UID    string       `json:"uid"`
	ID     string       `json:"requestId"`
	Type   int          `json:"type"`
	Opts   *wireOptions `json:"opts"`
	Rooms  names        `json:"rooms"`
	Close  bool         `json:"close"`
	Packet wirePacket   `json:"packet"`
	SID    string       `json:"sid"`  // of older servers, instead of opts
	Room   string       `json:"room"` // likewise

	attachments [][]byte
}

// audience is of the options, or of the one socket that older servers name. Without either nobody is meant.
func (r request) audience() (socketio.Audience, bool) {
	switch {
	case r.Opts != nil:
		return r.Opts.audience(), true
	case r.SID != "":
		return socketio.Audience{Rooms: []string{r.SID}}, true
	}
	return socketio.Audience{}, false
}

func (r request) rooms() []string {
	if r.Opts == nil && r.Room != "" {
		return []string{r.Room}
	}
	return r.Rooms
}

func decodeRequest(raw []byte) (request, error) {
	var r request
	text := raw
	if len(raw) == 0 || raw[0] != '{' {
		var err error
		if text, r.attachments, err = toJSON(raw); err != nil {
			return r, err
		}
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("decode request: %w", err)
	}
	return r, nil
}

// channels are the names of a namespace's channels.
type channels struct {
	broadcast, request, response string
}

func channelsOf(key, namespace string) channels {
	return channels{
		broadcast: key + "#" + namespace + "#", request: key + "-request#" + namespace + "#", response: key + "-response#" + namespace + "#",
	}
}

// forRooms is the channel of a broadcast.
func (c channels) forRooms(rooms []string) string {
	if len(rooms) == 1 {
		return c.broadcast + rooms[0] + "#"
	}
	return c.broadcast
}

// room is the room part of a broadcast channel, empty for none; false means that the channel is another one.
func (c channels) room(channel string) (string, bool) {
	room, ok := strings.CutPrefix(channel, c.broadcast)
	if !ok {
		return "", false
	}
	return strings.TrimSuffix(room, "#"), true
}

// pattern is what the broadcast channels are subscribed with.
func (c channels) pattern() string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(c.broadcast) + "*"
}
