package socketio

import "sync"

// keptWorkers is how many goroutines a server keeps for the next piece of work.
const keptWorkers = 16

// workers run functions on goroutines that have grown their stacks already; to grow one costs more than most of the
// functions do.
type workers struct {
	group *sync.WaitGroup
	hand  chan func() // taken only by those that wait
	kept  chan struct{}
	quit  chan struct{} // closed when none shall be kept any more
}

func newWorkers(group *sync.WaitGroup) *workers {
	return &workers{group: group, hand: make(chan func()), kept: make(chan struct{}, keptWorkers), quit: make(chan struct{})}
}

// run starts f at once.
func (w *workers) run(f func()) {
	select {
	case w.hand <- f:
	default:
		w.group.Go(func() { w.work(f) })
	}
}

func (w *workers) work(f func()) {
	for f != nil {
		f()
		f = w.next()
	}
}

// next waits for another function; nil: the goroutine is not needed.
func (w *workers) next() func() {
	select {
	case w.kept <- struct{}{}:
		defer func() { <-w.kept }()
	default:
		return nil
	}
	select {
	case f := <-w.hand:
		return f
	case <-w.quit:
		return nil
	}
}
