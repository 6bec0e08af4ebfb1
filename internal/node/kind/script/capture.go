package script

import (
	"bytes"
	"fmt"
	"io"

	"github.com/llmctl/studio/internal/executor"
)

// maxLine is where a line is cut in the log, maxKept what is kept of a stream.
const (
	maxLine = 64 << 10
	maxKept = 1 << 20
)

// capture keeps the beginning of one output stream and logs it line by line.
type capture struct {
	sink    executor.Sink
	stream  string
	kept    bytes.Buffer
	line    []byte
	dropped int64
	err     error
}

func newCapture(sink executor.Sink, stream string) *capture {
	return &capture{sink: sink, stream: stream}
}

// read takes everything from r, also what is not kept: a full pipe would stop the
// command. It calls stop when the sink fails.
func (c *capture) read(r io.Reader, stop func()) {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		c.take(buf[:n])
		if c.err != nil {
			stop()
			_, _ = io.Copy(io.Discard, r)
			return
		}
		if err != nil {
			break
		}
	}
	c.flush()
	if c.dropped > 0 {
		c.log(executor.StreamSystem, fmt.Sprintf("%d more bytes on %s were not kept; the limit is %d.", c.dropped, c.stream, maxKept))
	}
	if c.err != nil {
		stop()
	}
}

func (c *capture) take(p []byte) {
	room := maxKept - c.kept.Len()
	if len(p) > room {
		c.dropped += int64(len(p) - room)
		p = p[:room]
	}
	c.kept.Write(p)
	for len(p) > 0 && c.err == nil {
		i := bytes.IndexByte(p, '\n')
		piece := p
		if i >= 0 {
			piece = p[:i]
		}
		if room := maxLine - len(c.line); len(piece) > room {
			c.line = append(c.line, piece[:room]...)
			c.flush()
			p = p[room:]
			continue
		}
		c.line = append(c.line, piece...)
		if i < 0 {
			return
		}
		c.emptyLine(i == 0)
		p = p[i+1:]
	}
}

// emptyLine ends a line; blank ones are part of the log too.
func (c *capture) emptyLine(blank bool) {
	if len(c.line) == 0 && blank {
		c.log(c.stream, "")
		return
	}
	c.flush()
}

func (c *capture) flush() {
	if len(c.line) == 0 {
		return
	}
	c.log(c.stream, string(bytes.TrimSuffix(c.line, []byte("\r"))))
	c.line = c.line[:0]
}

func (c *capture) log(stream, text string) {
	if c.err == nil {
		c.err = c.sink(executor.Event{Type: executor.EventLog, Stage: executor.StageInit, Stream: stream, Text: text})
	}
}

func (c *capture) failed() bool { return c.err != nil }

func (c *capture) text() string { return executor.CleanText(c.kept.String()) }
