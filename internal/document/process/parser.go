package process

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/document"
)

// Defaults of Options.
const (
	DefaultSlots     = 2
	DefaultMemory    = 1 << 30
	DefaultDocuments = 500
	DefaultIdle      = time.Minute
)

// smallText is up to which size what the Studio parses itself is read here: that is
// linear, and what it takes of memory is some hundred times its size at worst.
const smallText = 256 << 10

// Options say how parsers are run.
type Options struct {
	Command []string // this program, as one that calls Serve
	Slots   int      // parsers at the same time
	// Memory is how many bytes a parser may take for a document, beside what it has anyway.
	// Command is to hand it to Serve.
	Memory    int64
	Documents int           // a parser is replaced after so many
	Idle      time.Duration // one that nobody asks for so long is ended
	Log       *slog.Logger
}

// Parser is a document.Parser whose files are read by other processes, but for small ones
// of formats that no library reads. They are started when they are needed.
type Parser struct {
	o     Options
	slots chan struct{}

	mu     sync.Mutex
	idle   []*child // the newest last
	closed bool
	alive  sync.WaitGroup
}

// New makes a parser. Nothing is started yet.
func New(o Options) (*Parser, error) {
	if len(o.Command) == 0 {
		return nil, errors.New("a parser needs its command")
	}
	if o.Slots <= 0 {
		o.Slots = DefaultSlots
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	if o.Documents <= 0 {
		o.Documents = DefaultDocuments
	}
	if o.Idle <= 0 {
		o.Idle = DefaultIdle
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Parser{o: o, slots: make(chan struct{}, o.Slots)}, nil
}

// Parse implements document.Parser.
func (p *Parser) Parse(ctx context.Context, path string, data []byte, l document.Limits) (document.Document, error) {
	l = l.WithDefaults()
	kind, _, err := document.Inspect(path, data, l)
	if err != nil {
		return document.Document{}, err
	}
	if !kind.Foreign() && len(data) <= smallText {
		return document.Parse(ctx, path, data, l)
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return document.Document{}, context.Cause(ctx)
	}
	return p.parse(ctx, path, data, l)
}

func (p *Parser) parse(ctx context.Context, path string, data []byte, l document.Limits) (document.Document, error) {
	for {
		c, used, err := p.take(ctx)
		if err != nil {
			return document.Document{}, p.unavailable(ctx, err)
		}
		d, err := c.ask(ctx, path, data, l)
		if errors.Is(err, errGone) && used {
			p.end(c) // it ended while nobody asked it anything
			continue
		}
		if c.broken {
			p.end(c)
			p.tell(ctx, path, err)
		} else {
			p.give(c)
		}
		return d, err
	}
}

// unavailable is the error of a file whose parser could not be started: there is nothing to
// say about the file, but the next index run asks again.
func (p *Parser) unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.o.Log.WarnContext(ctx, "the parser of documents cannot be started", "error", err)
	return &document.Error{Code: document.ParserDied, Message: "could not be read: its parser could not be started. The log says why."}
}

// tell logs which document ended a parser. That of a caller who went away did not.
func (p *Parser) tell(ctx context.Context, path string, err error) {
	if ctx.Err() == nil {
		p.o.Log.WarnContext(ctx, "a document ended its parser", "path", path, "error", err)
	}
}

var errClosed = errors.New("the parsers are closed")

// take gives a parser that waits, or a new one.
func (p *Parser) take(ctx context.Context) (c *child, used bool, err error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 && !p.closed {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		c.expiry.Stop()
		p.mu.Unlock()
		return c, true, nil
	}
	closed := p.closed
	if !closed {
		p.alive.Add(1)
	}
	p.mu.Unlock()
	if closed {
		return nil, false, errClosed
	}
	if c, err = start(ctx, p.o); err != nil {
		p.alive.Done()
		return nil, false, err
	}
	return c, false, nil
}

// give puts a parser back that may be asked again.
func (p *Parser) give(c *child) {
	c.asked++
	p.mu.Lock()
	keep := !p.closed && c.asked < p.o.Documents
	if keep {
		p.idle = append(p.idle, c)
		turn := c.asked
		c.expiry = time.AfterFunc(p.o.Idle, func() { p.expire(c, turn) })
	}
	p.mu.Unlock()
	if !keep {
		p.end(c)
	}
}

// expire ends a parser that has not been asked since its turn.
func (p *Parser) expire(c *child, turn int) {
	p.mu.Lock()
	found := false
	for i, other := range p.idle {
		if other == c && c.asked == turn {
			p.idle, found = append(p.idle[:i], p.idle[i+1:]...), true
			break
		}
	}
	p.mu.Unlock()
	if found {
		p.end(c)
	}
}

func (p *Parser) end(c *child) {
	c.end()
	p.alive.Done()
}

// Close ends all parsers, when those that work are done. Files are refused from then on.
func (p *Parser) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.expiry.Stop()
		p.end(c)
	}
	p.alive.Wait()
}
