package process

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/llmctl/studio/internal/document"
)

const (
	startTime = 30 * time.Second
	// lateness is how long after its time-out a parser may still say that it is late by
	// itself, and live on.
	lateness = 250 * time.Millisecond
	// wordsKept is how much of a parser's last words is kept, of each kind.
	wordsKept = 2 << 10
)

// errGone is that a parser was no more when it was asked.
var errGone = errors.New("the parser is gone")

// child is a parser and this side of its pipes. One goroutine uses it at a time.
type child struct {
	cmd      *exec.Cmd
	input    *os.File
	requests *os.File
	answers  *os.File
	stderr   *os.File
	words    chan string   // its last words, when it has ended
	exited   chan struct{} // closed when it was reaped
	waitErr  error         // valid after exited
	asked    int
	expiry   *time.Timer // while it waits: when it is ended
	broken   bool        // it may not be asked again
}

// start starts a parser and waits until it is ready. On an error nothing is left of it.
func start(ctx context.Context, o Options) (*child, error) {
	c := &child{words: make(chan string, 1), exited: make(chan struct{})}
	if err := c.launch(o); err != nil {
		c.closePipes()
		return nil, fmt.Errorf("start the parser: %w", err)
	}
	answer, err := c.receive(ctx, startTime, 1<<10)
	var r ready
	if err == nil && (answer[0] != answerReady || json.Unmarshal(answer[1:], &r) != nil) {
		err = errWire
	}
	if err != nil {
		c.end()
		return nil, fmt.Errorf("start the parser: %w: %s", err, <-c.words)
	}
	return c, nil
}

// launch makes the pipes and the process.
func (c *child) launch(o Options) (err error) {
	if c.input, err = newInput(); err != nil {
		return err
	}
	var theirs [3]*os.File
	defer func() {
		for _, f := range theirs {
			_ = f.Close()
		}
	}()
	if theirs[0], c.requests, err = os.Pipe(); err != nil {
		return err
	}
	if c.answers, theirs[1], err = os.Pipe(); err != nil {
		return err
	}
	if c.stderr, theirs[2], err = os.Pipe(); err != nil {
		return err
	}
	// No context: it serves others after the first file.
	c.cmd = exec.Command(o.Command[0], append(o.Command[1:len(o.Command):len(o.Command)], "--memory="+strconv.FormatInt(o.Memory, 10))...) //nolint:gosec,noctx // this program
	c.cmd.Dir, c.cmd.Env = "/", []string{"GOTRACEBACK=none", "GOMAXPROCS=2"}
	c.cmd.Stdin, c.cmd.Stderr = theirs[0], theirs[2]
	c.cmd.ExtraFiles = []*os.File{c.input, theirs[1]} // descriptors 3 and 4
	c.cmd.SysProcAttr = attributes()
	if err := c.spawn(); err != nil {
		return err
	}
	go func() { c.words <- lastWords(c.stderr) }()
	return nil
}

// spawn starts and reaps the process on one thread: the kernel's signal for a dead parent
// goes out when the thread ends that started it.
func (c *child) spawn() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		defer close(c.exited)
		awaitExit(c.cmd.Process.Pid)
		killGroup(c.cmd.Process.Pid)
		c.waitErr = c.cmd.Wait()
	}()
	return <-started
}

// lastWords reads to the end and gives the lines by which a program says why it ends, and
// the last ones of the others: the runtime tells of each goroutine behind the reason.
func lastWords(r io.Reader) string {
	var reasons, others []byte
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadSlice('\n')
		if bytes.HasPrefix(line, []byte("fatal error: ")) || bytes.HasPrefix(line, []byte("runtime: ")) {
			reasons = append(reasons, line[:min(len(line), wordsKept-len(reasons))]...)
		} else {
			others = append(others, line...)
			others = others[max(0, len(others)-wordsKept):]
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return strings.ToValidUTF8(string(bytes.TrimSpace(append(reasons, others...))), "\uFFFD")
		}
	}
}

