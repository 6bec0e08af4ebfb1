package client

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/llmctl/studio/internal/egress"
	"github.com/llmctl/studio/internal/tracing"
)

// Limits of what a server may send.
const (
	maxBody      = 16 << 20 // of an answer that is no stream
	maxEvent     = 16 << 20 // of one message in a stream
	maxRedirects = 5
)

// NewHTTPClient makes the client that everything here is asked with: no proxy, no
// address that allow does not permit, no redirects to another origin.
func NewHTTPClient(allow *egress.Allow) *http.Client {
	t := &http.Transport{
		Proxy: nil, DialContext: allow.Dial, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 15 * time.Second,
		MaxResponseHeaderBytes: 1 << 20, MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second,
	}
	return &http.Client{Transport: tracing.Transport(t), CheckRedirect: sameOrigin}
}

var errRedirect = errors.New("the server redirects to another origin, which is not followed; enter that address instead")

func sameOrigin(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects || originOf(req.URL) != originOf(via[0].URL) {
		return errRedirect
	}
	return nil
}

func originOf(u *url.URL) string { return strings.ToLower(u.Scheme + "://" + u.Host) }

// outfit adds what is configured of a server to requests that go to its origin, and
// makes errors of answers that say no.
type outfit struct {
	base   http.RoundTripper
	spec   Spec
	origin string
	fault  atomic.Pointer[error] // the last answer that no MCP server gives
}

func (s Spec) client(base *http.Client) (*http.Client, *outfit, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, nil, err
	}
	c, o := *base, &outfit{base: base.Transport, spec: s, origin: originOf(u)}
	c.Transport = o
	return &c, o, nil
}

// RoundTrip implements http.RoundTripper.
func (o *outfit) RoundTrip(req *http.Request) (*http.Response, error) {
	if originOf(req.URL) == o.origin {
		req = req.Clone(req.Context())
		for name, value := range o.spec.Headers {
			req.Header.Set(name, value)
		}
		if o.spec.Token != nil && req.Header.Get("Authorization") == "" {
			token, err := o.spec.Token(req.Context()) //nolint:contextcheck // it is the request's
			if err != nil {
				return nil, err
			}
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
		}
	}
	res, err := o.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	return o.judge(req, res)
}

// judge keeps the answers that the SDK has to see itself: 400, 404 and 405 mean
// something in the protocol.
func (o *outfit) judge(req *http.Request, res *http.Response) (*http.Response, error) {
	// What may be sent at any time after the head is bounded by the SDK, event by event.
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if kind != "text/event-stream" {
		res.Body = &bounded{ReadCloser: res.Body, left: maxBody}
	}
	if req.Method == http.MethodPost && res.StatusCode == http.StatusOK && kind != "text/event-stream" && kind != "application/json" {
		o.note(fmt.Errorf("%w %q", errContentType, kind))
	}
	quiet := res.StatusCode < 400 || res.StatusCode == http.StatusBadRequest ||
		(res.StatusCode == http.StatusNotFound && req.Header.Get("Mcp-Session-Id") != "") ||
		(res.StatusCode == http.StatusMethodNotAllowed && req.Method != http.MethodPost) || req.Method == http.MethodDelete ||
		(res.StatusCode == http.StatusNotFound && req.Method == http.MethodGet && o.spec.Transport == StreamableHTTP)
	if quiet {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }()
	raw, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	said := &statusError{status: res.StatusCode, said: bodyMessage(raw)}
	o.note(said)
	return nil, said
}

// note keeps an error, since the SDK may tell that the connection broke before it tells why.
func (o *outfit) note(err error) { o.fault.Store(&err) }

// errContentType has the words of the SDK, which gives it no name.
var errContentType = errors.New("unsupported content type")

var errTooLarge = errors.New("the server sent an answer larger than the limit")

type bounded struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, errTooLarge
	}
	return n, err
}
