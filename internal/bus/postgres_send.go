package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// sender owns the connection that NOTIFY goes through.
type sender struct {
	p       *Postgres
	conn    *pgx.Conn
	backoff time.Duration
}

// send sends what is queued, in batches that grow with the load, and a canary
// from time to time. What cannot be sent is dropped.
func (p *Postgres) send(ctx context.Context) {
	s := &sender{p: p, backoff: p.o.Backoff}
	defer s.close()
	ticker := time.NewTicker(p.o.CanaryEvery)
	defer ticker.Stop()
	for {
		var payloads []string
		n := 0
		select {
		case <-ctx.Done():
			s.last(ctx)
			return
		case <-ticker.C:
			payloads = []string{p.marker()}
		case <-p.poke:
			payloads = []string{p.marker()}
		case first := <-p.queue:
			payloads, n = p.batch(ctx, first)
		}
		if err := s.notify(ctx, payloads); err != nil {
			p.dropped.Add(int64(n))
			if ctx.Err() != nil {
				return
			}
			p.o.Logger.WarnContext(ctx, "hints could not be sent", "error", err, "hints", n)
			if !pause(ctx, s.backoff) {
				return
			}
			s.backoff = longer(s.backoff)
		}
	}
}

// last sends what was committed just before the end, without waiting for long.
func (s *sender) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for {
		select {
		case first := <-s.p.queue:
			payloads, n := s.p.batch(ctx, first)
			if err := s.notify(ctx, payloads); err != nil {
				s.p.dropped.Add(int64(n))
				return
			}
		default:
			return
		}
	}
}

func (p *Postgres) marker() string {
	raw, err := json.Marshal(message{Origin: p.origin, Canary: p.canary.next(p.o.Now())})
	if err != nil {
		return "" // a string and a number always encode
	}
	return string(raw)
}

// batch takes what else is queued and packs it.
func (p *Postgres) batch(ctx context.Context, first outgoing) (payloads []string, n int) {
	taken := []outgoing{first}
	for more := true; more && len(taken) < maxBatch; {
		select {
		case next := <-p.queue:
			taken = append(taken, next)
		default:
			more = false
		}
	}
	items := make([]item, 0, len(taken))
	for _, o := range taken {
		if i, ok := p.encode(ctx, o); ok {
			items = append(items, i)
		}
	}
	payloads, err := pack(p.origin, items, maxPayload)
	if err != nil {
		p.o.Logger.ErrorContext(ctx, "hints could not be packed", "error", err)
	}
	return payloads, len(items)
}

func (p *Postgres) encode(ctx context.Context, o outgoing) (item, bool) {
	var i item
	var err error
	if o.hint.Stream != "" {
		i.hint, err = encodeHint(o.hint, maxPayload-overhead)
	} else {
		i.signal, err = encodeSignal(o.signal.Topic, o.signal.Key, maxPayload-overhead)
	}
	if err != nil || (i.hint == nil && i.signal == nil) {
		p.dropped.Add(1)
		p.o.Logger.WarnContext(ctx, "hint could not be encoded", "error", err, "stream", o.hint.Stream, "topic", o.signal.Topic)
		return i, false
	}
	return i, true
}

func (s *sender) notify(ctx context.Context, payloads []string) (err error) {
	defer func() {
		s.p.mu.Lock()
		s.p.sendErr = err
		s.p.mu.Unlock()
	}()
	if len(payloads) == 0 {
		return nil
	}
	if s.conn == nil {
		if s.conn, err = s.p.connect(ctx); err != nil {
			s.conn = nil
			return fmt.Errorf("connect to notify: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.p.o.SendTimeout)
	defer cancel()
	_, err = s.conn.Exec(ctx, `SELECT pg_notify($1, payload) FROM unnest($2::text[]) WITH ORDINALITY AS t (payload, ord) ORDER BY ord`,
		s.p.o.Channel, payloads)
	if err != nil {
		s.close()
		return fmt.Errorf("notify: %w", err)
	}
	s.backoff = s.p.o.Backoff
	return nil
}

func (s *sender) close() {
	if s.conn != nil {
		hangUp(s.conn)
		s.conn = nil
	}
}
