// Package settings keeps what people decide for retrieval as a whole: the models, and
// the limits of indexing and of searches. It must not know sources, indexes or HTTP.
//
// A model that is deleted later stays named here: whoever uses it finds that it is
// missing and says so. Only naming a missing one anew is refused.
package settings

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Section is the settings section of retrieval.
const Section = "rag"

// Settings are what people decide.
type Settings struct {
	EmbeddingModelID    *int64 `json:"embedding_model_id" doc:"A model of a provider with embeddings; null: searches are lexical only"`
	EmbeddingDimensions *int   `json:"embedding_dimensions" doc:"Of the vectors, 1 to 16384, where the model lets one choose; null: the model's own"`
	RerankModelID       *int64 `json:"rerank_model_id" doc:"Orders the best passages once more; null: none does"`
	SynthesisModelID    *int64 `json:"synthesis_model_id" doc:"Writes answers from passages; null: that of the thread or node that asks"`

	TopK      int  `json:"top_k" doc:"Passages that a search gives unless it says so itself, 1 to 50"`
	AuditDays *int `json:"audit_days" doc:"For which it is kept who looked for what, 1 to 36500; null: for ever"`

	MaxFileBytes       int64 `json:"max_file_bytes" doc:"Larger files are left out, 1024 to 268435456"`
	PDFMaxFileBytes    int64 `json:"pdf_max_file_bytes" doc:"The same for PDFs, 1024 to 1073741824"`
	ChunkTargetTokens  int   `json:"chunk_target_tokens" doc:"That a passage has if the text lets it, 50 to 4000"`
	ChunkMaxTokens     int   `json:"chunk_max_tokens" doc:"That a passage has at most, up to 8000 and not below the target"`
	IndexParallelFiles int   `json:"index_parallel_files" doc:"Of one index run, 1 to 32"`

	EmbedMaxItems         int `json:"embed_max_items" doc:"Texts of one request to the embedding model, 1 to 2048"`
	EmbedMaxRequestTokens int `json:"embed_max_request_tokens" doc:"Of all texts of a request, 256 to 10000000"`
	EmbedMaxInputTokens   int `json:"embed_max_input_tokens" doc:"Of a text, 64 to 1000000 and not above those of a request; more is cut off"`
	EmbedParallel         int `json:"embed_parallel" doc:"Requests at a time in each process, 1 to 64"`
}

// Defaults are the settings of a fresh installation.
func Defaults() Settings {
	return Settings{
		TopK: 5, AuditDays: new(90), MaxFileBytes: 1 << 20, PDFMaxFileBytes: 64 << 20, ChunkTargetTokens: 400, ChunkMaxTokens: 800, IndexParallelFiles: 4,
		EmbedMaxItems: 100, EmbedMaxRequestTokens: 285_000, EmbedMaxInputTokens: 8191, EmbedParallel: 4,
	}
}

// Load gives the settings in force and their revision, which changes with them.
func Load(ctx context.Context, q postgres.Querier) (Settings, int64, error) {
	s := Defaults()
	var raw []byte
	err := q.QueryRow(ctx, `SELECT value FROM setting WHERE section = $1 AND key = 'values'`, Section).Scan(&raw)
	if postgres.NotFound(err) {
		return s, 1, nil
	}
	if err != nil {
		return s, 0, fmt.Errorf("load retrieval settings: %w", err)
	}
	stored := struct {
		Revision int64     `json:"revision"`
		Values   *Settings `json:"values"`
	}{Values: &s}
	if err := json.Unmarshal(raw, &stored); err != nil {
		return s, 0, fmt.Errorf("read retrieval settings: %w", err)
	}
	return s, max(stored.Revision, 1), nil
}

// Save stores changed settings; revision is what the caller saw, 0 for whatever is
// there. Errors: invalid, precondition.
func Save(ctx context.Context, tx *postgres.Tx, revision int64, change func(*Settings)) (Settings, int64, error) {
	// The row is made before it is locked, so that two first writers meet.
	_, err := tx.Exec(ctx, `INSERT INTO setting (section, key, value) VALUES ($1, 'values', '{}') ON CONFLICT DO NOTHING`, Section)
	if err == nil {
		_, err = tx.Exec(ctx, `SELECT FROM setting WHERE section = $1 AND key = 'values' FOR UPDATE`, Section)
	}
	if err != nil {
		return Settings{}, 0, fmt.Errorf("lock retrieval settings: %w", err)
	}
	old, now, err := Load(ctx, tx)
	if err != nil {
		return old, 0, err
	}
	if revision != 0 && revision != now {
		return old, 0, errs.E(errs.Precondition, "setting.stale", "Somebody saved these settings in the meantime. Load them again, then repeat your change.")
	}
	next := old
	change(&next)
	if err := check(ctx, tx, old, next); err != nil {
		return old, 0, err
	}
	now++
	raw, err := json.Marshal(map[string]any{"revision": now, "values": next})
	if err != nil {
		return old, 0, fmt.Errorf("encode retrieval settings: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE setting SET value = $2, updated_at = now() WHERE section = $1 AND key = 'values'`, Section, raw); err != nil {
		return old, 0, fmt.Errorf("store retrieval settings: %w", err)
	}
	return next, now, nil
}
