package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/realtime"
)

// accessWatch ends the sockets of those who have lost their access. It looks as soon
// as a process says that somebody has lost a right, and every two seconds, since what
// is said may be lost: one query for all credentials that are in use here. While the
// database does not answer the sockets stay, as everything else does.
type accessWatch struct {
	side *realtimeSide
	log  *slog.Logger
	poke chan struct{}
}

const (
	accessEvery   = 2 * time.Second
	accessTimeout = 2 * time.Second
)

func newAccessWatch(side *realtimeSide, log *slog.Logger) *accessWatch {
	return &accessWatch{side: side, log: log, poke: make(chan struct{}, 1)}
}

// recheckAccess has this process look at the access of its sockets now.
func (s *studio) recheckAccess() {
	if s.realtime == nil {
		return
	}
	select {
	case s.realtime.access.poke <- struct{}{}:
	default: // a look is due already
	}
}

// Name names the service.
func (*accessWatch) Name() string { return "access to realtime" }

// Run looks until ctx ends.
func (w *accessWatch) Run(ctx context.Context, ready func()) error {
	ready()
	timer := time.NewTimer(accessEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.poke:
		case <-timer.C:
		}
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			w.log.WarnContext(ctx, "the access of connected clients cannot be checked", "error", err)
		}
		timer.Reset(accessEvery)
	}
}

func (w *accessWatch) look(ctx context.Context) error {
	held := w.side.byCredential()
	if len(held) == 0 {
		return nil
	}
	asked := make([]auth.Credential, 0, len(held))
	for c := range held {
		asked = append(asked, c)
	}
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	inForce, err := w.side.auth.InForce(ctx, asked)
	if err != nil {
		return err
	}
	for c, sockets := range held {
		p, ok := inForce[c]
		if !ok || !p.May(auth.Read) {
			w.log.InfoContext(ctx, "access has ended", "via", c.Via, "credential", c.ID, "connections", len(sockets))
			w.side.hub.End(sessionsOf(sockets), realtime.ReasonRevoked)
			continue
		}
		if changed := w.side.renew(sockets, p); len(changed) > 0 {
			w.side.hub.Reassess(sessionsOf(changed), p) //nolint:contextcheck // what the hub starts ends with its Run
		}
	}
	return nil
}

// byCredential groups the sockets by what they came with.
func (r *realtimeSide) byCredential() map[auth.Credential][]*attached {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[auth.Credential][]*attached{}
	for _, a := range r.attached {
		c := a.principal.Credential()
		out[c] = append(out[c], a)
	}
	return out
}

// renew notes who the sockets belong to by now, and gives those for which that is new.
func (r *realtimeSide) renew(sockets []*attached, p auth.Principal) []*attached {
	r.mu.Lock()
	defer r.mu.Unlock()
	var changed []*attached
	for _, a := range sockets {
		if a.principal != p {
			a.principal = p
			changed = append(changed, a)
		}
	}
	return changed
}

func sessionsOf(sockets []*attached) []*realtime.Session {
	out := make([]*realtime.Session, len(sockets))
	for i, a := range sockets {
		out[i] = a.session
	}
	return out
}