// ask has a file parsed. Errors: *document.Error; the cause of ctx when that ended; errGone
// when the parser was no more before it got the file.
func (c *child) ask(ctx context.Context, path string, data []byte, l document.Limits) (document.Document, error) {
	raw, err := json.Marshal(request{Path: path, Size: int64(len(data)), Limits: l})
	if err != nil || len(raw) > maxRequest {
		return document.Document{}, &document.Error{Code: document.Unreadable, Message: "has a name that is too long."}
	}
	if err := c.fill(data); err != nil {
		c.broken = true
		return document.Document{}, &document.Error{Code: document.ParserDied, Message: "could not be handed to its parser: " + err.Error() + "."}
	}
	if err := writeFrame(c.requests, raw); err != nil {
		c.broken = true
		return document.Document{}, errGone
	}
	answer, err := c.receive(ctx, l.Timeout+lateness, maxAnswer(l))
	if err != nil {
		c.broken = true
		return document.Document{}, c.explain(ctx, err, l.Timeout)
	}
	_ = c.input.Truncate(0) // what was in it is not kept until the next one
	return c.understand(answer)
}

// fill writes a document where the parser reads it.
func (c *child) fill(data []byte) error {
	if err := c.input.Truncate(0); err != nil {
		return err
	}
	_, err := c.input.WriteAt(data, 0)
	return err
}

func (c *child) understand(answer []byte) (document.Document, error) {
	var e document.Error
	switch {
	case answer[0] == answerDocument:
		d, err := decode(answer[1:])
		if err == nil {
			return d, nil
		}
	case answer[0] == answerError && json.Unmarshal(answer[1:], &e) == nil && e.Code != "":
		return document.Document{}, &e
	}
	c.broken = true
	return document.Document{}, &document.Error{Code: document.ParserDied, Message: "could not be read: its parser gave an answer that makes no sense."}
}

// receive reads an answer of one byte at least, for so long.
func (c *child) receive(ctx context.Context, patience time.Duration, most int64) ([]byte, error) {
	if err := c.answers.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	// Whoever does not want the answer any more ends the wait, and with it the parser.
	stop := context.AfterFunc(ctx, func() { _ = c.answers.SetReadDeadline(time.Unix(1, 0)) })
	answer, err := readFrame(c.answers, most)
	if !stop() && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err == nil && len(answer) == 0 {
		err = errWire
	}
	return answer, err
}

// explain ends a parser that gave no answer and says why it did not.
func (c *child) explain(ctx context.Context, err error, timeout time.Duration) error {
	c.end()
	words := <-c.words
	c.words <- words
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return document.SlowError(timeout)
	case errors.Is(err, errWire):
		return &document.Error{Code: document.TooLarge, Message: "has more text than is read of a document."}
	}
	return obituary(c.cmd.ProcessState, words)
}

// obituary says what a document did to its parser, by how that ended.
func obituary(state *os.ProcessState, words string) *document.Error {
	status, _ := state.Sys().(syscall.WaitStatus)
	lower := strings.ToLower(words)
	switch {
	case status.ExitStatus() == ExitMemory, strings.Contains(lower, "out of memory"), strings.Contains(lower, "cannot allocate memory"),
		strings.Contains(lower, "cannot map pages"), strings.Contains(lower, "failed to allocate"), strings.Contains(lower, "failed to create new os thread"):
		return &document.Error{Code: document.TooLargeInMemory, Message: "takes more memory to read than a parser has."}
	case strings.Contains(lower, "stack exceeds"), strings.Contains(lower, "stack overflow"):
		return &document.Error{Code: document.ParserDied, Message: "ended its parser: what is in it lies too deep in each other."}
	case status.Signaled():
		return &document.Error{
			Code:    document.ParserDied,
			Message: fmt.Sprintf("lost its parser, which was ended from outside (%s), as systems do that run out of memory.", status.Signal()),
		}
	}
	reason, _, _ := strings.Cut(words, "\n")
	if reason != "" {
		reason = ": " + reason[:min(len(reason), 200)]
	}
	return &document.Error{Code: document.ParserDied, Message: "ended its parser (" + state.String() + strings.ToValidUTF8(reason, "") + ")."}
}

// end ends the parser and what it started. It may be called again.
func (c *child) end() {
	_ = c.cmd.Process.Kill()
	<-c.exited
	words := <-c.words
	c.words <- words
	c.closePipes()
}

func (c *child) closePipes() {
	for _, f := range []*os.File{c.input, c.requests, c.answers, c.stderr} {
		_ = f.Close()
	}
}
