package retrieve

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/rag/vector"
)

// The states of retrieval.
const (
	Unconfigured = "unconfigured"         // there are no sources
	Unhealthy    = "configured_unhealthy" // the embedding model that is set, or the store, fails
	Healthy      = "configured_healthy"
)

// RetrievalHealth is whether retrieval can be used.
type RetrievalHealth struct {
	Status         string         `json:"status" enum:"unconfigured,configured_unhealthy,configured_healthy"`
	Sources        int            `json:"sources"`
	IndexedSources int            `json:"indexed_sources"`
	Embedder       EmbedderHealth `json:"embedder"`
	Store          StoreHealth    `json:"store"`
	Reasons        []string       `json:"reasons" doc:"Why it is not healthy, and what to do; for people"`
}

// EmbedderHealth is how the embedding model does. None set is no fault: words are
// compared then.
type EmbedderHealth struct {
	Configured bool   `json:"configured"`
	OK         bool   `json:"ok"`
	Model      string `json:"model"`
	Message    string `json:"message"`
}

// StoreHealth is how the place of the vectors does.
type StoreHealth struct {
	OK            bool   `json:"ok"`
	VectorBackend string `json:"vector_backend" enum:"exact,pgvector,none"`
	PGVector      bool   `json:"pgvector"`
	Message       string `json:"message"`
}

const (
	// probeFor is how long what was learned of a model counts.
	probeFor = time.Minute
	// probeWait is how long a model may take to answer a probe.
	probeWait = 5 * time.Second
)

// probe is what was last learned of the embedding model: by a question or by trying.
type probe struct {
	mu    sync.Mutex
	at    time.Time
	model string
	err   error
}

// learned notes how a call went. That the caller went away says nothing of the model.
func (p *probe) learned(at time.Time, model string, err error) {
	if e, ok := errors.AsType[*llm.Error](err); errors.Is(err, context.Canceled) || ok && e.Kind == llm.KindCancelled {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.model, p.err = at, model, err
}

func (p *probe) last(now time.Time, model string) (err error, known bool) { //nolint:revive // the error is the value
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err, p.model == model && !p.at.IsZero() && now.Sub(p.at) < probeFor
}

// Health asks the store, and the embedding model unless it is known how that does.
func (s *Service) Health(ctx context.Context) (RetrievalHealth, error) {
	h := RetrievalHealth{Status: Healthy, Store: StoreHealth{OK: true, VectorBackend: vector.BackendNone}, Reasons: []string{}}
	n, err := s.q.CountSources(ctx, s.o.DB)
	if err != nil {
		return h, fmt.Errorf("count sources: %w", err)
	}
	h.Sources, h.IndexedSources = int(n.Sources), int(n.Indexed)
	s.storeHealth(ctx, &h)
	s.embedderHealth(ctx, &h)
	switch {
	case h.Sources == 0:
		h.Status = Unconfigured
		h.Reasons = append(h.Reasons, "There are no sources. Add one under Sources.")
	case !h.Store.OK || h.Embedder.Configured && !h.Embedder.OK:
		h.Status = Unhealthy
	}
	return h, nil
}

func (s *Service) storeHealth(ctx context.Context, h *RetrievalHealth) {
	store, err := s.q.ReadStore(ctx, s.o.DB)
	if err != nil {
		s.o.Logger.WarnContext(ctx, "the index cannot be read", "error", err)
		h.Store.OK, h.Store.Message = false, "The index cannot be read. The log of the server says why."
		h.Reasons = append(h.Reasons, h.Store.Message)
		return
	}
	h.Store.VectorBackend, h.Store.PGVector = vector.BackendExact, store.Pgvector
	if store.Pgvector {
		h.Store.VectorBackend = vector.BackendPgvector
	}
}

func (s *Service) embedderHealth(ctx context.Context, h *RetrievalHealth) {
	model, ok, err := s.o.Models.Embedder(ctx)
	if err == nil && !ok {
		h.Embedder.Message = "No embedding model is set, so words are compared and nothing else. Choose one under Settings → Retrieval."
		return
	}
	h.Embedder.Configured = true
	if err == nil {
		h.Embedder.Model = model.Model()
		err = s.tried(ctx, model)
	}
	if err == nil {
		h.Embedder.OK = true
		return
	}
	h.Embedder.Message = errs.As(modelFailed("rag.embedder", errs.As(err).Message, err)).Message
	h.Reasons = append(h.Reasons, h.Embedder.Message)
}

// tried gives how the embedding model does; it is asked at most once in a while.
func (s *Service) tried(ctx context.Context, model Embedder) error {
	if err, known := s.probe.last(s.o.Now(), model.Key()); known {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	_, _, err := model.Query(ctx, "Is the model there?")
	s.probe.learned(s.o.Now(), model.Key(), err)
	return err
}

// Admit refuses to start what needs retrieval while that cannot work. Errors:
// unavailable (rag.unconfigured, rag.unhealthy).
func (s *Service) Admit(ctx context.Context) error {
	h, err := s.Health(ctx)
	if err != nil || h.Status == Healthy {
		return err
	}
	if h.Status == Unconfigured {
		return errs.E(errs.Unavailable, "rag.unconfigured", "The flowchart asks sources, and there are none. Add one under Sources first.")
	}
	return errs.Ef(errs.Unavailable, "rag.unhealthy", "The flowchart asks sources, which cannot be asked now: %s", h.Reasons[0])
}
