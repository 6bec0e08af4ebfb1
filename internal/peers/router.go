package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/llmctl/studio/internal/serving"
)

const (
	dialTimeout  = time.Second
	dialPause    = 200 * time.Millisecond // before a refused connection is tried once more
	idleConns    = 64                     // kept to each replica
	idleTimeout  = 30 * time.Second       // less than the internal listener keeps them
	maxAddresses = 256
	maxAnswer    = 16 << 20
)

// Options make a router.
type Options struct {
	Own      string    // name of this worker
	Hostname string    // of this machine
	RunDir   string    // folder of the private sockets of this replica; empty: there are none
	Registry *Registry // nil: there are no other replicas
	Signer   *Signer   // needed with Registry
	Sessions string    // where sessions are served on private sockets
	// Patience is how long an answer may take to begin: longer than any long poll.
	Patience time.Duration
}

// Router passes requests on to the worker that they belong to.
type Router struct {
	o   Options
	mu  sync.Mutex
	far map[string]*http.Transport // by address
}

// NewRouter makes a router.
func NewRouter(o Options) *Router {
	r := &Router{o: o, far: map[string]*http.Transport{}}
	if o.Registry != nil {
		o.Registry.look = r.look
	}
	return r
}

// SessionPrefix begins the ids of this worker's own sessions.
func (r *Router) SessionPrefix() string { return r.o.Own + "." }

// Own is the name of this worker.
func (r *Router) Own() string { return r.o.Own }

// Others lists the other workers that were heard of lately.
func (r *Router) Others() []Worker {
	if r.o.Registry == nil {
		return nil
	}
	var out []Worker
	for _, w := range r.o.Registry.List() {
		if w.Name != r.o.Own {
			out = append(out, w)
		}
	}
	return out
}

type arrivedKey struct{}

// Arrived marks the requests of a private socket: they have been passed on, and are
// never passed on again.
func Arrived(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), arrivedKey{}, true)))
	})
}

func hasArrived(ctx context.Context) bool {
	arrived, _ := ctx.Value(arrivedKey{}).(bool)
	return arrived
}

// target is the way to a worker.
type target struct {
	transport http.RoundTripper
	host      string
	prefix    string // before the paths of the private socket
	owner     string // whose name the answer must carry; empty: there is nobody in between
}

var (
	errNoAddress = errors.New("its replica has no internal listener that can be reached; see LLMCTL_STUDIO_INTERNAL_ADVERTISE")
	errLoopback  = errors.New("its replica's internal listener is on a loopback address of another machine; see LLMCTL_STUDIO_INTERNAL_ADVERTISE")
	errNotOwner  = errors.New("the answer is not from the worker")
)

func (r *Router) near(name string) (target, bool) {
	if r.o.RunDir == "" || !serving.HasPrivateSocket(r.o.RunDir, name) {
		return target{}, false
	}
	return target{transport: serving.PrivateTransport(r.o.RunDir, name, r.o.Patience), host: "worker"}, true
}

func (r *Router) distant(w Worker) (target, error) {
	if w.Address == "" {
		return target{}, errNoAddress
	}
	if isLoopback(w.Address) && w.Hostname != r.o.Hostname {
		return target{}, errLoopback
	}
	return target{
		transport: signing{signer: r.o.Signer, next: r.transport(w.Address)}, host: w.Address,
		prefix: relayPrefix + w.Name, owner: w.Name,
	}, nil
}

func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// transport keeps connections to each replica.
func (r *Router) transport(address string) *http.Transport {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.far[address]; t != nil {
		return t
	}
	if len(r.far) >= maxAddresses {
		for a, t := range r.far { // addresses of replicas that came and went
			t.CloseIdleConnections()
			delete(r.far, a)
		}
	}
	t := &http.Transport{
		DialContext: dial, MaxIdleConnsPerHost: idleConns, IdleConnTimeout: idleTimeout,
		ResponseHeaderTimeout: r.o.Patience, DisableCompression: true,
	}
	r.far[address] = t
	return t
}

// dial tries a refused connection once more: a master that is replaced by a new one
// gives its address up for a moment.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3}}
	c, err := d.DialContext(ctx, network, address)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return c, err
	}
	select {
	case <-time.After(dialPause):
		return d.DialContext(ctx, network, address)
	case <-ctx.Done():
		return nil, err
	}
}

