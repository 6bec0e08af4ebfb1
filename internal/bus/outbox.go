package bus

import "sync"

// outgoing is what waits to be sent: a hint, or a signal.
type outgoing struct {
	hint   Hint
	signal wireSignal
}

// outbox is a bounded queue. What is added together is there together: the hints of one
// transaction leave in one message if they fit, not the first of them alone and the
// others a round trip later.
type outbox struct {
	limit int
	ready chan struct{} // has a token while something waits

	mu    sync.Mutex
	items []outgoing
}

func newOutbox(limit int) *outbox { return &outbox{limit: limit, ready: make(chan struct{}, 1)} }

// add tells how many of all did not fit.
func (o *outbox) add(all ...outgoing) (dropped int) {
	o.mu.Lock()
	n := min(len(all), o.limit-len(o.items))
	o.items = append(o.items, all[:n]...)
	o.mu.Unlock()
	if n > 0 {
		o.signal()
	}
	return len(all) - n
}

// take gives the oldest, most of them at once.
func (o *outbox) take(most int) []outgoing {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(most, len(o.items))
	taken := o.items[:n:n]
	o.items = o.items[n:]
	if len(o.items) == 0 {
		o.items = nil
	} else {
		o.signal()
	}
	return taken
}

func (o *outbox) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items) == 0
}

func (o *outbox) signal() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}
