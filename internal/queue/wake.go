package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/riverqueue/river/riverdriver"
)

// A producer fetches again by itself only when it got all that it had asked for. It
// does not know that it got less because it was granted fewer slots, and would wait
// for its next poll. wakeable is River's listener, which also brings such a producer
// the news that there may be more.
type wakeable struct {
	riverdriver.Listener

	mu        sync.Mutex
	pending   []string // River's names of queues to fetch from
	interrupt context.CancelFunc
}

// wake has the producer of a queue fetch as soon as it can.
func (w *wakeable) wake(queue string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Contains(w.pending, queue) {
		return
	}
	w.pending = append(w.pending, queue)
	if w.interrupt != nil {
		w.interrupt()
	}
}

// WaitForNotification implements riverdriver.Listener.
func (w *wakeable) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	if n := w.next(cancel); n != nil {
		return n, nil
	}
	n, err := w.Listener.WaitForNotification(wait)
	if err == nil {
		return n, nil // what is pending comes with the next call
	}
	if ctx.Err() == nil && wait.Err() != nil {
		if n := w.next(nil); n != nil {
			return n, nil
		}
	}
	return nil, err
}

// next takes one pending queue; without one, interrupt ends the wait that follows. One
// that is left from a wait that is over ends nothing.
func (w *wakeable) next(interrupt context.CancelFunc) *riverdriver.Notification {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.interrupt = interrupt
	if len(w.pending) == 0 {
		return nil
	}
	queue := w.pending[0]
	w.pending, w.interrupt = w.pending[1:], nil
	return &riverdriver.Notification{Topic: insertTopic, Payload: fmt.Sprintf(`{"queue": %q}`, queue)}
}
