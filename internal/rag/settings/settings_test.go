package settings_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/settings"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func save(t *testing.T, db *postgres.DB, revision int64, change func(*settings.Settings)) (s settings.Settings, now int64, err error) {
	t.Helper()
	err = db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		s, now, err = settings.Save(ctx, tx, revision, change)
		return err
	})
	return s, now, err
}

// model adds a model of a provider of that kind.
func model(t *testing.T, db *postgres.DB, name, kind, config string) int64 {
	t.Helper()
	var id int64
	require.NoError(t, db.QueryRow(t.Context(), `WITH p AS (INSERT INTO provider (name, kind, base_url) VALUES ($1, $2, '') RETURNING id)
		INSERT INTO model (name, provider_id, model, config) SELECT $1, id, 'm', $3::jsonb FROM p RETURNING id`, name, kind, config).Scan(&id))
	return id
}

func TestSettingsAreKeptWithTheirRevision(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	s, revision, err := settings.Load(t.Context(), db)
	require.NoError(t, err)
	require.Equal(t, settings.Defaults(), s)
	require.Nil(t, s.EmbeddingModelID, "lexical search needs no model")
	changed, now, err := save(t, db, revision, func(s *settings.Settings) { s.TopK, s.AuditDays = 9, nil })
	require.NoError(t, err)
	require.Equal(t, revision+1, now)
	loaded, again, err := settings.Load(t.Context(), db)
	require.NoError(t, err)
	require.Equal(t, changed, loaded)
	require.Equal(t, now, again)
	require.Equal(t, 9, loaded.TopK)
	require.Nil(t, loaded.AuditDays)
	_, _, err = save(t, db, revision, func(s *settings.Settings) { s.TopK = 8 })
	require.Equal(t, errs.Precondition, errs.As(err).Code)
}

func TestEachFaultIsSaidAtItsField(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	for field, change := range map[string]func(*settings.Settings){
		"top_k":                    func(s *settings.Settings) { s.TopK = 51 },
		"max_file_bytes":           func(s *settings.Settings) { s.MaxFileBytes = 0 },
		"pdf_max_file_bytes":       func(s *settings.Settings) { s.PDFMaxFileBytes = 1<<30 + 1 },
		"chunk_target_tokens":      func(s *settings.Settings) { s.ChunkTargetTokens = 49 },
		"chunk_max_tokens":         func(s *settings.Settings) { s.ChunkMaxTokens = s.ChunkTargetTokens - 1 },
		"index_parallel_files":     func(s *settings.Settings) { s.IndexParallelFiles = 0 },
		"embed_max_items":          func(s *settings.Settings) { s.EmbedMaxItems = 2049 },
		"embed_max_request_tokens": func(s *settings.Settings) { s.EmbedMaxRequestTokens = 10_000_001 },
		"embed_max_input_tokens":   func(s *settings.Settings) { s.EmbedMaxInputTokens = s.EmbedMaxRequestTokens + 1 },
		"embed_parallel":           func(s *settings.Settings) { s.EmbedParallel = 65 },
		"embedding_dimensions":     func(s *settings.Settings) { s.EmbeddingDimensions = new(0) },
		"audit_days":               func(s *settings.Settings) { s.AuditDays = new(0) },
	} {
		_, _, err := save(t, db, 0, change)
		e := errs.As(err)
		require.Equal(t, errs.Invalid, e.Code, field)
		require.Len(t, e.Details, 1, field)
		require.Equal(t, "body."+field, e.Details[0].Location)
		require.NotEmpty(t, e.Details[0].Message)
	}
	_, revision, err := settings.Load(t.Context(), db)
	require.NoError(t, err)
	require.EqualValues(t, 1, revision, "nothing was stored")
}

func TestModelsAreRefusedForWhatTheyCannotDo(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	claude, vectors := model(t, db, "claude", "anthropic", `{}`), model(t, db, "vectors", "gemini", `{"purpose":"embedding"}`)
	other := model(t, db, "other", "openai", `{}`)
	for _, c := range []struct {
		change func(*settings.Settings)
		field  string
		says   string
	}{
		{func(s *settings.Settings) { s.EmbeddingModelID = &claude }, "embedding_model_id", "offers no embeddings; accepted are models of providers of the kind openai or gemini or demo"},
		{func(s *settings.Settings) { s.RerankModelID = &vectors }, "rerank_model_id", "offers no reranking"},
		{func(s *settings.Settings) { s.SynthesisModelID = &vectors }, "synthesis_model_id", "writes no answers"},
		{func(s *settings.Settings) { s.EmbeddingModelID = new(int64(4711)) }, "embedding_model_id", "is 4711, and there is no such model"},
	} {
		_, _, err := save(t, db, 0, c.change)
		e := errs.As(err)
		require.Equal(t, errs.Invalid, e.Code)
		require.Equal(t, "body."+c.field, e.Details[0].Location)
		require.Contains(t, e.Details[0].Message, c.says)
	}
	s, _, err := save(t, db, 0, func(s *settings.Settings) {
		s.EmbeddingModelID, s.RerankModelID, s.SynthesisModelID, s.EmbeddingDimensions = &vectors, &other, &claude, new(256)
	})
	require.NoError(t, err)
	require.Equal(t, vectors, *s.EmbeddingModelID)

	_, err = db.Exec(t.Context(), `DELETE FROM model WHERE id = $1`, vectors)
	require.NoError(t, err)
	s, _, err = save(t, db, 0, func(s *settings.Settings) { s.TopK = 7 })
	require.NoError(t, err, "a model that went since is no obstacle to other changes")
	require.Equal(t, vectors, *s.EmbeddingModelID)
}
