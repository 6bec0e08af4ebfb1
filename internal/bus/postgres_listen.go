package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// listen subscribes again and again until ctx ends.
func (p *Postgres) listen(ctx context.Context, ready func()) {
	backoff := p.o.Backoff
	for first := true; ctx.Err() == nil; {
		conn, err := p.subscribeOnce(ctx)
		if err == nil {
			backoff = p.o.Backoff
			if first {
				first = false
				ready()
			} else {
				p.reconnects.Add(1)
				p.out.hint(Hint{}) // who knows what was missed
			}
			err = p.receive(ctx, conn)
			hangUp(conn)
		}
		p.mu.Lock()
		p.listening, p.listenErr = false, err
		p.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		p.o.Logger.WarnContext(ctx, "bus subscription lost, subscribing again", "error", err, "pause", backoff)
		if !pause(ctx, backoff) {
			return
		}
		backoff = longer(backoff)
	}
}

func (p *Postgres) subscribeOnce(ctx context.Context) (*pgx.Conn, error) {
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to listen: %w", err)
	}
	short, cancel := context.WithTimeout(ctx, p.o.SendTimeout)
	defer cancel()
	if _, err := conn.Exec(short, "LISTEN "+pgx.Identifier{p.o.Channel}.Sanitize()); err != nil {
		hangUp(conn)
		return nil, fmt.Errorf("listen: %w", err)
	}
	return conn, nil
}

// receive hands on what arrives until the connection breaks or watch hangs up.
func (p *Postgres) receive(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.canary.forget()
	p.mu.Lock()
	p.listening, p.listenErr, p.hangUp = true, nil, cancel
	p.mu.Unlock()
	select {
	case p.poke <- struct{}{}:
	default:
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("wait for hints: %w", err)
		}
		p.handle(n.Payload)
	}
}

func (p *Postgres) handle(payload string) {
	m, err := decode(payload)
	if err != nil {
		p.undecodable.Add(1)
		return
	}
	if m.Origin == p.origin {
		if m.Canary > 0 {
			p.canary.hear(m.Canary, p.o.Now())
			p.mu.Lock()
			p.suspect = false
			p.mu.Unlock()
		}
		return // our own subscribers have had the rest
	}
	hints := make([]Hint, len(m.Hints))
	for i, h := range m.Hints {
		hints[i] = h.hint()
	}
	p.received.Add(int64(len(hints)))
	p.out.hint(hints...)
	for _, s := range m.Signals {
		p.out.signal(s.Topic, s.Key)
	}
}

// watch ends a subscription that has gone deaf.
func (p *Postgres) watch(ctx context.Context) {
	ticker := time.NewTicker(max(p.o.CanaryPatience/2, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !p.canary.missing(p.o.Now(), p.o.CanaryPatience) {
			continue
		}
		p.mu.Lock()
		p.suspect = true
		cancel := p.hangUp
		p.hangUp = nil
		p.mu.Unlock()
		if cancel != nil {
			p.o.Logger.WarnContext(ctx, "bus has gone deaf, subscribing again", "patience", p.o.CanaryPatience)
			cancel()
		}
	}
}
