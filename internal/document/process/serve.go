package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"

	"github.com/llmctl/studio/internal/document"
)

// ExitMemory is the exit code of a parser that ended itself because a document took more
// memory than it has.
const ExitMemory = 71

// ErrMemory is that a document takes more memory than this process has.
var ErrMemory = errors.New("the document takes more memory than a parser has")

// Bounds of a parser beside its memory.
const (
	// maxStack: Go ends a process whose stack is larger, for good.
	maxStack = 64 << 20
	// watchEvery is how often memory is looked at, for kernels that do not.
	watchEvery = 20 * time.Millisecond
)

// Serve is the body of the command that parses: it answers requests from r until that ends,
// one after the other. It changes attributes of the whole process, so it belongs into a
// process of its own, whose end it is when it returns: what it was doing goes on. Errors:
// ErrMemory; else the other side is not what it should be.
func Serve(r io.Reader, memory int64) error { return serve(r, memory, boundMemory) }

// serve is Serve with what bounds memory.
func serve(r io.Reader, memory int64, bound func(int64) bool) error {
	for _, fd := range []int{inputFD, answerFD} {
		syscall.CloseOnExec(fd)
	}
	input, answers := os.NewFile(inputFD, "input"), os.NewFile(answerFD, "answers")
	debug.SetMaxStack(maxStack)
	debug.SetMemoryLimit(memory - memory/8) // collects more often before the end comes
	over := watch(memory)
	said, _ := json.Marshal(ready{Kernel: bound(memory)}) //nolint:errchkjson // a boolean
	if err := writeFrame(answers, []byte{answerReady}, said); err != nil {
		return fmt.Errorf("write to the parent: %w", err)
	}
	s := &server{input: input, answers: answers}
	requests, ended := make(chan request), make(chan error, 1)
	go func() { ended <- readRequests(r, requests) }()
	done := make(chan error, 1)
	for {
		select {
		case err := <-ended: // in the middle of a document as well
			return err
		case <-over:
			return ErrMemory
		case err := <-done:
			if err != nil {
				return err
			}
		case req := <-requests:
			go func() { done <- s.answer(req) }()
		}
	}
}

// readRequests reads until the other side is gone.
func readRequests(r io.Reader, to chan<- request) error {
	for {
		frame, err := readFrame(r, maxRequest)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		var req request
		if err := json.Unmarshal(frame, &req); err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		to <- req
	}
}

type server struct{ input, answers *os.File }

func (s *server) answer(req request) error {
	data, release, err := mapped(s.input, req.Size)
	if err != nil {
		return err
	}
	defer release()
	limits := req.Limits.WithDefaults()
	ctx, cancel := context.WithTimeout(context.Background(), limits.Timeout)
	defer cancel()
	kind, body := byte(answerDocument), []byte(nil)
	d, err := document.ParseHere(ctx, req.Path, data, limits)
	if err == nil {
		body = encode(&d)
	}
	if int64(len(body)) >= maxAnswer(limits) {
		err = &document.Error{Code: document.TooLarge, Message: "has far more headings than text."}
	}
	if e, ok := errors.AsType[*document.Error](err); ok {
		kind, body = answerError, encodeError(e)
	} else if err != nil {
		return err
	}
	return writeFrame(s.answers, []byte{kind}, body)
}

// watch tells when the runtime has more memory than it may, for kernels that do not hold
// the bound. What grows faster than it looks is what the kernel is for.
func watch(memory int64) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for range ticker.C {
			metrics.Read(samples)
			if used := samples[0].Value.Uint64() - samples[1].Value.Uint64(); used > uint64(memory) {
				close(over)
				return
			}
		}
	}()
	return over
}
