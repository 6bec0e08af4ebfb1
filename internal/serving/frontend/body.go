package frontend

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// maxHeld is the largest body that is read before it is passed on. Such a body can
// be sent again where the backend closed the connection before it saw the request,
// and does not hold a connection of the backend while a slow client sends it.
const (
	maxHeld     = 64 << 10
	holdTimeout = 30 * time.Second
)

// errBody says that the client did not send the body that it announced.
var errBody = errors.New("body did not come")

type bodyKey struct{}

// hold reads a small body of known length; nil: there is none such.
func hold(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength <= 0 || r.ContentLength > maxHeld || r.Header.Get("Expect") != "" {
		return nil, nil
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(holdTimeout)) // where it can be set
	body, err := io.ReadAll(io.LimitReader(r.Body, r.ContentLength))
	if err == nil && int64(len(body)) < r.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, errors.Join(errBody, err)
	}
	_ = control.SetReadDeadline(time.Time{})
	return body, nil
}

// reader gives a body and the way to have it again.
func reader(body []byte) (io.ReadCloser, func() (io.ReadCloser, error)) {
	again := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	first, _ := again()
	return first, again
}

// buffers keeps the memory that answers are copied through.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if held, ok := b.pool.Get().(*[]byte); ok {
		return *held
	}
	return make([]byte, bufferSize)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
