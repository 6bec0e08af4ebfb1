package llm

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// ErrIdle and ErrTooLarge are how the client of NewClient ends an answer.
var (
	ErrIdle     = errors.New("nothing was received for too long")
	ErrTooLarge = errors.New("the answer is larger than the limit")
)

// ClientOptions bound the calls of one provider. Zero values mean the defaults.
type ClientOptions struct {
	// FirstByte is the longest wait for the head of an answer (default 5 minutes:
	// models on small machines load before they speak), Idle the longest silence
	// after it (default 2 minutes).
	FirstByte time.Duration
	Idle      time.Duration
	MaxBytes  int64             // of one answer; default 64 MiB
	Base      http.RoundTripper // default: a transport of its own that honours the usual proxy variables
}

// NewClient makes the HTTP client that providers are used with. Redirects are
// errors, since keys in headers would travel along.
func NewClient(o ClientOptions) *http.Client {
	t := &guard{base: o.Base, first: o.FirstByte, idle: o.Idle, limit: o.MaxBytes}
	if t.first <= 0 {
		t.first = 5 * time.Minute
	}
	if t.idle <= 0 {
		t.idle = 2 * time.Minute
	}
	if t.limit <= 0 {
		t.limit = 64 << 20
	}
	if t.base == nil {
		t.base = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout: 15 * time.Second,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     90 * time.Second,
		}
	}
	return &http.Client{Transport: t}
}

// redirectError is an answer that points elsewhere. It is an error here, since the
// clients above would take its body for an answer.
type redirectError struct{ status int }

// Error implements error.
func (e *redirectError) Error() string { return "redirected" }

// guard ends exchanges that stall. It works by cancelling the request's context,
// which closes the connection whatever state it is in.
type guard struct {
	base        http.RoundTripper
	first, idle time.Duration
	limit       int64
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(g.first, func() { cancel(ErrIdle) })
	res, err := g.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		timer.Stop()
		err = g.explain(ctx, err)
		cancel(nil)
		return nil, err
	}
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		timer.Stop()
		_ = res.Body.Close()
		cancel(nil)
		return nil, &redirectError{status: res.StatusCode}
	}
	timer.Reset(g.idle)
	res.Body = &guardedBody{ReadCloser: res.Body, g: g, ctx: ctx, cancel: cancel, timer: timer, left: g.limit}
	return res, nil
}

// CloseIdleConnections lets http.Client reach the transport below.
func (g *guard) CloseIdleConnections() {
	if c, ok := g.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (g *guard) explain(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), ErrIdle) {
		return ErrIdle
	}
	return err
}

type guardedBody struct {
	io.ReadCloser
	g      *guard
	ctx    context.Context //nolint:containedctx // lives exactly as long as the exchange it belongs to
	cancel context.CancelCauseFunc
	timer  *time.Timer
	left   int64
}

// Read implements io.Reader.
func (b *guardedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		b.cancel(ErrTooLarge)
		return n, ErrTooLarge
	}
	if err != nil {
		b.timer.Stop()
		if !errors.Is(err, io.EOF) {
			err = b.g.explain(b.ctx, err)
		}
		return n, err
	}
	b.timer.Reset(b.g.idle)
	return n, nil
}

// Close implements io.Closer.
func (b *guardedBody) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}