// find gives the way to a worker by name, if it is another one and lives.
func (r *Router) find(ctx context.Context, name string) (target, bool) {
	if name == r.o.Own || !serving.ValidName(name) {
		return target{}, false
	}
	if t, ok := r.near(name); ok {
		return t, r.o.Registry == nil || !r.o.Registry.silent(name)
	}
	if r.o.Registry == nil {
		return target{}, false
	}
	w, ok := r.o.Registry.Find(ctx, name)
	if !ok {
		return target{}, false
	}
	t, err := r.distant(w)
	return t, err == nil
}

// Forward passes the request on if its session is of another worker that lives.
func (r *Router) Forward(w http.ResponseWriter, req *http.Request, sid string) bool {
	name, _, ok := strings.Cut(sid, ".")
	if !ok || hasArrived(req.Context()) {
		return false
	}
	t, ok := r.find(req.Context(), name)
	if !ok {
		return false
	}
	client := req.Context()
	if r.o.Registry != nil {
		tied, release := r.o.Registry.tie(client, name)
		defer release()
		req = req.WithContext(tied)
	}
	proxy := &httputil.ReverseProxy{
		Transport: t.transport, FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", t.host
			p.Out.URL.Path, p.Out.URL.RawPath = t.prefix+r.o.Sessions, ""
			p.Out.Host = p.In.Host
			p.Out.Header.Del("Origin") // it was judged here
		},
		ModifyResponse: t.accept,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			if client.Err() == nil { // else the client has gone; there is nobody to answer
				sessionUnknown(w)
			}
		},
	}
	proxy.ServeHTTP(w, req)
	return true
}

// look asks a silent worker for nothing in particular. It lives if it answers, whatever
// it says. It is dead for certain if nobody listens at its replica's address, or its
// replica says that it has no such worker. One that merely does not answer may be frozen,
// or cut off.
func (r *Router) look(ctx context.Context, w Worker) verdict {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if t, ok := r.near(w.Name); ok {
		res, err := r.knock(ctx, t)
		if err == nil {
			_ = res.Body.Close()
		}
		return verdict{lives: err == nil} // its end is its master's to tell
	}
	t, err := r.distant(w)
	if err != nil {
		return verdict{}
	}
	res, err := r.knock(ctx, t)
	if err != nil {
		return verdict{gone: errors.Is(err, syscall.ECONNREFUSED)}
	}
	_ = res.Body.Close()
	gone := res.Header.Get(headerGone) == w.Name
	return verdict{gone: gone, lives: t.accept(res) == nil}
}

func (r *Router) knock(ctx context.Context, t target) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.host+t.prefix+r.o.Sessions, nil)
	if err != nil {
		return nil, fmt.Errorf("look for a worker: %w", err)
	}
	return t.transport.RoundTrip(req)
}

// accept takes an answer only from the worker that was asked.
func (t target) accept(res *http.Response) error {
	if t.owner != "" && res.Header.Get(headerOwner) != t.owner {
		return errNotOwner
	}
	res.Header.Del(headerOwner)
	return nil
}

// sessionUnknown answers as a server does that does not know the session: the client
// makes a new one at once.
func sessionUnknown(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = io.WriteString(w, `{"code":1,"message":"Session ID unknown"}`) // the client may be gone
}

// Ask puts a question to another worker's private socket and gives the answer's status
// and document.
func (r *Router) Ask(ctx context.Context, w Worker, method, path string, body []byte) (int, []byte, error) {
	t, ok := r.near(w.Name)
	if !ok {
		if r.o.Registry == nil && !w.Alive() || r.o.Registry != nil && !r.o.Registry.alive(w) {
			return 0, nil, fmt.Errorf("silent for %s", w.Silent.Round(time.Second))
		}
		var err error
		if t, err = r.distant(w); err != nil {
			return 0, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+t.host+t.prefix+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("ask worker %s: %w", w.Name, err)
	}
	res, err := t.transport.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if err := t.accept(res); err != nil {
		return 0, nil, fmt.Errorf("%w (status %d)", err, res.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("read answer: %w", err)
	}
	return res.StatusCode, raw, nil
}

// Close gives up the connections that are kept.
func (r *Router) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.far {
		t.CloseIdleConnections()
	}
}
