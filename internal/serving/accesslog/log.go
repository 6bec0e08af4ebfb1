package accesslog

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// pieceBytes is what a pipe takes in one piece (PIPE_BUF), so that lines of
	// several processes stay whole.
	pieceBytes   = 4096
	bufferBytes  = 1 << 20
	flushTimeout = 3 * time.Second
	reportPause  = 10 * time.Second
)

// Options configure a Log.
type Options struct {
	Out    io.Writer
	Format *Format // nil: JSON lines
	Logger *slog.Logger
	Now    func() time.Time
	// Buffer is how many bytes of lines may wait to be written; 0 is 1 MiB.
	Buffer int
}

// Log collects lines and writes them. What does not fit into the buffer is dropped:
// requests never wait for their line.
type Log struct {
	o    Options
	pid  int64
	pool sync.Pool
	wake chan struct{}

	mu      sync.Mutex
	pending []byte
	ended   bool
	counts  Counts

	reported Counts // of the writing goroutine
	lastTold time.Time
}

// Counts tell what became of lines.
type Counts struct {
	Lines   int64 // taken
	Dropped int64 // there was no room, or the log had ended
	Failed  int64 // pieces of some lines each that could not be written
}

// New makes a log; Run writes.
func New(o Options) *Log {
	if o.Buffer == 0 {
		o.Buffer = bufferBytes
	}
	return &Log{o: o, pid: int64(syscall.Getpid()), wake: make(chan struct{}, 1), pool: sync.Pool{New: func() any { return new([]byte) }}}
}

// Name names the service.
func (l *Log) Name() string { return "access log" }

// Counts gives the figures so far.
func (l *Log) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// Run writes until ctx ends, and then what is left, for a few seconds at most.
func (l *Log) Run(ctx context.Context, ready func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.writeLoop(ctx)
	}()
	ready()
	<-ctx.Done()
	timer := time.NewTimer(flushTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C: // no reason to end with a failure
		l.o.Logger.WarnContext(ctx, "access log is not written to its end: nobody takes it")
	}
	return nil
}

// writeLoop alternates two buffers between those who add and itself.
func (l *Log) writeLoop(ctx context.Context) {
	var spare []byte
	for last := false; !last; {
		select {
		case <-l.wake:
		case <-ctx.Done():
			last = true
		}
		l.mu.Lock()
		full := l.pending
		l.pending = spare[:0]
		l.ended = last
		l.mu.Unlock()
		err := l.write(full)
		l.report(ctx, err, last)
		spare = full
	}
}

// write writes lines in pieces of whole lines.
func (l *Log) write(lines []byte) error {
	var first error
	for len(lines) > 0 {
		piece := lines[:pieceOf(lines)]
		lines = lines[len(piece):]
		if _, err := l.o.Out.Write(piece); err != nil {
			l.mu.Lock()
			l.counts.Failed++
			l.mu.Unlock()
			if first == nil {
				first = err
			}
		}
	}
	return first
}

// pieceOf is the length of as many lines as fit into one piece, at least one.
func pieceOf(lines []byte) int {
	end := 0
	for i, c := range lines {
		if c == '\n' {
			end = i + 1
		}
		if i >= pieceBytes-1 && end > 0 {
			break
		}
	}
	return end
}

// report tells of lost lines, not too often.
func (l *Log) report(ctx context.Context, err error, last bool) {
	counts, now := l.Counts(), l.o.Now()
	if counts.Dropped == l.reported.Dropped && counts.Failed == l.reported.Failed || !last && now.Sub(l.lastTold) < reportPause {
		return
	}
	attrs := []slog.Attr{
		slog.Int64("dropped_lines", counts.Dropped-l.reported.Dropped), slog.Int64("failed_writes", counts.Failed-l.reported.Failed),
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	l.o.Logger.LogAttrs(ctx, slog.LevelWarn, "access log is incomplete", attrs...)
	l.reported, l.lastTold = counts, now
}

// add takes the line of an entry.
func (l *Log) add(e *entry) {
	buffer, ok := l.pool.Get().(*[]byte)
	if !ok {
		buffer = new([]byte)
	}
	line := l.render((*buffer)[:0], e)
	l.mu.Lock()
	if l.ended || len(l.pending)+len(line) > l.o.Buffer {
		l.counts.Dropped++
	} else {
		l.pending = append(l.pending, line...)
		l.counts.Lines++
	}
	l.mu.Unlock()
	*buffer = line
	l.pool.Put(buffer)
	select {
	case l.wake <- struct{}{}:
	default: // it is awake
	}
}

// render makes a whole line. One that would not go through a pipe in one piece is
// made again of shorter values.
func (l *Log) render(dst []byte, e *entry) []byte {
	line := append(l.renderWithin(dst, e, fieldLimit), '\n')
	if len(line) > pieceBytes {
		line = append(l.renderWithin(dst, e, shortLimit), '\n')
	}
	return line
}

func (l *Log) renderWithin(dst []byte, e *entry, limit int) []byte {
	if l.o.Format != nil {
		return l.o.Format.append(dst, e, limit)
	}
	return l.appendObject(dst, e, limit)
}

// appendObject appends the entry as JSON. The members that the log of the program has
// too have the same names there.
func (l *Log) appendObject(dst []byte, e *entry, limit int) []byte {
	text := func(name, value string) {
		if value != "" {
			dst = append(append(append(dst, `,"`...), name...), `":`...)
			dst = appendJSON(dst, value, limit)
		}
	}
	number := func(name string, value int64) {
		dst = append(append(append(dst, `,"`...), name...), `":`...)
		dst = strconv.AppendInt(dst, value, 10)
	}
	dst = append(dst, `{"time":"`...)
	dst = e.at.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	dst = append(dst, `","level":"INFO","msg":"request"`...)
	text("method", e.method)
	text("path", e.path)
	text("query", e.query)
	number("status", int64(e.status))
	number("bytes", e.bytes)
	number("duration", int64(e.took))
	text("request_id", e.requestID)
	text("correlation_id", e.correlationID)
	text("remote_addr", e.remote)
	text("user", e.user)
	text("host", e.host)
	text("protocol", e.proto)
	text("referer", e.referer)
	text("user_agent", e.agent)
	number("pid", l.pid)
	return append(dst, '}')
}
