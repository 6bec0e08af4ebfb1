package redisadapter

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/llmctl/studio/internal/socketio"
)

// PythonBridge hears what programs with python-socketio publish: `emit` and `disconnect`, in JSON. Older releases of
// that library publish pickles, which can run code in whoever opens them; here they are counted as undecodable, like
// everything else that is not JSON.
type PythonBridge struct {
	server    *socketio.Server
	namespace string
	in        *listener
	host      string

	delivered, ignored, undecodable, requests atomic.Int64
}

// NewPythonBridge makes a bridge from the channel, which is "flask-socketio" or "socketio" where nobody chose another,
// to the namespace of the options; it works while Run runs. Messages of the group as host_id are ignored.
func NewPythonBridge(server *socketio.Server, channel string, o Options) (*PythonBridge, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if channel == "" {
		return nil, errors.New("redisadapter: the channel of the bridge has no name")
	}
	b := &PythonBridge{server: server, namespace: o.Namespace, host: o.Group}
	b.in = &listener{o: o, channels: []string{channel}, handle: b.handle, err: errNotRunning}
	return b, nil
}

// Name is "python bridge".
func (*PythonBridge) Name() string { return "python bridge" }

// Run listens until ctx ends. It is ready after its first try to subscribe, whatever came of it.
func (b *PythonBridge) Run(ctx context.Context, ready func()) error {
	b.in.run(ctx, ready)
	return nil
}

// Status gives the state of the bridge.
func (b *PythonBridge) Status() Status {
	s := Status{
		OK: true, Delivered: b.delivered.Load(), Ignored: b.ignored.Load(), Undecodable: b.undecodable.Load(), Requests: b.requests.Load(),
	}
	b.in.addTo(&s)
	return s
}

// oneOrMore is a text, or a list of texts, or nothing.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(raw []byte) error {
	*o = nil
	if len(raw) > 0 && raw[0] == '[' {
		var list names
		if err := json.Unmarshal(raw, &list); err != nil {
			return err
		}
		*o = oneOrMore(list)
		return nil
	}
	var one *string
	if err := json.Unmarshal(raw, &one); err != nil {
		return err
	}
	if one != nil {
		*o = oneOrMore{*one}
	}
	return nil
}

// pythonMessage is a message of python-socketio's manager.
type pythonMessage struct {
	Method    string          `json:"method"`
	HostID    string          `json:"host_id"`
	Namespace *string         `json:"namespace"`
	Event     string          `json:"event"`
	Data      json.RawMessage `json:"data"`
	Binary    bool            `json:"binary"`
	Room      oneOrMore       `json:"room"`
	SkipSID   oneOrMore       `json:"skip_sid"`
	SID       string          `json:"sid"`
}

func (b *PythonBridge) handle(ctx context.Context, channel string, payload []byte) {
	if err := b.message(payload); err != nil {
		b.undecodable.Add(1)
		b.in.o.Logger.DebugContext(ctx, "foreign message cannot be used", "error", err, "channel", channel)
	}
}

func (b *PythonBridge) message(payload []byte) error {
	var m pythonMessage
	if err := json.Unmarshal(payload, &m); err != nil {
		return fmt.Errorf("decode message: %w", err)
	}
	namespace := "/"
	if m.Namespace != nil && *m.Namespace != "" {
		namespace = *m.Namespace
	}
	if m.HostID == b.host || namespace != b.namespace {
		b.ignored.Add(1)
		return nil
	}
	switch m.Method {
	case "emit":
		return b.emit(m)
	case "disconnect":
		if m.SID == "" {
			return errors.New("a disconnect names no socket")
		}
		for _, s := range b.server.Sockets(b.namespace, socketio.Audience{Rooms: []string{m.SID}}) {
			s.Disconnect(false)
		}
		b.requests.Add(1)
	default:
		b.ignored.Add(1)
	}
	return nil
}

func (b *PythonBridge) emit(m pythonMessage) error {
	args, attachments, err := m.arguments()
	if err != nil {
		return err
	}
	message, err := socketio.NewBinaryMessage(b.namespace, m.Event, attachments, args...)
	if err != nil {
		return err
	}
	b.delivered.Add(int64(b.server.Broadcast(message, socketio.Audience{Rooms: m.Room, Except: m.SkipSID})))
	return nil
}

// arguments are a list; older messages have the only one bare. With attachments, the list is followed by these in
// base64.
func (m pythonMessage) arguments() (args []json.RawMessage, attachments [][]byte, err error) {
	switch {
	case len(m.Data) == 0 || string(m.Data) == "null":
		return nil, nil, nil
	case m.Data[0] != '[':
		return []json.RawMessage{m.Data}, nil, nil
	}
	if err := json.Unmarshal(m.Data, &args); err != nil || !m.Binary {
		return args, nil, err
	}
	if len(args) == 0 || len(args) > 1+maxAttachments {
		return nil, nil, fmt.Errorf("a binary message has %d parts; 1 to %d are accepted", len(args), 1+maxAttachments)
	}
	for _, part := range args[1:] {
		var text string
		if err := json.Unmarshal(part, &text); err != nil {
			return nil, nil, fmt.Errorf("decode attachment: %w", err)
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, nil, fmt.Errorf("decode attachment: %w", err)
		}
		attachments = append(attachments, raw)
	}
	if args[0][0] != '[' {
		return args[:1], attachments, nil
	}
	var list []json.RawMessage
	err = json.Unmarshal(args[0], &list)
	return list, attachments, err
}
