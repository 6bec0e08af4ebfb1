package chat

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
)

// WorkerOptions are what a worker process is.
type WorkerOptions struct {
	ID       uuid.UUID
	Fresh    func() bool // whether this worker may start side effects
	Answerer Answerer
	Retrieve Retriever // nil: there are no sources
	Recorder *Recorder
	// Worked is told of each attempt that this worker ended: how long it had waited since
	// it was due, how long it took, and whether it failed; nil: nobody counts.
	Worked func(waited, took time.Duration, failed bool)
	Logger *slog.Logger
}

// Worker works turns, one in each call of Work.
type Worker struct {
	s *Service
	o WorkerOptions

	mu      sync.Mutex
	held    map[int64]context.CancelCauseFunc
	leaving bool
	idle    chan struct{} // closed when nothing is held any more; set by Drain
}

// NewWorker makes a worker.
func NewWorker(s *Service, o WorkerOptions) *Worker {
	if o.Retrieve == nil {
		o.Retrieve = noRetriever{}
	}
	return &Worker{s: s, o: o, held: map[int64]context.CancelCauseFunc{}}
}

// Work takes a turn up, if there is something to do, and brings it to its end.
func (w *Worker) Work(ctx context.Context, id int64) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !w.enter(id, cancel) {
		return
	}
	defer w.leave(id)
	if !w.o.Fresh() {
		return // the sweep brings the turn back
	}
	turn, err := w.s.claim(ctx, id, w.o.ID)
	if errors.Is(err, errNoClaim) {
		return
	}
	if err != nil {
		if ctx.Err() == nil {
			w.o.Logger.WarnContext(ctx, "turn not claimed", "turn_id", id, "error", err)
		}
		return
	}
	log := w.o.Logger.With("thread_id", turn.ThreadID, "turn_id", id, "attempt", turn.Attempt)
	a := &attempt{w: w, turn: turn, log: log}
	began := w.s.o.Now()
	if status := a.work(ctx, cancel); status != "" && w.o.Worked != nil {
		w.o.Worked(max(began.Sub(turn.RunAfter), 0), w.s.o.Now().Sub(began), status == attemptFailed)
	}
}

func (w *Worker) enter(id int64, cancel context.CancelCauseFunc) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.leaving || w.held[id] != nil {
		return false
	}
	w.held[id] = cancel
	return true
}

func (w *Worker) leave(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.held, id)
	if len(w.held) == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// Cancel stops the attempt of a turn if this process holds it.
func (w *Worker) Cancel(id int64) {
	w.mu.Lock()
	cancel := w.held[id]
	w.mu.Unlock()
	if cancel != nil {
		cancel(errCancel)
	}
}

// Drain takes no more turns and waits for those that run; when ctx ends, they are
// given to other workers, which begin them anew.
func (w *Worker) Drain(ctx context.Context) {
	w.mu.Lock()
	w.leaving = true
	idle := make(chan struct{})
	if len(w.held) == 0 {
		close(idle)
	} else {
		w.idle = idle
	}
	w.mu.Unlock()
	select {
	case <-idle:
		return
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cancel := range w.held {
		cancel(errHandOver)
	}
}
