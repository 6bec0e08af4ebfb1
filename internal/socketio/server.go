package socketio

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server serves Socket.IO over HTTP. It does not look at the path, so it can be mounted anywhere; see [Server.Mount].
type Server struct {
	opts   Options
	stats  counters
	roster roster
	// group counts every goroutine, and every session until it has ended, so that none can start after the last ended.
	group    sync.WaitGroup
	flushers flushers
	buffers  *sync.Pool // of [source]
	workers  *workers

	// onMessage, when set, takes Engine.IO messages instead of the Socket.IO layer.
	onMessage func(c *conn, p enginePacket) error

	mu         sync.Mutex
	closing    bool
	conns      map[string]*conn
	namespaces map[string]*Handler
}

// New returns a server without namespaces. It fails when an option makes no sense.
func New(opts Options) (*Server, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{opts: opts, conns: map[string]*conn{}, namespaces: map[string]*Handler{}, buffers: newBuffers()}
	s.flushers.srv = s
	s.workers = newWorkers(&s.group)
	return s, nil
}

// Namespace adds a namespace; names begin with a slash, and "/" is the main one. Like [http.ServeMux.Handle] it panics
// when the name is not usable or already taken.
func (s *Server) Namespace(name string, h Handler) {
	if err := checkNamespace(name); err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.namespaces[name] != nil {
		panic("socketio: namespace " + name + " is taken")
	}
	h.name = name
	s.namespaces[name] = &h
}

func (s *Server) handler(namespace string) *Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.namespaces[namespace]
}

// Mount registers the server for path, with and without a trailing slash.
func (s *Server) Mount(mux *http.ServeMux, path string) {
	path = "/" + strings.Trim(path, "/")
	if path != "/" {
		mux.Handle(path, s)
		path += "/"
	}
	mux.Handle(path+"{$}", s)
}

// rejection is an error of the Engine.IO handshake, as clients know it.
type rejection struct {
	status  int
	code    int
	message string
	cause   string // in Stats
}

type rejectionKind int

const (
	rejectTransport rejectionKind = iota
	rejectSession
	rejectMethod
	rejectBadRequest
	rejectOrigin
	rejectVersion
	rejectTooLarge
	rejectUnavailable
)

func (k rejectionKind) describe() rejection {
	switch k {
	case rejectTransport:
		return rejection{http.StatusBadRequest, 0, "Transport unknown", "transport"}
	case rejectSession:
		return rejection{http.StatusBadRequest, 1, "Session ID unknown", "sid"}
	case rejectMethod:
		return rejection{http.StatusBadRequest, 2, "Bad handshake method", "method"}
	case rejectOrigin:
		return rejection{http.StatusForbidden, 4, "Forbidden", "origin"}
	case rejectVersion:
		return rejection{http.StatusBadRequest, 5, "Unsupported protocol version", "version"}
	case rejectTooLarge:
		return rejection{http.StatusRequestEntityTooLarge, 3, "Payload too large", "size"}
	case rejectUnavailable:
		return rejection{http.StatusServiceUnavailable, 3, "Unavailable", "capacity"}
	default:
		return rejection{http.StatusBadRequest, 3, "Bad request", "request"}
	}
}

func (s *Server) reject(w http.ResponseWriter, kind rejectionKind) {
	r := kind.describe()
	s.stats.reject(r.cause)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(r.status)
	_, _ = fmt.Fprintf(w, `{"code":%d,"message":%q}`, r.code, r.message) // the peer may be gone
}

// ServeHTTP serves one request of either transport.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.checkOrigin(w, r) {
		s.reject(w, rejectOrigin)
		return
	}
	if r.Method == http.MethodOptions {
		preflight(w, r)
		return
	}
	q := r.URL.Query()
	transport := q.Get("transport")
	if kind, ok := s.checkQuery(r, q, transport); !ok {
		s.reject(w, kind)
		return
	}
	sid := q.Get("sid")
	if sid == "" {
		s.open(w, r, transport)
		return
	}
	c := s.lookup(sid)
	switch {
	case c == nil && s.opts.Forward != nil && s.opts.Forward(w, r, sid):
	case c == nil:
		s.reject(w, rejectSession)
	case transport == TransportWebSocket:
		c.serveUpgrade(w, r)
	default:
		c.servePolling(w, r)
	}
}

