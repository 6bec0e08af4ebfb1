package client

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Session is the connection with one server. It is made when it is first used and
// made anew when it broke. It is safe for concurrent use.
type Session struct {
	p      *Pool
	spec   Spec
	shared bool
	turn   chan struct{} // who connects or lists

	mu       sync.Mutex
	link     *link
	failed   *Error // why the last try to connect failed
	failures int
	notUntil time.Time
	tools    []Tool
	fresh    bool // tools are what the server offers, as far as it told
	users    int
	used     time.Time
	retired  bool
	calls    map[string]func(Progress)
	number   int64
}

// link is one connection.
type link struct {
	cs      *mcp.ClientSession
	program *program // nil: none
	answers *outfit  // nil: it does not speak HTTP
	info    Info
	cancel  context.CancelFunc
}

func newSession(p *Pool, spec Spec) *Session {
	return &Session{p: p, spec: spec, turn: make(chan struct{}, 1), calls: map[string]func(Progress){}, used: p.o.Now()}
}

func (s *Session) use(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users += n
	s.used = s.p.o.Now()
}

func (s *Session) lastUse() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

func (s *Session) unusedSince(at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users == 0 && !s.used.After(at)
}

// retire says once that nobody uses a session any more that is not in the pool.
func (s *Session) retire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users > 0 || s.retired {
		return false
	}
	s.retired = true
	return true
}

// Info connects if need be and tells what the server says of itself.
func (s *Session) Info(ctx context.Context) (Info, error) {
	l, err := s.connected(ctx)
	if err != nil {
		return Info{}, err
	}
	return l.info, nil
}

// connected gives the link, made anew if there is none.
func (s *Session) connected(ctx context.Context) (*link, error) {
	if l := s.current(); l != nil {
		return l, nil
	}
	if err := s.lock(ctx, "initialize"); err != nil {
		return nil, err
	}
	defer s.unlock()
	if l := s.current(); l != nil {
		return l, nil
	}
	if err := s.resting(); err != nil {
		return nil, err
	}
	var failed *Error
	for try := 1; try <= connectTries; try++ {
		l, err := s.dial(ctx)
		if err == nil {
			s.keep(l)
			return l, nil
		}
		failed = err
		if !err.retryable() || try == connectTries || !pause(ctx, backoff(try)) {
			break
		}
	}
	s.note(failed)
	return nil, failed
}

func (s *Session) lock(ctx context.Context, asked string) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		e := s.spec.explain(ctx, asked, ctx.Err())
		e.Sent = false
		return e
	}
}

func (s *Session) unlock() { <-s.turn }

func (s *Session) current() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.link
}

// backoff doubles from the first to the last pause.
func backoff(n int) time.Duration {
	d := firstPause
	for ; n > 1 && d < lastPause; n-- {
		d *= 2
	}
	return min(d, lastPause)
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// resting refuses while a server that did not answer is left alone.
func (s *Session) resting() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wait := s.notUntil.Sub(s.p.o.Now()); s.failed != nil && wait > 0 {
		e := *s.failed
		e.Message += fmt.Sprintf(" It is tried again in %s.", wait.Round(100*time.Millisecond))
		return &e
	}
	return nil
}

func (s *Session) note(failed *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures++
	if failed.retryable() {
		s.failed, s.notUntil = failed, s.p.o.Now().Add(backoff(s.failures))
	}
}

func (s *Session) keep(l *link) {
	s.mu.Lock()
	s.link, s.failed, s.failures, s.fresh = l, nil, 0, false
	s.mu.Unlock()
	go func() {
		_ = l.cs.Wait()
		s.lost(l)
	}()
}

// lost forgets a link that broke.
func (s *Session) lost(l *link) {
	s.mu.Lock()
	mine := s.link == l
	if mine {
		s.link, s.fresh = nil, false
	}
	s.mu.Unlock()
	if mine {
		l.close()
	}
}

// shut closes the session; it would connect anew if it were used again.
func (s *Session) shut() {
	s.mu.Lock()
	l := s.link
	s.link, s.fresh = nil, false
	s.mu.Unlock()
	if l != nil {
		l.close()
	}
}

func (l *link) close() {
	_ = l.cs.Close()
	l.cancel()
	if l.program != nil {
		l.program.end()
	}
}

