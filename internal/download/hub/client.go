package hub

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options of a Client.
type Options struct {
	Endpoint  string            // e.g. https://huggingface.co
	Transport http.RoundTripper // nil: one of its own, which honours the usual proxy variables
	UserAgent string
	// Head is the longest wait for the head of an answer (0: 30 s), Stall the longest
	// silence within one (0: 30 s).
	Head, Stall time.Duration
	Now         func() time.Time
}

// Client speaks with one hub. It is safe for concurrent use.
type Client struct {
	o    Options
	base *url.URL
	http *http.Client
}

// maxRedirects is more than a hub and its delivery network need.
const maxRedirects = 6

// New makes a client.
func New(o Options) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(o.Endpoint, "/"))
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, fail(BadAnswer, 0, "%q is not the http:// or https:// address of a model hub.", o.Endpoint)
	}
	if o.Head <= 0 {
		o.Head = 30 * time.Second
	}
	if o.Stall <= 0 {
		o.Stall = 30 * time.Second
	}
	if o.Transport == nil {
		o.Transport = newTransport()
	}
	return &Client{o: o, base: base, http: &http.Client{
		Transport: o.Transport,
		// Redirects are followed by hand: who gets the token is decided at each.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// newTransport speaks HTTP/1.1 only: parallel parts of a file are to have
// connections of their own.
func newTransport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 15 * time.Second,
		Protocols:           protocols,
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true, // what is counted and hashed is what is sent
	}
}

// Host names the hub in messages.
func (c *Client) Host() string { return c.base.Host }

// request is one question, with what is asked at every hop.
type request struct {
	url     *url.URL
	token   string
	headers http.Header
	subject subject
}

// exchange is an answer; hops are the redirects on its way, from the hub itself on.
type exchange struct {
	*http.Response
	hops []http.Header
}

// get asks and follows redirects. The answer's body ends with an error when
// nothing comes for too long; closing it ends the exchange.
func (c *Client) get(ctx context.Context, r request) (*exchange, error) {
	at, out := r.url, &exchange{}
	for range maxRedirects {
		res, err := c.hop(ctx, at, r)
		if err != nil {
			return nil, err
		}
		out.hops = append(out.hops, res.Header)
		if res.StatusCode < 300 || res.StatusCode >= 400 || res.StatusCode == http.StatusNotModified {
			out.Response = res
			return out, nil
		}
		_ = res.Body.Close()
		next, err := at.Parse(res.Header.Get("Location"))
		if err != nil || res.Header.Get("Location") == "" {
			return nil, fail(BadAnswer, res.StatusCode, "%s redirected without saying where to.", at.Host)
		}
		if err := followable(at, next); err != nil {
			return nil, err
		}
		at = next
	}
	return nil, fail(BadAnswer, 0, "%s redirected more than %d times.", c.base.Host, maxRedirects)
}

func followable(from, to *url.URL) error {
	if to.Scheme != "https" && (to.Scheme != "http" || from.Scheme == "https") {
		return fail(BadAnswer, 0, "%s redirected to a %s address, which is less safe than %s.", from.Host, to.Scheme, from.Scheme)
	}
	if to.Host == "" {
		return fail(BadAnswer, 0, "%s redirected to an address without a host.", from.Host)
	}
	return nil
}

// hop asks one server.
func (c *Client) hop(ctx context.Context, at *url.URL, r request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.o.Head, func() { cancel(errStalled) })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		timer.Stop()
		cancel(nil)
		return nil, fail(BadAnswer, 0, "%s gave an address that cannot be used.", at.Host)
	}
	maps.Copy(req.Header, r.headers)
	req.Header.Set("User-Agent", c.o.UserAgent)
	req.Header.Set("Accept-Encoding", "identity")
	if r.token != "" && c.trusted(at) {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		timer.Stop()
		err = c.broken(ctx, at.Host, err)
		cancel(nil)
		return nil, err
	}
	timer.Reset(c.o.Stall)
	res.Body = &body{ReadCloser: res.Body, c: c, host: at.Host, ctx: ctx, cancel: cancel, timer: timer}
	return res, nil
}

// trusted tells whether an address is of the endpoint's own origin: scheme, host
// and port.
func (c *Client) trusted(u *url.URL) bool {
	return strings.EqualFold(u.Scheme, c.base.Scheme) && strings.EqualFold(u.Hostname(), c.base.Hostname()) && port(u) == port(c.base)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case strings.EqualFold(u.Scheme, "https"):
		return "443"
	default:
		return "80"
	}
}

var errStalled = errors.New("nothing was received for too long")

// broken explains a connection that failed. A context that ended is the caller's
// wish, and stays what it is.
func (c *Client) broken(ctx context.Context, host string, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return &Error{Kind: Stalled, Message: "Nothing came from " + host + " for too long.", Cause: err}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &Error{
		Kind: Unreachable, Cause: err,
		Message: "The connection to " + host + " failed. Check the network, the proxy variables and HF_ENDPOINT.",
	}
}

// body is a body that ends when nothing comes for too long.
type body struct {
	io.ReadCloser
	c      *Client
	host   string
	ctx    context.Context //nolint:containedctx // lives exactly as long as the exchange it belongs to
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		b.timer.Reset(b.c.o.Stall)
		return n, nil
	}
	b.timer.Stop()
	if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = b.c.broken(b.ctx, b.host, err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}

// fetchJSON asks and gives the whole of a bounded answer.
func (c *Client) fetchJSON(ctx context.Context, r request, limit int64) ([]byte, http.Header, error) {
	res, err := c.get(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, nil, explain(res.Response, r.subject, r.token != "", c.o.Now())
	}
	raw, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(raw)) > limit {
		return nil, nil, fail(BadAnswer, res.StatusCode, "%s sent more than %d bytes where a hub sends a list.", c.base.Host, limit)
	}
	return raw, res.Header, nil
}
