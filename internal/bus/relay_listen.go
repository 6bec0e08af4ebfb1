package bus

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// listen subscribes again and again until ctx ends.
func (r *relay) listen(ctx context.Context, ready func()) {
	backoff := r.o.Backoff
	subscribed, tried := false, false
	for ctx.Err() == nil {
		sub, err := r.subscribe(ctx)
		if err == nil {
			backoff = r.o.Backoff
			if subscribed {
				r.reconnects.Add(1)
			}
			if tried {
				r.out.hint(Hint{}) // who knows what was missed
			}
			r.begin()
			if !tried {
				ready()
			}
			subscribed, tried = true, true
			err = r.receive(ctx, sub)
			sub.hangUp()
		}
		r.mu.Lock()
		r.listening, r.listenErr, r.hangUp = false, err, nil
		r.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		if !tried && !r.patient {
			tried = true
			ready()
		}
		r.o.Logger.WarnContext(ctx, "bus subscription lost, subscribing again", "bus", r.name, "error", err, "pause", backoff)
		if !pause(ctx, backoff) {
			return
		}
		backoff = longer(backoff)
	}
}

func (r *relay) subscribe(ctx context.Context) (subscription, error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.SendTimeout)
	defer cancel()
	return r.link.listen(ctx)
}

// begin notes that the subscription stands, and has it proved.
func (r *relay) begin() {
	r.canary.forget()
	r.mu.Lock()
	r.listening, r.listenErr = true, nil
	r.mu.Unlock()
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// receive hands on what arrives until the connection breaks or watch hangs up.
func (r *relay) receive(ctx context.Context, sub subscription) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	r.hangUp = cancel
	r.mu.Unlock()
	for {
		payload, err := sub.next(ctx)
		if err != nil {
			return fmt.Errorf("wait for hints: %w", err)
		}
		r.handle(payload)
	}
}

func (r *relay) handle(payload string) {
	if strings.HasPrefix(payload, r.signature) || !r.out.wantsHints() {
		r.skim(payload)
		return
	}
	m, err := decode[wireHint](payload)
	if err != nil {
		r.undecodable.Add(1)
		return
	}
	hints := make([]Hint, len(m.Hints))
	for i, h := range m.Hints {
		hints[i] = h.hint()
	}
	r.received.Add(int64(len(hints)))
	r.out.hint(hints...)
	r.signals(m.Signals)
}

// skim handles a message whose hints are of no use here: our own, or one that comes to a
// process in which nobody wants hints, as in a worker. They are most of what travels, so
// they are passed over without being read.
func (r *relay) skim(payload string) {
	m, err := decode[struct{}](payload)
	if err != nil {
		r.undecodable.Add(1)
		return
	}
	if m.Origin != r.origin {
		r.received.Add(int64(len(m.Hints)))
		r.signals(m.Signals)
		return
	}
	if m.Canary > 0 {
		r.canary.hear(m.Canary, r.o.Now())
		r.mu.Lock()
		r.suspect = false
		r.mu.Unlock()
	}
}

func (r *relay) signals(all []wireSignal) {
	for _, s := range all {
		r.out.signal(s.Topic, s.Key)
	}
}

// watch ends a subscription that has gone deaf.
func (r *relay) watch(ctx context.Context) {
	ticker := time.NewTicker(max(r.o.CanaryPatience/2, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !r.canary.missing(r.o.Now(), r.o.CanaryPatience) {
			continue
		}
		r.mu.Lock()
		r.suspect = true
		cancel := r.hangUp
		r.hangUp = nil
		r.mu.Unlock()
		if cancel != nil {
			r.o.Logger.WarnContext(ctx, "bus has gone deaf, subscribing again", "bus", r.name, "patience", r.o.CanaryPatience)
			cancel()
		}
	}
}
