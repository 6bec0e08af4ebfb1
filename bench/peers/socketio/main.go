// Command socketio is the Socket.IO server of this repository by itself, doing the
// job that its peers next door do as well.
package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/socketio"
)

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
	j := &job{server: server}
	server.Namespace("/", socketio.Handler{Event: j.event})
	mux := http.NewServeMux()
	server.Mount(mux, "/socket.io")
	web := &http.Server{Addr: os.Args[1], Handler: mux, ReadHeaderTimeout: time.Minute}
	panic(web.ListenAndServe())
}

type job struct{ server *socketio.Server }

func (j *job) event(s *socketio.Socket, name string, args []json.RawMessage, ack func(...any)) {
	switch name {
	case "join":
		var room string
		_ = json.Unmarshal(args[0], &room) // the load generator knows what it sends
		if err := s.Join(room); err != nil {
			panic(err)
		}
		ack()
	case "publish":
		var q request
		_ = json.Unmarshal(args[0], &q)
		j.publish(q)
	}
}

type envelope struct {
	Stamp    int64  `json:"stamp"`
	Sequence int    `json:"sequence"`
	Pad      string `json:"pad"`
}

// publish sends Count events to Room, or to each of as many rooms of their own.
func (j *job) publish(q request) {
	for i := range q.Count {
		if q.Rooms == 0 {
			j.emit(q.Room, q.Stamp, i)
		}
		for n := range q.Rooms {
			j.emit("own"+strconv.Itoa(n), q.Stamp, i)
		}
	}
}

const padding = 540

func (j *job) emit(room string, stamp int64, sequence int) {
	m, err := socketio.EncodeMessage("/", "event", envelope{Stamp: stamp, Sequence: sequence, Pad: strings.Repeat("x", padding)})
	if err != nil {
		panic(err)
	}
	j.server.Broadcast(m, socketio.Audience{Rooms: []string{room}})
}
