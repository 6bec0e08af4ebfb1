package redisadapter

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/llmctl/studio/internal/socketio"
)

// handleRequest carries out or answers what another server or an emitter asks.
func (a *Adapter) handleRequest(ctx context.Context, payload []byte) error {
	r, err := decodeRequest(payload)
	if err != nil {
		return err
	}
	if a.own(r.UID) {
		a.ignored.Add(1)
		return nil
	}
	a.requests.Add(1)
	switch r.Type {
	case requestSockets:
		a.respond(map[string]any{"requestId": r.ID, "sockets": ids(a.server.Sockets(a.o.Namespace, socketio.Audience{Rooms: r.Rooms}))})
	case requestRooms:
		rooms := a.server.Rooms(a.o.Namespace)
		a.respond(map[string]any{"requestId": r.ID, "rooms": append([]string{}, rooms...)})
	case requestFetch:
		to, _ := r.audience()
		a.respond(map[string]any{"requestId": r.ID, "sockets": describe(a.server.Sockets(a.o.Namespace, to))})
	case requestJoin, requestLeave, requestDisconnect:
		return a.move(ctx, r)
	case requestBroadcast:
		return a.broadcastWithAck(ctx, r)
	default:
		a.requests.Add(-1)
		a.ignored.Add(1)
	}
	return nil
}

// move carries out join, leave and disconnect.
func (a *Adapter) move(ctx context.Context, r request) error {
	to, ok := r.audience()
	if !ok {
		return fmt.Errorf("request %d says nothing of whom it is for", r.Type)
	}
	for _, s := range a.server.Sockets(a.o.Namespace, to) {
		switch r.Type {
		case requestJoin:
			if err := s.Join(r.rooms()...); err != nil {
				a.o.Logger.InfoContext(ctx, "socket cannot join", "error", err, "sid", s.ID())
			}
		case requestLeave:
			s.Leave(r.rooms()...)
		default:
			s.Disconnect(r.Close)
		}
	}
	if r.Opts == nil { // older servers wait for an answer
		a.respond(map[string]any{"requestId": r.ID})
	}
	return nil
}

func ids(sockets []*socketio.Socket) []string {
	out := make([]string, 0, len(sockets))
	for _, s := range sockets {
		out = append(out, s.ID())
	}
	return out
}

// describe tells of sockets what a server may show of them: no headers, which have the clients' secrets.
func describe(sockets []*socketio.Socket) []any {
	out := make([]any, 0, len(sockets))
	for _, s := range sockets {
		r := s.Request()
		path, _, _ := strings.Cut(r.RequestURI, "?")
		out = append(out, map[string]any{
			"id": s.ID(), "rooms": append([]string{}, s.Rooms()...), "data": map[string]any{},
			"handshake": map[string]any{
				"headers": map[string]any{}, "query": map[string]any{}, "auth": map[string]any{}, "address": r.RemoteAddr,
				"url": path, "xdomain": false, "secure": r.TLS != nil,
			},
		})
	}
	return out
}

func (a *Adapter) respond(answer any) {
	a.reply(func() ([]byte, error) { return json.Marshal(answer) })
}

// reply queues an answer. Everybody hears it, as with servers that do not ask for a channel of their own.
func (a *Adapter) reply(encode func() ([]byte, error)) {
	a.enqueue(outgoing{channel: a.channels.response, size: 256, encode: encode})
}

// Patience with acknowledgements; the asking server says how long it waits.
const (
	defaultPatience = 5 * time.Second
	maxPatience     = time.Minute
)

// broadcastWithAck sends an event to sockets and their acknowledgements back, one by one. The asking server is told
// first how many there will be.
func (a *Adapter) broadcastWithAck(ctx context.Context, r request) error {
	e, err := r.Packet.event(r.attachments)
	if err != nil {
		return err
	}
	if r.Packet.namespace() != a.o.Namespace {
		return nil
	}
	to, _ := r.audience()
	sockets := a.server.Sockets(a.o.Namespace, to)
	select {
	case a.slots <- struct{}{}:
	default:
		sockets = nil // too many wait already; nobody may wait for us in vain
	}
	a.respond(map[string]any{"type": responseClients, "requestId": r.ID, "clientCount": len(sockets)})
	if sockets == nil {
		return nil
	}
	args, err := arguments(e)
	if err != nil {
		<-a.slots
		return err
	}
	patience := defaultPatience
	if r.Opts != nil && r.Opts.Flags.Timeout > 0 {
		patience = min(time.Duration(r.Opts.Flags.Timeout*float64(time.Millisecond)), maxPatience)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	left := make(chan struct{}, len(sockets))
	for _, s := range sockets {
		a.calls.Go(func() {
			defer func() { left <- struct{}{} }()
			a.call(ctx, s, r.ID, e.Name, args)
		})
	}
	a.calls.Go(func() {
		defer cancel()
		for range sockets {
			<-left
		}
		<-a.slots
	})
	return nil
}

// arguments puts attachments back: only those that are arguments themselves can be sent with a call.
func arguments(e Event) ([]any, error) {
	args := make([]any, len(e.Args))
	for i, arg := range e.Args {
		args[i] = arg
		var place struct {
			Placeholder bool `json:"_placeholder"`
			Num         int  `json:"num"`
		}
		if len(e.Attachments) > 0 && json.Unmarshal(arg, &place) == nil && place.Placeholder {
			if place.Num < 0 || place.Num >= len(e.Attachments) {
				return nil, fmt.Errorf("attachment %d does not exist", place.Num)
			}
			args[i] = socketio.Binary(e.Attachments[place.Num])
		}
	}
	return args, nil
}

func (a *Adapter) call(ctx context.Context, s *socketio.Socket, request, name string, args []any) {
	answer, err := s.Call(ctx, name, args...)
	if err != nil {
		return // the asking server has its own patience
	}
	a.reply(func() ([]byte, error) {
		out := msgp.AppendMapHeader(nil, 3)
		out = msgp.AppendInt(msgp.AppendString(out, "type"), responseAcknowlege)
		out = msgp.AppendString(msgp.AppendString(out, "requestId"), request)
		out = msgp.AppendString(out, "packet")
		if len(answer) == 0 {
			return msgp.AppendNil(out), nil
		}
		return appendMsgpack(out, answer[0], nil)
	})
}
