package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

// Client asks a control socket, ours or Gunicorn's. It is for one goroutine.
type Client struct {
	conn *net.UnixConn
	path string
	last int
}

// Dial connects to the socket at path within the deadline of ctx. Its errors say
// what can be done.
func Dial(ctx context.Context, path string) (*Client, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, unreachable(path, err)
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("dialling gave a %T", conn), conn.Close())
	}
	return &Client{conn: unix, path: path}, nil
}

// unreachable says why nobody answers and what to do.
func unreachable(path string, err error) error {
	e := func(format string, args ...any) error {
		return errs.Ef(errs.Unavailable, "control.unreachable", format, args...).With(err)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return e("There is no control socket at %s. Start the server with llmctl serve, or name its socket with --socket; the server's log says where it is.", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return e("Nobody answers on %s: the server that made it has ended. Start it again with llmctl serve.", path)
	case errors.Is(err, fs.ErrPermission):
		return e("The control socket %s is not for this user%s. Run this as its owner, or widen GUNICORN_CONTROL_SOCKET_MODE.", path, owner(path))
	case errors.Is(err, syscall.ENOTSOCK), errors.Is(err, syscall.EPROTOTYPE):
		return e("%s is no control socket.", path)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.EAGAIN):
		return e("The server at %s takes no connection in time; it is stuck or stopped.", path)
	default:
		return e("The control socket %s cannot be used: %v.", path, err)
	}
}

func owner(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return " (it belongs to uid " + strconv.FormatUint(uint64(s.Uid), 10) + fmt.Sprintf(", mode %04o)", info.Mode().Perm())
	}
	return ""
}

// Server is the process that answers; its numbers are -1 when they are not known.
func (c *Client) Server() Peer { return peerOf(c.conn) }

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Do sends a command and gives the data of its answer. What the server refuses is
// an error of the code Invalid, with the server's words.
func (c *Client) Do(ctx context.Context, words ...string) (json.RawMessage, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.conn.SetDeadline(deadline); err != nil {
			return nil, fmt.Errorf("set a deadline: %w", err)
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Now()) })
	defer stop()
	c.last++
	sending := writeFrame(c.conn, struct {
		ID      int      `json:"id"`
		Command string   `json:"command"`
		Args    []string `json:"args"`
	}{c.last, joinWords(words), []string{}})
	// A server that refuses the connection has answered already.
	payload, err := readFrame(c.conn, maxAnswer, func() error { return nil })
	if err != nil {
		return nil, c.broken(errors.Join(sending, err))
	}
	var reply struct {
		Status string          `json:"status"`
		Data   json.RawMessage `json:"data"`
		Error  string          `json:"error"`
	}
	if err := json.Unmarshal(payload, &reply); err != nil {
		return nil, errs.Ef(errs.Unavailable, "control.answer", "What answers on %s does not speak the control protocol.", c.path).With(err)
	}
	if reply.Status != statusOK {
		return nil, errs.E(errs.Invalid, "control.refused", reply.Error)
	}
	return reply.Data, nil
}

func (c *Client) broken(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errs.Ef(errs.Timeout, "control.timeout", "The server at %s did not answer in time; the command may still take effect. Ask for more time with --timeout.", c.path).With(err)
	}
	return errs.Ef(errs.Unavailable, "control.broken", "The server at %s ended the connection without an answer.", c.path).With(err)
}
