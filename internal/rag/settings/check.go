package settings

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/registry"
	"github.com/llmctl/studio/internal/postgres"
)

// faults gathers what is wrong, so that all of it is said at once.
type faults []errs.Detail

func (f *faults) add(where, format string, args ...any) {
	*f = append(*f, errs.Detail{Location: "body." + where, Message: fmt.Sprintf(format, args...)})
}

func check(ctx context.Context, q postgres.Querier, old, next Settings) error {
	var f faults
	f.ranges(next)
	if err := f.models(ctx, q, old, next); err != nil {
		return err
	}
	if len(f) > 0 {
		return errs.E(errs.Invalid, "setting.invalid", "The settings cannot be used.", f...)
	}
	return nil
}

func (f *faults) ranges(s Settings) {
	for _, r := range []struct {
		name         string
		v, low, high int64
	}{
		{"top_k", int64(s.TopK), 1, 50},
		{"max_file_bytes", s.MaxFileBytes, 1 << 10, 256 << 20},
		{"pdf_max_file_bytes", s.PDFMaxFileBytes, 1 << 10, 1 << 30},
		{"chunk_target_tokens", int64(s.ChunkTargetTokens), 50, 4000},
		{"chunk_max_tokens", int64(s.ChunkMaxTokens), 50, 8000},
		{"index_parallel_files", int64(s.IndexParallelFiles), 1, 32},
		{"embed_max_items", int64(s.EmbedMaxItems), 1, 2048},
		{"embed_max_request_tokens", int64(s.EmbedMaxRequestTokens), 256, 10_000_000},
		{"embed_max_input_tokens", int64(s.EmbedMaxInputTokens), 64, 1_000_000},
		{"embed_parallel", int64(s.EmbedParallel), 1, 64},
	} {
		if r.v < r.low || r.v > r.high {
			f.add(r.name, "is %d; accepted are %d to %d", r.v, r.low, r.high)
		}
	}
	if d := s.EmbeddingDimensions; d != nil && (*d < 1 || *d > llm.MaxDimensions) {
		f.add("embedding_dimensions", "is %d; accepted are 1 to %d, or null for the model's own", *d, llm.MaxDimensions)
	}
	if d := s.AuditDays; d != nil && (*d < 1 || *d > 36500) {
		f.add("audit_days", "is %d; accepted are 1 to 36500, or null for ever", *d)
	}
	if s.ChunkMaxTokens < s.ChunkTargetTokens {
		f.add("chunk_max_tokens", "is %d; it must not be below chunk_target_tokens, which is %d", s.ChunkMaxTokens, s.ChunkTargetTokens)
	}
	if s.EmbedMaxInputTokens > s.EmbedMaxRequestTokens {
		f.add("embed_max_input_tokens", "is %d; it must not be above embed_max_request_tokens, which is %d", s.EmbedMaxInputTokens, s.EmbedMaxRequestTokens)
	}
}

// model is what decides what a model is good for.
type model struct{ name, providerName, kind, purpose string }

// models refuses models that are not there or cannot do what they are named for. What
// was named before is not looked at: it may be gone, and that is for its users to say.
func (f *faults) models(ctx context.Context, q postgres.Querier, old, next Settings) error {
	for _, c := range []struct {
		field   string
		was, is *int64
		unfit   func(m model) string // says what is wrong with a model; "": nothing
	}{
		{"embedding_model_id", old.EmbeddingModelID, next.EmbeddingModelID, func(m model) string { return lacking(m, "embeddings", registry.EmbeddingKinds()) }},
		{"rerank_model_id", old.RerankModelID, next.RerankModelID, func(m model) string { return lacking(m, "reranking", registry.RerankingKinds()) }},
		{"synthesis_model_id", old.SynthesisModelID, next.SynthesisModelID, writesNothing},
	} {
		if c.is == nil || c.was != nil && *c.was == *c.is {
			continue
		}
		m, found, err := modelOf(ctx, q, *c.is)
		switch {
		case err != nil:
			return err
		case !found:
			f.add(c.field, "is %d, and there is no such model", *c.is)
		default:
			if why := c.unfit(m); why != "" {
				f.add(c.field, "is %d (%s), %s", *c.is, m.name, why)
			}
		}
	}
	return nil
}

func lacking(m model, what string, kinds []string) string {
	if slices.Contains(kinds, m.kind) {
		return ""
	}
	return fmt.Sprintf("whose provider %s is of the kind %s and offers no %s; accepted are models of providers of the kind %s", m.providerName, m.kind, what, strings.Join(kinds, " or "))
}

func writesNothing(m model) string {
	if m.purpose == "embedding" {
		return "which is an embedding model and writes no answers"
	}
	return ""
}

func modelOf(ctx context.Context, q postgres.Querier, id int64) (m model, found bool, err error) {
	err = q.QueryRow(ctx, `SELECT m.name, p.name, p.kind, coalesce(m.config ->> 'purpose', '') FROM model m JOIN provider p ON p.id = m.provider_id WHERE m.id = $1`, id).
		Scan(&m.name, &m.providerName, &m.kind, &m.purpose)
	if postgres.NotFound(err) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("look for model %d: %w", id, err)
	}
	return m, true, nil
}
