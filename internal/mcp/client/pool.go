package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Options configure a Pool.
type Options struct {
	HTTP     *http.Client // see NewHTTPClient
	Programs Programs
	Max      int           // shared sessions at the same time; 0: 64
	Idle     time.Duration // after which an unused session is closed; 0: 5 minutes
	Version  string        // of this program, as servers are told
	Now      func() time.Time
	Logger   *slog.Logger
}

// The times of a connection.
const (
	connectTimeout = 20 * time.Second
	keepAlive      = 30 * time.Second
	firstPause     = 250 * time.Millisecond
	lastPause      = 30 * time.Second
	connectTries   = 3
)

var errConnectTimeout = errors.New("the server did not answer initialize in time")

// Pool keeps the sessions of this process.
type Pool struct {
	o        Options
	programs chan struct{} // one a program

	mu     sync.Mutex
	shared map[int64]*Session
	closed bool
}

// NewPool makes a pool; Run keeps it tidy.
func NewPool(o Options) *Pool {
	if o.Max <= 0 {
		o.Max = 64
	}
	if o.Idle <= 0 {
		o.Idle = 5 * time.Minute
	}
	if o.Programs.Max <= 0 {
		o.Programs.Max = maxPrograms
	}
	return &Pool{o: o, programs: make(chan struct{}, o.Programs.Max), shared: map[int64]*Session{}}
}

// Name names the service.
func (p *Pool) Name() string { return "mcp sessions" }

// Run closes what is idle, and everything when ctx ends.
func (p *Pool) Run(ctx context.Context, ready func()) error {
	ready()
	t := time.NewTicker(p.o.Idle / 4)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			p.closeAll()
			return nil
		case <-t.C:
			for _, s := range p.idle() {
				s.shut()
			}
		}
	}
}

func (p *Pool) idle() []*Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*Session
	for id, s := range p.shared {
		if s.unusedSince(p.o.Now().Add(-p.o.Idle)) {
			delete(p.shared, id)
			out = append(out, s)
		}
	}
	return out
}

func (p *Pool) closeAll() {
	p.mu.Lock()
	p.closed = true
	all := p.shared
	p.shared = map[int64]*Session{}
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(s.shut)
	}
	wg.Wait()
}

// Lease holds the sessions of one piece of work. Programs are its own and end with
// it. It is for one goroutine to open and close; sessions may be used by many.
type Lease struct {
	p    *Pool
	mu   sync.Mutex
	held []*Session
}

// Lease begins a lease. Close ends it.
func (p *Pool) Lease() *Lease { return &Lease{p: p} }

// Session gives the session of a server. It connects when it is first used. Error:
// an *Error of KindBusy, when there are too many.
func (l *Lease) Session(spec Spec) (*Session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.held {
		if s.spec.ID == spec.ID && s.spec.Revision == spec.Revision && spec.ID != 0 {
			return s, nil
		}
	}
	var s *Session
	var err error
	if spec.Transport == Stdio {
		s, err = l.p.private(spec)
	} else {
		s, err = l.p.take(spec)
	}
	if err != nil {
		return nil, err
	}
	l.held = append(l.held, s)
	return s, nil
}

// Close ends the lease: programs are ended, shared sessions given back.
func (l *Lease) Close() {
	l.mu.Lock()
	held := l.held
	l.held = nil
	l.mu.Unlock()
	for _, s := range held {
		l.p.giveBack(s)
	}
}

func (p *Pool) private(spec Spec) (*Session, error) {
	select {
	case p.programs <- struct{}{}:
		return newSession(p, spec), nil
	default:
		return nil, &Error{Kind: KindBusy, Server: spec.Key, Message: fmt.Sprintf("%d programs of MCP servers run already; that is the limit of this worker.", cap(p.programs))}
	}
}

func (p *Pool) take(spec Spec) (*Session, error) {
	p.mu.Lock()
	var old *Session
	s, ok := p.shared[spec.ID]
	if ok && s.spec.Revision != spec.Revision {
		old, ok = s, false // whoever still uses it closes it
	}
	if !ok {
		if len(p.shared) >= p.o.Max && old == nil {
			if old = p.leastUsed(); old == nil {
				p.mu.Unlock()
				return nil, &Error{Kind: KindBusy, Server: spec.Key, Message: fmt.Sprintf("%d MCP servers are in use by this worker at once; that is its limit.", p.o.Max)}
			}
			delete(p.shared, old.spec.ID)
		}
		s = newSession(p, spec)
		s.shared = true
		p.shared[spec.ID] = s
	}
	s.use(+1)
	p.mu.Unlock()
	if old != nil && old.retire() {
		old.shut()
	}
	return s, nil
}

// leastUsed is the unused session that was used least recently.
func (p *Pool) leastUsed() *Session {
	var found *Session
	for _, s := range p.shared {
		if s.unusedSince(p.o.Now()) && (found == nil || s.lastUse().Before(found.lastUse())) {
			found = s
		}
	}
	return found
}

func (p *Pool) giveBack(s *Session) {
	if !s.shared {
		s.shut()
		<-p.programs
		return
	}
	s.use(-1)
	p.mu.Lock()
	current := p.shared[s.spec.ID] == s
	p.mu.Unlock()
	if !current && s.retire() {
		s.shut()
	}
}

func (p *Pool) client(s *Session) *mcp.Client {
	return mcp.NewClient(&mcp.Implementation{Name: "llmctl-studio", Title: "llmctl Studio", Version: p.o.Version}, &mcp.ClientOptions{
		Capabilities:                &mcp.ClientCapabilities{},
		ToolListChangedHandler:      func(context.Context, *mcp.ToolListChangedRequest) { s.changed() },
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { s.progress(r.Params) },
		MultiRoundTrip:              &mcp.MultiRoundTripOptions{Disabled: true},
		KeepAlive:                   keepAlive, KeepAliveFailureThreshold: 2,
	})
}