func (s *Server) checkQuery(r *http.Request, q url.Values, transport string) (rejectionKind, bool) {
	switch {
	case q.Get("EIO") != "4":
		return rejectVersion, false
	case !slices.Contains(s.opts.Transports, transport):
		return rejectTransport, false
	case q.Has("j"): // JSONP, which would let any site read the answer
		return rejectBadRequest, false
	case transport == TransportWebSocket && (!isWebSocket(r) || r.ProtoMajor != 1):
		return rejectBadRequest, false
	case q.Get("sid") == "" && r.Method != http.MethodGet:
		return rejectMethod, false
	}
	return 0, true
}

func isWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// open starts a session.
func (s *Server) open(w http.ResponseWriter, r *http.Request, transport string) {
	c := newConn(s, s.opts.SessionPrefix+rand.Text(), r)
	if transport == TransportPolling {
		if !s.remember(c) {
			s.reject(w, rejectUnavailable)
			return
		}
		c.start()
		if err := s.respond(w, s.openPacket(c, transport)); err != nil {
			c.shut(ReasonTransportError, endAbort)
		}
		return
	}
	if s.full() {
		s.reject(w, rejectUnavailable)
		return
	}
	hello := []frame{textFrame(string(s.openPacket(c, transport)))}
	l, err := s.acceptLink(w, r, hello)
	if err != nil {
		s.opts.Logger.DebugContext(r.Context(), "socketio: websocket refused", "error", err)
		s.stats.reject("handshake")
		return
	}
	c.link = l
	if !s.remember(c) {
		_ = l.conn.Close()
		return
	}
	count(&s.stats.packetsOut, len(hello))
	count(&s.stats.bytesOut, frameBytes(hello))
	c.logOut(hello)
	c.start()
	// The goroutine of the request ends here and gives back its buffers.
	c.read(l)
}

// openPacket tells the client the terms.
func (s *Server) openPacket(c *conn, transport string) []byte {
	upgrades := "[]"
	if transport == TransportPolling && slices.Contains(s.opts.Transports, TransportWebSocket) {
		upgrades = `["websocket"]`
	}
	out := append(make([]byte, 0, 192), engineOpen) // the id is of plain characters
	out = append(append(append(out, `{"sid":"`...), c.id...), `","upgrades":`...)
	out = append(append(out, upgrades...), `,"pingInterval":`...)
	out = append(strconv.AppendInt(out, s.opts.PingInterval.Milliseconds(), 10), `,"pingTimeout":`...)
	out = append(strconv.AppendInt(out, s.opts.PingTimeout.Milliseconds(), 10), `,"maxPayload":`...)
	return append(strconv.AppendInt(out, int64(s.opts.MaxPayload), 10), '}')
}

func (s *Server) lookup(sid string) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[sid]
}

func (s *Server) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing || len(s.conns) >= s.opts.MaxConnections
}

// remember makes the session known; false means that there is no room for it, or no time.
func (s *Server) remember(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || len(s.conns) >= s.opts.MaxConnections {
		return false
	}
	s.conns[c.id] = c
	s.group.Add(1)
	s.stats.opened.Add(1)
	return true
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c.id)
	s.group.Done()
}

func (s *Server) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*conn, 0, len(s.conns))
	for _, c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// Drain ends the open sessions one after the other, over spread, and then does what Shutdown does. Clients that come
// back meanwhile are taken, and told to move again at the end.
func (s *Server) Drain(ctx context.Context, spread time.Duration) error {
	open := s.all()
	if len(open) > 0 {
		ticker := time.NewTicker(max(spread/time.Duration(len(open)), time.Microsecond))
		defer ticker.Stop()
		for _, c := range open {
			c.shut(ReasonShutdown, endDrain)
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return s.Shutdown(ctx)
			}
		}
	}
	return s.Shutdown(ctx)
}

// Shutdown refuses new sessions, ends all others in order, and waits until every handler has returned. Clients are not
// told to stay away, so they reconnect, to another server if there is one. When ctx ends first, the rest is cut off
// and the context's error returned; a second call returns [ErrServerClosed].
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	again := s.closing
	s.closing = true
	s.mu.Unlock()
	if again {
		return ErrServerClosed
	}
	close(s.workers.quit)
	for _, c := range s.all() {
		c.shut(ReasonShutdown, endDrain)
		c.hurry()
	}
	done := make(chan struct{})
	go func() {
		s.group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		for _, c := range s.all() {
			c.shut(ReasonShutdown, endAbort)
		}
		return ctx.Err()
	}
}

// hurry ends a polling session that would wait for one more GET: there will be nobody to answer it.
func (c *conn) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.linger != nil {
		c.cutLocked()
	}
}

var _ http.Handler = (*Server)(nil)
