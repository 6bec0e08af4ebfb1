package bus

import (
	"context"
	"encoding/json"
	"time"
)

// maxBatch bounds how many hints go out at once.
const maxBatch = 512

// send sends what is queued, in batches that grow with the load, and a canary
// from time to time. What cannot be sent is dropped.
func (r *relay) send(ctx context.Context) {
	defer r.link.drop()
	backoff := r.o.Backoff
	ticker := time.NewTicker(r.o.CanaryEvery)
	defer ticker.Stop()
	for {
		var payloads []string
		n := 0
		select {
		case <-ctx.Done():
			r.last(ctx)
			return
		case <-ticker.C:
			payloads = []string{r.marker()}
		case <-r.poke:
			payloads = []string{r.marker()}
		case <-r.outbox.ready:
			payloads, n = r.batch(ctx)
		}
		if err := r.transmit(ctx, payloads); err != nil {
			r.dropped.Add(int64(n))
			if ctx.Err() != nil {
				return
			}
			r.o.Logger.WarnContext(ctx, "hints could not be sent", "bus", r.name, "error", err, "hints", n)
			if !pause(ctx, backoff) {
				return
			}
			backoff = longer(backoff)
			continue
		}
		backoff = r.o.Backoff
	}
}

// last sends what was committed just before the end, without waiting for long.
func (r *relay) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for !r.outbox.empty() {
		payloads, n := r.batch(ctx)
		if err := r.transmit(ctx, payloads); err != nil {
			r.dropped.Add(int64(n))
			return
		}
	}
}

func (r *relay) transmit(ctx context.Context, payloads []string) (err error) {
	if len(payloads) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.SendTimeout)
	defer cancel()
	if err = r.link.send(ctx, payloads); err != nil {
		r.link.drop()
	}
	r.mu.Lock()
	r.sendErr = err
	r.mu.Unlock()
	return err
}

func (r *relay) marker() string {
	raw, err := json.Marshal(message[wireHint]{Origin: r.origin, Canary: r.canary.next(r.o.Now())})
	if err != nil {
		return "" // a string and a number always encode
	}
	return string(raw)
}

// batch takes what is queued and packs it; n is how much of it can be sent.
func (r *relay) batch(ctx context.Context) (payloads []string, n int) {
	taken := r.outbox.take(maxBatch)
	items := make([]item, 0, len(taken))
	for _, o := range taken {
		if i, ok := r.encode(ctx, o); ok {
			items = append(items, i)
		}
	}
	payloads, err := pack(r.origin, items, r.limits.message)
	if err != nil {
		r.o.Logger.ErrorContext(ctx, "hints could not be packed", "error", err)
	}
	return payloads, len(items)
}

func (r *relay) encode(ctx context.Context, o outgoing) (item, bool) {
	var i item
	var err error
	if o.hint.Stream != "" {
		i.hint, err = encodeHint(o.hint, r.limits.hint)
	} else {
		i.signal, err = encodeSignal(o.signal.Topic, o.signal.Key, r.limits.hint)
	}
	if err != nil || (i.hint == nil && i.signal == nil) {
		r.dropped.Add(1)
		r.o.Logger.WarnContext(ctx, "hint could not be encoded", "error", err, "stream", o.hint.Stream, "topic", o.signal.Topic)
		return i, false
	}
	return i, true
}
