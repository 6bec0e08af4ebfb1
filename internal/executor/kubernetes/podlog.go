package kubernetes

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/executor"
)

// What is kept of a pod's output: for people, who look at its beginning and at errors.
const (
	maxPodLog   = 1 << 20
	maxLogLine  = 16 << 10
	logBatch    = 32 << 10
	logFlush    = time.Second
	logTimeText = time.RFC3339Nano
)

// podLog follows the output of an attempt's pod until the container has ended and
// everything was read, or until its time after the attempt's end is over.
type podLog struct {
	e    *Executor
	c    *cluster
	ref  Ref
	pod  string
	log  *slog.Logger
	over context.CancelFunc // called by the timer after the attempt's end
	wait time.Duration

	last    time.Time // of the last line that is kept
	sameAt  int       // how many lines have that time
	size    int
	pending strings.Builder
	full    bool
}

// followLog begins to follow the log once the container has begun.
func (a *attempt) followLog(s seen) {
	if a.logs != nil {
		return
	}
	p := s.pod()
	if p == nil {
		return
	}
	c := container(p)
	if c == nil || c.State.Running == nil && c.State.Terminated == nil {
		return
	}
	a.beginLog(p.Name)
}

func (a *attempt) beginLog(pod string) {
	ctx, cancel := context.WithCancel(a.c.life)
	l := &podLog{e: a.e, c: a.c, ref: a.ref, pod: pod, log: a.log, over: cancel, wait: max(a.s.LogTimeout, time.Second)}
	a.logs = l
	a.e.wg.Go(func() {
		defer cancel()
		l.run(ctx)
	})
}

// attemptEnded gives the log its last time.
func (l *podLog) attemptEnded() { time.AfterFunc(l.wait, l.over) }

// run reads, and again from where it was after each break.
func (l *podLog) run(ctx context.Context) {
	if !l.resume(ctx) {
		return
	}
	for p := (pause{}); !l.full; {
		before := l.size
		err := l.read(ctx)
		l.flush(context.WithoutCancel(ctx))
		if l.size > before {
			p = pause{}
		}
		switch {
		case err == nil && l.containerEnded():
			return
		case apierrors.IsForbidden(err):
			l.log.WarnContext(ctx, "the log of a pod cannot be kept", "pod", l.pod, "error", err)
			return
		case apierrors.IsNotFound(err), errors.Is(err, ErrStale): // gone, or another worker follows it
			return
		}
		if !p.wait(ctx, err) {
			return
		}
	}
}

// resume finds out where an earlier holder was.
func (l *podLog) resume(ctx context.Context) bool {
	for p := (pause{}); ; {
		last, size, err := l.e.o.Attempts.PodLogEnd(ctx, l.ref.NodeRunID, l.ref.Attempt)
		if err == nil {
			l.size = size
			l.full = size >= maxPodLog
			if stamp, _, ok := strings.Cut(last, " "); ok {
				if at, err := time.Parse(logTimeText, stamp); err == nil {
					l.last, l.sameAt = at, 1
				}
			}
			return true
		}
		if !p.wait(ctx, nil) {
			return false
		}
	}
}

// containerEnded reports whether nothing more will be written.
func (l *podLog) containerEnded() bool {
	o, ok, err := l.c.pods.GetStore().GetByKey(l.c.namespace + "/" + l.pod)
	p, isPod := o.(*corev1.Pod)
	if err != nil || !ok || !isPod {
		return true
	}
	c := container(p)
	return ended(p) || c != nil && c.State.Terminated != nil
}

// read follows the log until the stream ends. It begins with the second of the last
// line that is kept, the finest that the API knows, and skips what it has.
func (l *podLog) read(ctx context.Context) error {
	options := &corev1.PodLogOptions{Container: containerName, Follow: true, Timestamps: true, LimitBytes: new(int64(2 * maxPodLog))}
	if !l.last.IsZero() {
		since := metav1.NewTime(l.last.Truncate(time.Second))
		options.SinceTime = &since
	}
	stream, err := l.c.client.CoreV1().Pods(l.c.namespace).GetLogs(l.pod, options).Stream(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	lines, stop := l.lines(ctx, stream)
	defer stop()
	flush := time.NewTicker(logFlush)
	defer flush.Stop()
	skip := l.sameAt // lines of the last time that are kept already
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			if l.take(line, &skip); l.full {
				return nil
			}
			if l.pending.Len() < logBatch {
				continue
			}
		case <-flush.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := l.flush(ctx); err != nil {
			return err
		}
	}
}

// lines reads lines, cut to a bounded length.
func (l *podLog) lines(ctx context.Context, from io.Reader) (<-chan string, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	out := make(chan string)
	l.e.wg.Go(func() {
		defer close(out)
		r := bufio.NewReaderSize(from, maxLogLine)
		for {
			line, err := r.ReadSlice('\n')
			text := string(bytes.TrimRight(line, "\n"))
			for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line
				_, err = r.ReadSlice('\n')
			}
			if text != "" {
				select {
				case out <- text:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	return out, cancel
}

// take keeps a line unless it is known from before a break.
func (l *podLog) take(line string, skip *int) {
	stamp, _, _ := strings.Cut(line, " ")
	at, err := time.Parse(logTimeText, stamp)
	switch {
	case err != nil:
		at = l.last // not of the container: what the API server says of a broken stream
	case at.Before(l.last):
		return
	case at.Equal(l.last) && *skip > 0:
		*skip--
		return
	case at.Equal(l.last):
		l.sameAt++
	default:
		l.last, l.sameAt, *skip = at, 1, 0
	}
	line = executor.CleanText(line) + "\n"
	l.size += len(line)
	l.pending.WriteString(line)
	if l.size >= maxPodLog {
		l.full = true
		_, _ = fmt.Fprintf(&l.pending, "%s The log goes on; %d KiB of it are kept.\n", at.Format(logTimeText), maxPodLog>>10)
	}
}

// flush stores what was read. It gives up after some tries: the log is for people, and
// no reason to hold anything up.
func (l *podLog) flush(ctx context.Context) error {
	if l.pending.Len() == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	text := l.pending.String()
	for p := (pause{}); ; {
		err := l.e.o.Attempts.AppendPodLog(ctx, l.ref, text)
		if err == nil {
			l.pending.Reset()
			return nil
		}
		if errors.Is(err, ErrStale) || !p.wait(ctx, nil) {
			l.pending.Reset()
			return err
		}
	}
}
