// Command centrifuge is the library of that name doing the job of
// bench/peers/socketio, in its own protocol. It is a module of its own, so that the
// library never enters ours.
package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"
)

type request struct {
	Room  string `json:"room"`
	Rooms int    `json:"rooms"`
	Count int    `json:"count"`
	Stamp int64  `json:"stamp"`
}

type envelope struct {
	Stamp    int64  `json:"stamp"`
	Sequence int    `json:"sequence"`
	Pad      string `json:"pad"`
}

func main() {
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: 16 << 20})
	if err != nil {
		panic(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "bench"}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			reply(centrifuge.SubscribeReply{}, nil)
		})
		client.OnRPC(func(e centrifuge.RPCEvent, reply centrifuge.RPCCallback) {
			var q request
			if err := json.Unmarshal(e.Data, &q); err != nil {
				panic(err)
			}
			publish(node, q)
			reply(centrifuge.RPCReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin: func(*http.Request) bool { return true }, UseWriteBufferPool: true,
	}))
	web := &http.Server{Addr: os.Args[1], Handler: mux, ReadHeaderTimeout: time.Minute}
	panic(web.ListenAndServe())
}

func publish(node *centrifuge.Node, q request) {
	for i := range q.Count {
		if q.Rooms == 0 {
			emit(node, q.Room, q.Stamp, i)
		}
		for n := range q.Rooms {
			emit(node, "own"+strconv.Itoa(n), q.Stamp, i)
		}
	}
}

func emit(node *centrifuge.Node, room string, stamp int64, sequence int) {
	raw, err := json.Marshal(envelope{Stamp: stamp, Sequence: sequence, Pad: strings.Repeat("x", 540)})
	if err != nil {
		panic(err)
	}
	if _, err := node.Publish(room, raw); err != nil {
		panic(err)
	}
}
