// Command hub is one worker of an installation of the Studio as far as events go: the
// log in PostgreSQL, the bus over it, the hub and the Socket.IO server. It publishes
// what it is asked to, each event in a transaction of its own, and says so after the
// commit. Several of them on one database are several workers.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/socketio"
)

type order struct {
	Room  string `json:"room"`
	Count int    `json:"count"`
	Stamp int64  `json:"stamp"`
}

// padding makes an envelope of some 600 bytes.
const padding = 200

type worker struct {
	db       *postgres.DB
	log      *event.Log
	hub      *realtime.Hub
	mu       sync.Mutex
	sessions map[*socketio.Socket]*realtime.Session
}

func main() {
	ctx := context.Background()
	db, err := postgres.Open(ctx, postgres.Options{URI: os.Args[2], MaxConns: 8})
	must(err)
	b := bus.NewPostgres(db, bus.PostgresOptions{})
	w := &worker{db: db, log: event.NewLog(b, time.Now), sessions: map[*socketio.Socket]*realtime.Session{}}
	w.hub, err = realtime.New(realtime.Options{
		DB: db, Bus: b, Authorize: func(context.Context, any, string) error { return nil },
		Encode: func(name string, args ...json.RawMessage) (realtime.Frame, error) {
			return socketio.NewMessage(realtime.Namespace, name, args...)
		},
	})
	must(err)
	run(ctx, b.Run)
	run(ctx, w.hub.Run)
	server, err := socketio.New(socketio.Options{QueueFrames: realtime.QueueFrames, QueueBytes: realtime.QueueBytes, MaxConnections: 20_000})
	must(err)
	server.Namespace("/", socketio.Handler{Event: w.publish})
	server.Namespace(realtime.Namespace, socketio.Handler{Connect: w.connect, Event: w.event, Disconnect: w.disconnect})
	mux := http.NewServeMux()
	server.Mount(mux, "/socket.io")
	web := &http.Server{Addr: os.Args[1], Handler: mux, ReadHeaderTimeout: time.Minute}
	must(web.ListenAndServe())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// run starts a service and waits until it is ready.
func run(ctx context.Context, service func(context.Context, func()) error) {
	ready := make(chan struct{})
	go func() { must(service(ctx, sync.OnceFunc(func() { close(ready) }))) }()
	<-ready
}

// publish appends events to the stream of the same name as the room.
func (w *worker) publish(s *socketio.Socket, _ string, args []json.RawMessage, ack func(...any)) {
	var o order
	must(json.Unmarshal(args[0], &o))
	for range o.Count {
		must(w.db.InTx(s.Context(), func(_ context.Context, tx *postgres.Tx) error {
			return w.log.Append(tx, event.Draft{
				Stream: o.Room, Type: "flowchart:run:updated", EntityKind: "flowchart_run", EntityID: "1", Rooms: []string{o.Room},
				Payload: map[string]any{"stamp": o.Stamp, "pad": strings.Repeat("x", padding)},
			})
		}))
	}
	if ack != nil {
		ack()
	}
}

// socket is a socket as the hub sees it.
type socket struct{ *socketio.Socket }

// Send implements realtime.Conn.
func (s socket) Send(f realtime.Frame) error {
	m, ok := f.(*socketio.Message)
	if !ok {
		return errors.New("not a frame of this server")
	}
	return s.Socket.Send(m)
}

// Close implements realtime.Conn.
func (s socket) Close(reason string) { s.Drop(reason) }

func (w *worker) connect(s *socketio.Socket) {
	session, err := w.hub.Attach(socket{s}, nil, s.Transport())
	must(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions[s] = session
}

func (w *worker) session(s *socketio.Socket) *realtime.Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sessions[s]
}

func (w *worker) event(s *socketio.Socket, name string, args []json.RawMessage, ack func(...any)) {
	w.session(s).Event(name, args, func(answer any) { ack(answer) })
}

func (w *worker) disconnect(s *socketio.Socket, _ string) {
	w.session(s).Detach()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.sessions, s)
}
