package executor

import (
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxTalkLine = 4 << 10
	minMasked   = 4 // shorter secrets would mask half of every text
	mask        = "*****"
)

// Talk writes what happens for people, one line each, with secrets masked.
type Talk struct {
	mu      sync.Mutex
	w       io.Writer
	now     func() time.Time
	secrets []string
}

// NewTalk makes a writer of lines; w may be nil.
func NewTalk(w io.Writer, now func() time.Time, secrets []string) *Talk {
	t := &Talk{w: w, now: now}
	t.add(secrets)
	return t
}

// Mask adds values that must not be shown.
func (t *Talk) Mask(secrets map[string]string) {
	values := make([]string, 0, len(secrets))
	for _, v := range secrets {
		values = append(values, v)
	}
	t.add(values)
}

func (t *Talk) add(values []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, v := range values {
		// A secret of several lines is shown line by line.
		for _, part := range append(strings.Split(v, "\n"), v) {
			if part = strings.TrimSpace(part); len(part) >= minMasked {
				t.secrets = append(t.secrets, part)
			}
		}
	}
	// The longest first: one may be part of another.
	slices.SortFunc(t.secrets, func(a, b string) int { return len(b) - len(a) })
}

func (t *Talk) masked(text string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.secrets {
		text = strings.ReplaceAll(text, s, mask)
	}
	return text
}

// Line writes a line, cut where it is too long.
func (t *Talk) Line(stage, text string) {
	if t.w == nil {
		return
	}
	text = cut(t.masked(text), maxTalkLine)
	if stage != "" {
		text = "[" + stage + "] " + text
	}
	text = strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = io.WriteString(t.w, t.now().UTC().Format(time.RFC3339)+" "+text+"\n") // nobody is left to tell
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
