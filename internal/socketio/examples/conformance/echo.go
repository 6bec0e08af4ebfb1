package main

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/llmctl/studio/internal/socketio"
)

// echo does what the Socket.IO suite expects of a namespace: it emits `auth` with what
// the client sent along with its CONNECT, answers `message` with `message-back`, and
// acknowledges `message-with-ack`, each with the arguments it got.
func echo() socketio.Handler {
	return socketio.Handler{
		Authorize: func(_ context.Context, _ *http.Request, auth json.RawMessage) (any, error) {
			if auth == nil {
				auth = json.RawMessage(`{}`)
			}
			return auth, nil
		},
		Connect: func(s *socketio.Socket) { _ = s.Emit("auth", s.Principal()) },
		Event: func(s *socketio.Socket, name string, args []json.RawMessage, ack func(...any)) {
			answer(s, name, args, nil, ack)
		},
		BinaryEvent: answer,
	}
}

func answer(s *socketio.Socket, name string, args []json.RawMessage, attachments [][]byte, ack func(...any)) {
	values := make([]any, len(args))
	for i, arg := range args {
		values[i] = arg
		var hole struct {
			Placeholder bool `json:"_placeholder"`
			Num         int  `json:"num"`
		}
		if json.Unmarshal(arg, &hole) == nil && hole.Placeholder && hole.Num >= 0 && hole.Num < len(attachments) {
			values[i] = socketio.Binary(attachments[hole.Num])
		}
	}
	switch {
	case name == "message":
		_ = s.Emit("message-back", values...)
	case ack != nil:
		ack(values...)
	}
}
