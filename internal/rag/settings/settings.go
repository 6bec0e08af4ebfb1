// Package settings keeps what people decide for retrieval as a whole: the models, and
// the limits of indexing and of searches. It must not know sources, indexes or HTTP.
//
// A model that is deleted later stays named here: whoever uses it finds that it is
// missing and says so. Only naming a missing one anew is refused.
package settings

import (
	"context"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/setting"
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

func document() setting.Document[setting.Values[Settings], *setting.Values[Settings]] {
	return setting.Document[setting.Values[Settings], *setting.Values[Settings]]{
		Section: Section, Key: "values", Defaults: func() setting.Values[Settings] { return setting.Values[Settings]{Values: Defaults()} },
	}
}

// Load gives the settings in force and their revision, which changes with them.
func Load(ctx context.Context, q postgres.Querier) (Settings, int64, error) {
	d, err := document().Load(ctx, q)
	return d.Values, d.Revision.Revision, err
}

// Save stores changed settings; revision is what the caller saw, 0 for whatever is
// there. Errors: invalid, precondition.
func Save(ctx context.Context, tx *postgres.Tx, revision int64, change func(*Settings)) (Settings, int64, error) {
	d, err := document().Change(ctx, tx, revision, func(d *setting.Values[Settings]) error {
		old := d.Values
		change(&d.Values)
		return check(ctx, tx, old, d.Values)
	})
	return d.Values, d.Revision.Revision, err
}
