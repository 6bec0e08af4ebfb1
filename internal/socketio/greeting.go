package socketio

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
)

// greeter sends the first frames along with the answer to the handshake, in one write.
type greeter struct {
	http.ResponseWriter
	greeting []frame
	conn     net.Conn
}

// answerSize is enough for any answer to a handshake, so that it is written at once.
const answerSize = 512

// Hijack implements http.Hijacker.
func (g *greeter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(g.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	g.conn = conn
	return conn, bufio.NewReadWriter(rw.Reader, bufio.NewWriterSize(g.then(), answerSize)), nil
}

func (g *greeter) then() writerFunc {
	return func(p []byte) (int, error) {
		if !bytes.HasPrefix(p, []byte("HTTP/1.1 101")) {
			return g.conn.Write(p) // a refusal
		}
		out := make([]byte, 0, len(p)+frameBytes(g.greeting))
		out = append(out, p...)
		for _, f := range g.greeting {
			out = append(out, f.data...)
		}
		n, err := g.conn.Write(out)
		return min(n, len(p)), err
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
