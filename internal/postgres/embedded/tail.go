package embedded

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
)

const (
	tailLines   = 12
	maxLogLine  = 4 << 10
	logComplain = "database server complains"
	logSays     = "database server"
)

// tail passes the server's log on line by line and keeps the last lines for
// errors. Lines longer than maxLogLine are cut.
type tail struct {
	log *slog.Logger

	mu      sync.Mutex
	partial []byte
	lines   []string
}

// Write takes a piece of log. It never fails.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	for {
		line, rest, found := bytes.Cut(b, []byte("\n"))
		if room := maxLogLine - len(t.partial); room > 0 {
			t.partial = append(t.partial, line[:min(room, len(line))]...)
		}
		if !found {
			return n, nil
		}
		t.take(string(t.partial))
		t.partial, b = t.partial[:0], rest
	}
}

func (t *tail) take(line string) {
	if line = strings.TrimSpace(line); line == "" {
		return
	}
	t.lines = append(t.lines, line)
	t.lines = t.lines[max(0, len(t.lines)-tailLines):]
	ctx := context.Background() // the server's log belongs to no request
	if serious(line) {
		t.log.WarnContext(ctx, logComplain, "line", line)
		return
	}
	t.log.DebugContext(ctx, logSays, "line", line)
}

// serious is what somebody should see. Refused and ended connections are part of
// every start and stop.
func serious(line string) bool {
	if strings.Contains(line, "the database system is") || strings.Contains(line, "due to administrator command") {
		return false
	}
	return strings.HasPrefix(line, "FATAL:") || strings.HasPrefix(line, "PANIC:")
}

// String gives the last lines in one.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "; ")
}
