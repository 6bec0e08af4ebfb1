package socketio_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/socketio"
)

func Example() {
	server, err := socketio.New(socketio.Options{PingInterval: 20 * time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	server.Namespace("/rt", socketio.Handler{
		Authorize: func(_ context.Context, r *http.Request, _ json.RawMessage) (any, error) {
			if _, err := r.Cookie("session"); err != nil {
				return nil, &socketio.ConnectError{Message: "log in first", Data: map[string]string{"code": "unauthenticated"}}
			}
			return "ada", nil
		},
		Event: func(s *socketio.Socket, name string, args []json.RawMessage, ack func(...any)) {
			if ack != nil {
				ack(map[string]any{"ok": true, "event": name, "args": len(args), "user": s.Principal()})
			}
		},
	})
	mux := http.NewServeMux()
	server.Mount(mux, "/socket.io")

	news, err := socketio.NewMessage("/rt", "news", json.RawMessage(`{"n":1}`))
	fmt.Println(news.Event(), news.Size(), err)
	fmt.Println(server.Shutdown(context.Background()))
	// Output:
	// news 24 <nil>
	// <nil>
}
