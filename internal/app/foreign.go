package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/redisconn"
	"github.com/llmctl/studio/internal/socketio"
	"github.com/llmctl/studio/internal/socketio/redisadapter"
)

// foreign is the exchange with Socket.IO servers and emitters that are not ours,
// over the Redis that carries our hints. What they send goes straight to the
// sockets; our own processes tell each other by the bus and the log, so each event
// is told to the others once, by the process that committed it.
type foreign struct {
	client  redis.UniversalClient
	options redisadapter.Options
	python  string // channel; empty: no bridge
	classic bool

	emitter *redisadapter.Emitter // nil without classic
	adapter *redisadapter.Adapter // nil in processes without sockets
	bridge  *redisadapter.PythonBridge
}

// foreignGroup marks what our processes publish.
const foreignGroup = "llmctl"

// newForeign is nil when nobody asked for it.
func newForeign(cfg *config.Config, log *slog.Logger) (*foreign, error) {
	if len(cfg.SocketIO.Adapter) == 0 {
		return nil, nil //nolint:nilnil // none is wanted
	}
	address, err := redisAddress(cfg)
	if err != nil || address == nil {
		return nil, err // the configuration's rules want one
	}
	client, err := address.Client(foreignTimeout)
	if err != nil {
		return nil, err
	}
	f := &foreign{client: client, classic: slices.Contains(cfg.SocketIO.Adapter, "classic")}
	f.options = redisadapter.Options{
		Node: func(ctx context.Context, turn int) (redis.UniversalClient, error) {
			return redisconn.Node(ctx, client, turn)
		},
		Key: cfg.SocketIO.AdapterKey, Namespace: realtime.Namespace, Group: foreignGroup, Timeout: foreignTimeout, Logger: log,
	}
	if slices.Contains(cfg.SocketIO.Adapter, "python") {
		f.python = cfg.SocketIO.PythonChannel
	}
	if f.classic {
		if f.emitter, err = redisadapter.NewEmitter(f.options); err != nil {
			return nil, err
		}
	}
	return f, nil
}

const foreignTimeout = 5 * time.Second

// serve connects the sockets of this process.
func (f *foreign) serve(server *socketio.Server) (err error) {
	if f.classic {
		if f.adapter, err = redisadapter.NewAdapter(server, f.options); err != nil {
			return err
		}
	}
	if f.python != "" {
		f.bridge, err = redisadapter.NewPythonBridge(server, f.python, f.options)
	}
	return err
}

// exporting also tells foreign servers what was committed here.
type exporting struct {
	bus.Bus
	emitter *redisadapter.Emitter
}

// Publish implements event.Publisher.
func (e exporting) Publish(events []event.Stored) {
	e.Bus.Publish(events)
	for i := range events {
		envelope := events[i].Envelope
		if len(envelope.RoomKeys) == 0 {
			continue // an event without rooms is for nobody, a broadcast without rooms for everybody
		}
		raw, err := json.Marshal(envelope)
		if err != nil {
			continue // the hub logs what cannot be sent
		}
		e.emitter.Emit(redisadapter.Event{Name: envelope.EventType, Args: []json.RawMessage{raw}},
			socketio.Audience{Rooms: envelope.RoomKeys}, false)
	}
}

// Name names the service.
func (*foreign) Name() string { return "foreign sockets" }

// Run exchanges until ctx ends.
func (f *foreign) Run(ctx context.Context, ready func()) error {
	defer func() { _ = f.client.Close() }() // nothing of ours is on its way
	var services []interface {
		Run(ctx context.Context, ready func()) error
	}
	if f.emitter != nil {
		services = append(services, f.emitter)
	}
	if f.adapter != nil {
		services = append(services, f.adapter)
	}
	if f.bridge != nil {
		services = append(services, f.bridge)
	}
	var wg sync.WaitGroup
	for _, s := range services {
		wg.Go(func() { _ = s.Run(ctx, func() {}) }) // they end with ctx, never otherwise
	}
	ready()
	<-ctx.Done()
	wg.Wait()
	return nil
}

// status is for people.
func (f *foreign) status() map[string]redisadapter.Status {
	out := map[string]redisadapter.Status{}
	if f.emitter != nil {
		out["export"] = f.emitter.Status()
	}
	if f.adapter != nil {
		out["classic"] = f.adapter.Status()
	}
	if f.bridge != nil {
		out["python"] = f.bridge.Status()
	}
	return out
}

// member is a client whose socket is put into the rooms that the hub let it into,
// for these are what foreign servers address.
type member struct{ client }

// Joined implements realtime.Member.
func (m member) Joined(room string) { _ = m.socket.Join(room) } // it fails when the socket has ended

// Left implements realtime.Member.
func (m member) Left(room string) { m.socket.Leave(room) }