// dial makes one connection.
func (s *Session) dial(ctx context.Context) (*link, *Error) {
	// The connection outlives the call that needs it first.
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	timer := time.AfterFunc(connectTimeout, func() { cancel(errConnectTimeout) })
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	l := &link{cancel: func() { cancel(nil) }}
	began := s.p.o.Now()
	transport, err := s.transport(l)
	if err == nil {
		l.cs, err = s.p.client(s).Connect(life, transport, s.version())
	}
	inTime := timer.Stop()
	if !stop() && err == nil && ctx.Err() != nil || !inTime && err == nil {
		_ = l.cs.Close()
		err = context.Cause(life)
	}
	if err != nil {
		failed := s.explainDial(ctx, life, l, err)
		cancel(nil)
		if l.program != nil {
			l.program.end()
		}
		return nil, failed
	}
	l.info.Connected = s.p.o.Now().Sub(began)
	if r := l.cs.InitializeResult(); r != nil {
		l.info.ProtocolVersion, l.info.Instructions = r.ProtocolVersion, clip(r.Instructions, 8000)
		if r.ServerInfo != nil {
			l.info.Name, l.info.Version = clip(r.ServerInfo.Name, 200), clip(r.ServerInfo.Version, 100)
		}
	}
	return l, nil
}

func (s *Session) explainDial(ctx, life context.Context, l *link, err error) *Error {
	over := life
	if ctx.Err() != nil {
		over = ctx
	}
	failed := s.spec.explain(over, "initialize", err)
	if failed.Kind == KindClosed && l.answers != nil {
		if why := l.answers.fault.Load(); why != nil {
			failed = s.spec.explain(over, "initialize", *why)
		}
	}
	failed.Sent = false
	if l.program != nil && failed.Kind != KindNotAllowed && failed.Kind != KindUnreachable {
		if end := l.program.ended(); end != "" {
			failed.Kind, failed.Message = KindUnreachable, end
		}
	}
	return failed
}

func clip(s string, most int) string {
	s = strings.ToValidUTF8(s, "")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// version keeps the newest protocol for HTTP, where a server that does not know it
// says so; a program may end when it hears anything but initialize first.
func (s *Session) version() *mcp.ClientSessionOptions {
	if s.spec.Transport == StreamableHTTP {
		return nil
	}
	return &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"}
}

func (s *Session) transport(l *link) (mcp.Transport, error) {
	if s.spec.Transport == Stdio {
		l.program = &program{spec: s.spec, p: s.p.o.Programs}
		return l.program, nil
	}
	c, answers, err := s.spec.client(s.p.o.HTTP)
	if err != nil {
		return nil, err
	}
	l.answers = answers
	if s.spec.Transport == SSE {
		return &mcp.SSEClientTransport{Endpoint: s.spec.URL, HTTPClient: c, MaxEventSize: maxEvent}, nil
	}
	return &mcp.StreamableClientTransport{Endpoint: s.spec.URL, HTTPClient: c, MaxRetries: 2, MaxEventSize: maxEvent}, nil
}

// changed notes that the server offers other tools than before.
func (s *Session) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fresh = false
}

// Limits of what a server may offer.
const (
	maxTools  = 1000
	maxPages  = 50
	maxSchema = 256 << 10
)

// Tools lists the server's tools. The list is kept until the server says that it
// has changed, or the connection is made anew.
func (s *Session) Tools(ctx context.Context) ([]Tool, error) {
	l, err := s.connected(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.lock(ctx, "its tools"); err != nil {
		return nil, err
	}
	defer s.unlock()
	s.mu.Lock()
	if s.fresh && s.link == l {
		defer s.mu.Unlock()
		return s.tools, nil
	}
	s.fresh = true // a change while we list makes it false again
	s.mu.Unlock()
	tools, err := s.list(ctx, l)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.fresh = false
		return nil, err
	}
	s.tools = tools
	return tools, nil
}

func (s *Session) list(ctx context.Context, l *link) ([]Tool, error) {
	var out []Tool
	params := &mcp.ListToolsParams{}
	for range maxPages {
		res, err := l.cs.ListTools(ctx, params)
		if err != nil {
			return nil, s.failure(ctx, l, "its tools", err)
		}
		for _, t := range res.Tools {
			if len(out) == maxTools {
				return out, nil
			}
			if t != nil {
				out = append(out, toolOf(t))
			}
		}
		if res.NextCursor == "" {
			return out, nil
		}
		params.Cursor = res.NextCursor
	}
	return out, nil
}

func toolOf(t *mcp.Tool) Tool {
	out := Tool{Name: t.Name, Title: clip(t.Title, 200), Description: clip(t.Description, 8000), Destructive: true, OpenWorld: true}
	out.Input, out.Output = schemaOf(t.InputSchema), schemaOf(t.OutputSchema)
	if a := t.Annotations; a != nil {
		out.ReadOnly, out.Idempotent = a.ReadOnlyHint, a.IdempotentHint
		out.Destructive = !a.ReadOnlyHint && (a.DestructiveHint == nil || *a.DestructiveHint)
		out.OpenWorld = a.OpenWorldHint == nil || *a.OpenWorldHint
		if out.Title == "" {
			out.Title = clip(a.Title, 200)
		}
	}
	return out
}

func schemaOf(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	raw, err := json.Marshal(v)
	if err != nil || len(raw) > maxSchema {
		return nil
	}
	return raw
}
