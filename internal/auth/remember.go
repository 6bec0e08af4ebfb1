package auth

import (
	"sync"
	"time"

	"github.com/llmctl/studio/internal/postgres"
)

const (
	// rememberFor is how long an answer of the database about a credential is good: a
	// client that asks a thousand times a second is looked up once, and what another
	// process has revoked without being heard ends a second later.
	rememberFor   = time.Second
	maxRemembered = 10_000
)

// memory keeps who the credentials of the last second belong to.
type memory struct {
	mu    sync.RWMutex
	known map[credential]remembered
}

// credential is the hash of a token or key.
type credential [32]byte

type remembered struct {
	principal Principal
	until     time.Time
}

func newMemory() *memory { return &memory{known: map[credential]remembered{}} }

func (m *memory) recall(hash []byte, now time.Time) (Principal, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	r, ok := m.known[credential(hash)]
	return r.principal, ok && now.Before(r.until)
}

// remember keeps an answer to a question that was put at asked.
func (m *memory) remember(hash []byte, p Principal, asked time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) >= maxRemembered {
		clear(m.known)
	}
	m.known[credential(hash)] = remembered{principal: p, until: asked.Add(rememberFor)}
}

func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.known)
}

// OnRevocation has f called when this process has taken a right away from somebody:
// a key, a session, a role. It is called after the commit, before serving only.
func (s *Service) OnRevocation(f func()) { s.revoked = f }

// Forget makes the next request of everybody be looked up. Other processes call it
// when they hear of a revocation.
func (s *Service) Forget() { s.memory.forget() }

// revokes has everybody looked up anew once tx has committed.
func (s *Service) revokes(tx *postgres.Tx) {
	tx.AfterCommit(func() {
		s.memory.forget()
		if s.revoked != nil {
			s.revoked()
		}
	})
}
