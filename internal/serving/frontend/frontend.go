package frontend

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/serving/proxyfix"
)

const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 10 * time.Second
	// idleTimeout is shorter than any backend keeps an idle connection (5 s by
	// default), so that we do not write to one that is just being closed.
	idleTimeout   = 2 * time.Second
	defaultAnswer = 2 * time.Minute
	maxHeader     = 64 << 10
	// statusClientGone is what nginx calls a request whose client has left.
	statusClientGone = 499
)

// Options describe the backend.
type Options struct {
	Backend *url.URL
	TLS     *tls.Config // for an https backend
	// AnswerTimeout is how long the backend may take to begin its answer; longer than
	// it holds a long poll. Default 2 minutes.
	AnswerTimeout time.Duration
	// Fail answers what the backend does not.
	Fail   func(w http.ResponseWriter, r *http.Request, status int, e *errs.Error)
	Logger *slog.Logger
}

// Proxy passes requests on; see the package comment.
type Proxy struct {
	opts    Options
	reverse *httputil.ReverseProxy
	own     *http.Transport

	leaving chan struct{} // closed when WebSockets are to be
	leave   sync.Once
	tunnels sync.WaitGroup
}

// ParseBackend reads the address of a backend. Errors: invalid.
func ParseBackend(setting, address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errs.E(errs.Invalid, "frontend.backend_address", "The backend's address cannot be used.",
			errs.Detail{Location: setting, Message: "must be http:// or https:// with a host, such as http://127.0.0.1:5055, without user, query and fragment"})
	}
	return u, nil
}

// New makes a proxy.
func New(o Options) *Proxy {
	if o.AnswerTimeout == 0 {
		o.AnswerTimeout = defaultAnswer
	}
	p := &Proxy{opts: o, leaving: make(chan struct{})}
	p.own = &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     o.TLS,
		TLSHandshakeTimeout: handshakeTimeout, ResponseHeaderTimeout: o.AnswerTimeout, ExpectContinueTimeout: time.Second,
		IdleConnTimeout: idleTimeout, MaxIdleConnsPerHost: 64, MaxResponseHeaderBytes: maxHeader,
		DisableCompression: true, // what the backend answers is passed on as it is
	}
	p.reverse = &httputil.ReverseProxy{
		Transport: p.own, FlushInterval: -1, Rewrite: p.rewrite, ModifyResponse: modify, ErrorHandler: p.fail,
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug), BufferPool: &buffers{},
	}
	return p
}

// ServeHTTP passes a request on and its answer back.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := hold(w, r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	ctx := context.WithValue(r.Context(), bodyKey{}, body)
	if r.Header.Get("Upgrade") == "" {
		p.reverse.ServeHTTP(w, r.WithContext(ctx))
		return
	}
	p.tunnels.Add(1)
	defer p.tunnels.Done()
	tunnel, end := context.WithCancel(ctx)
	defer end()
	go p.cut(tunnel, end)
	p.reverse.ServeHTTP(w, r.WithContext(tunnel))
}

// cut ends a tunnel when the process leaves.
func (p *Proxy) cut(ctx context.Context, end func()) {
	select {
	case <-p.leaving:
		end()
	case <-ctx.Done():
	}
}

func (p *Proxy) left() bool {
	select {
	case <-p.leaving:
		return true
	default:
		return false
	}
}

// Leave closes the WebSockets, whose clients come back to the next process, and
// returns when they are closed or ctx ends.
func (p *Proxy) Leave(ctx context.Context) {
	p.leave.Do(func() { close(p.leaving) })
	done := make(chan struct{})
	go func() { p.tunnels.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
	p.own.CloseIdleConnections()
}

func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	pr.SetURL(p.opts.Backend)
	pr.Out.Host = pr.In.Host
	proxyfix.From(pr.In).Pass(pr.Out.Header)
	if body, ok := pr.In.Context().Value(bodyKey{}).([]byte); ok && body != nil {
		pr.Out.Body, pr.Out.GetBody = reader(body)
	}
}

// modify leaves out what this process has said already.
func modify(res *http.Response) error {
	res.Header.Del("X-Request-ID")
	res.Header.Del("X-Correlation-ID")
	return nil
}

// fail answers for a backend that does not, or ends the answer of one that stopped.
func (p *Proxy) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case p.left() && r.Header.Get("Upgrade") != "":
		p.opts.Fail(w, r, http.StatusServiceUnavailable, errs.E(errs.Unavailable, "frontend.leaving", "This process ends. Connect again.").Retry(0))
	case r.Context().Err() != nil && !errors.Is(err, errBody):
		w.WriteHeader(statusClientGone) // for the log; nobody reads it
	default:
		status, e := p.explain(err)
		p.opts.Fail(w, r, status, e.With(err))
	}
}

func (p *Proxy) explain(err error) (int, *errs.Error) {
	backend := p.opts.Backend.Redacted()
	const retry = time.Second
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.Is(err, errBody):
		return http.StatusBadRequest, errs.E(errs.Invalid, "request.malformed", "The request's body did not come as it was announced, within "+holdTimeout.String()+".")
	case errors.As(err, &certificate):
		return http.StatusBadGateway, errs.Ef(errs.Unavailable, "frontend.backend_untrusted",
			"The backend at %s shows a certificate that is not trusted here (%v). Set LLMCTL_STUDIO_BACKEND_CA_CERTS to the certificate of its CA.", backend, certificate.Err)
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return http.StatusBadGateway, errs.Ef(errs.Unavailable, "frontend.backend_not_tls",
			"The backend at %s does not speak TLS. Use http:// in LLMCTL_STUDIO_BACKEND_URL, or give the backend GUNICORN_CERTFILE.", backend)
	case errors.As(err, &op) && op.Op == "remote error": // a TLS alert
		return http.StatusBadGateway, errs.Ef(errs.Unavailable, "frontend.backend_refuses_us",
			"The backend at %s refuses our TLS connection (%v). If it wants a client certificate, set LLMCTL_STUDIO_BACKEND_CERTFILE and _KEYFILE.", backend, op.Err)
	case errors.As(err, &dns):
		return http.StatusBadGateway, errs.Ef(errs.Unavailable, "frontend.backend_unknown",
			"The backend's host in LLMCTL_STUDIO_BACKEND_URL (%s) is not known here: %v.", backend, dns).Retry(retry)
	case op != nil && op.Op == "dial":
		return http.StatusBadGateway, errs.Ef(errs.Unavailable, "frontend.backend_down",
			"The backend at %s cannot be reached. Start it with `llmctl serve`, or correct LLMCTL_STUDIO_BACKEND_URL. Runs that are under way are not affected.", backend).Retry(retry)
	case isTimeout(err):
		return http.StatusGatewayTimeout, errs.Ef(errs.Timeout, "frontend.backend_slow",
			"The backend at %s has not begun to answer within %s.", backend, p.opts.AnswerTimeout)
	default:
		return http.StatusBadGateway, errs.Ef(errs.Unavailable, "frontend.backend_broke_off",
			"The backend at %s ended the connection without an answer. It may have been restarted; try again.", backend).Retry(retry)
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
