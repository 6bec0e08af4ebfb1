// Command socketio is the Socket.IO server of this repository by itself, doing the
// job that its peers next door do as well.
package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/socketio"
)

// rooms are sets of sockets.
type rooms struct {
	mu      sync.Mutex
	members map[string]map[*socketio.Socket]struct{}
}

type request struct {
	Room  string `json:"room"`
	Rooms int    `json:"rooms"`
	Count int    `json:"count"`
	Stamp int64  `json:"stamp"`
}

func main() {
	server, err := socketio.New(socketio.Options{
		MaxConnections: 20_000,
		AllowOrigin:    func(*http.Request, string) bool { return true },
	})
	if err != nil {
		panic(err)
	}
	r := &rooms{members: map[string]map[*socketio.Socket]struct{}{}}
	server.Namespace("/", socketio.Handler{Event: r.event, Disconnect: r.leave})
	mux := http.NewServeMux()
	server.Mount(mux, "/socket.io")
	web := &http.Server{Addr: os.Args[1], Handler: mux, ReadHeaderTimeout: time.Minute}
	panic(web.ListenAndServe())
}

func (r *rooms) event(s *socketio.Socket, name string, args []json.RawMessage, ack func(...any)) {
	switch name {
	case "join":
		var room string
		_ = json.Unmarshal(args[0], &room) // the load generator knows what it sends
		r.join(s, room)
		ack()
	case "publish":
		var q request
		_ = json.Unmarshal(args[0], &q)
		r.publish(q)
	}
}

func (r *rooms) join(s *socketio.Socket, room string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.members[room] == nil {
		r.members[room] = map[*socketio.Socket]struct{}{}
	}
	r.members[room][s] = struct{}{}
}

func (r *rooms) leave(s *socketio.Socket, _ string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for room, members := range r.members {
		delete(members, s)
		if len(members) == 0 {
			delete(r.members, room)
		}
	}
}

type envelope struct {
	Stamp    int64  `json:"stamp"`
	Sequence int    `json:"sequence"`
	Pad      string `json:"pad"`
}

// publish sends Count events to Room, or to each of as many rooms of their own.
func (r *rooms) publish(q request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range q.Count {
		if q.Rooms == 0 {
			r.emit(q.Room, q.Stamp, i)
		}
		for n := range q.Rooms {
			r.emit("own"+strconv.Itoa(n), q.Stamp, i)
		}
	}
}

const padding = 540

func (r *rooms) emit(room string, stamp int64, sequence int) {
	members := r.members[room]
	if len(members) == 0 {
		return
	}
	m, err := socketio.EncodeMessage("/", "event", envelope{Stamp: stamp, Sequence: sequence, Pad: strings.Repeat("x", padding)})
	if err != nil {
		panic(err)
	}
	for s := range members {
		_ = s.Send(m) // a slow one is closed
	}
}
