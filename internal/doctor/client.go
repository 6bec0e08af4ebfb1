package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	requestTimeout = 15 * time.Second
	maxAnswer      = 2 << 20
	userAgent      = "llmctl doctor"
)

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   []byte
	proto  string
	began  time.Time
	took   time.Duration
	local  netip.Addr // our end of the connection
}

func (a *answer) is(mediaType string) bool {
	return strings.HasPrefix(a.header.Get("Content-Type"), mediaType)
}

func (a *answer) json(into any) bool { return json.Unmarshal(a.body, into) == nil }

// shown is what an answer looked like, in a few words.
func (a *answer) shown() string {
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	if kind == "" {
		kind = "no content type"
	}
	text := fmt.Sprintf("status %d (%s)", a.status, kind)
	if server := a.header.Get("Server"); server != "" {
		text += ", server " + server
	}
	return text
}

// client makes requests as a browser would, but follows no redirect and keeps no
// connection, so that each request may reach another server behind a balancer.
type client struct {
	http  *http.Client
	key   string
	now   func() time.Time
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	roots *x509.CertPool
}

func newClient(o Options) *client {
	c := &client{key: o.APIKey, now: o.Now, roots: o.Roots}
	c.dial = o.Dial
	if c.dial == nil {
		c.dial = (&net.Dialer{Timeout: requestTimeout}).DialContext
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext: c.dial, DisableKeepAlives: true, DisableCompression: true, ForceAttemptHTTP2: true,
			TLSClientConfig: c.tls(), MaxResponseHeaderBytes: 64 << 10, Proxy: nil,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

func (c *client) tls() *tls.Config {
	return &tls.Config{RootCAs: c.roots, MinVersion: tls.VersionTLS12}
}

// request is one request to make.
type request struct {
	method string
	url    string
	header map[string]string
	body   io.Reader
	size   int64
	key    bool // with the API key
}

// do makes a request and reads its answer.
func (c *client) do(ctx context.Context, r request) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, local, began, err := c.open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return &answer{
		status: response.StatusCode, header: response.Header, body: body, proto: response.Proto,
		began: began, took: c.now().Sub(began), local: local,
	}, nil
}

// open makes a request and gives its answer to be read. The caller closes it.
func (c *client) open(ctx context.Context, r request) (*http.Response, netip.Addr, time.Time, error) {
	var local netip.Addr
	if r.method == "" {
		r.method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(withLocal(ctx, &local), r.method, r.url, r.body)
	if err != nil {
		return nil, local, time.Time{}, fmt.Errorf("make a request: %w", err)
	}
	if r.size > 0 {
		req.ContentLength = r.size
	}
	req.Header.Set("User-Agent", userAgent)
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	if r.key && c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	began := c.now()
	response, err := c.http.Do(req)
	return response, local, began, err
}

func (c *client) get(ctx context.Context, address string) (*answer, error) {
	return c.do(ctx, request{url: address})
}

func (c *client) close() { c.http.CloseIdleConnections() }

// explain puts a failed connection into an id, words and a fix.
func explain(err error, u *url.URL) Finding {
	f := Finding{ID: "reach.failed", Severity: Error, Seen: plain(err), Fix: "Check the address, and that the proxy runs."}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		f.ID, f.Seen = "tls.name", "the certificate is for "+strings.Join(e.Certificate.DNSNames, ", ")+", not for "+u.Hostname()
		f.Fix = "Use a certificate that names " + u.Hostname() + ", or open the Studio under a name that it has."
		return f
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		f.ID, f.Seen = "tls.expired", fmt.Sprintf("the certificate is valid from %s to %s", e.Cert.NotBefore.UTC().Format(time.DateOnly), e.Cert.NotAfter.UTC().Format(time.DateOnly))
		f.Fix = "Renew the certificate and reload the proxy (nginx -s reload); check the clock of this machine."
		return f
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		f.ID, f.Seen = "tls.authority", "the certificate is signed by an authority that this machine does not know"
		f.Fix = "Serve the whole chain (ssl_certificate with fullchain.pem), or give the authority to --ca-file; browsers need to know it as well."
		return f
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		f.ID, f.Seen, f.Fix = "reach.name", "the name "+e.Name+" does not resolve", "Correct the name, or its DNS record."
		return f
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || strings.Contains(err.Error(), "HTTP response to HTTPS client") {
		f.ID, f.Seen, f.Fix = "tls.none", "the port does not speak TLS", "Use http:// here, or configure TLS on this port."
		f.Snippet = "listen 443 ssl;\nssl_certificate fullchain.pem;\nssl_certificate_key privkey.pem;"
		return f
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		f.ID, f.Seen = "reach.refused", "nothing listens at "+u.Host
	case errors.Is(err, context.DeadlineExceeded):
		f.ID, f.Seen, f.Fix = "reach.timeout", "no answer within "+requestTimeout.String(), "Check the firewall, and whether the proxy reaches the Studio."
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF):
		f.ID, f.Seen = "reach.reset", "the connection was cut before an answer came"
	}
	return f
}

// plain is an error without the address, on one line of bounded length.
func plain(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return fmt.Sprintf("%.300s", strings.Join(strings.Fields(err.Error()), " "))
}
