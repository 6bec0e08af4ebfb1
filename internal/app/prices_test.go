package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/rag/retrieve"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestPricesOfTheTableHoldForEmbeddingAndReranking(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	p := newRagPrices(db)
	cost, currency, err := p.question(t.Context(), retrieve.UseEmbed, 0, llm.Usage{InputTokens: 1000})
	require.NoError(t, err)
	require.Nil(t, cost, "no model, no price")
	require.Equal(t, "USD", currency)

	_, err = db.Exec(t.Context(), `WITH p AS (INSERT INTO provider (name, kind, base_url) VALUES ('Acme', 'openai', '') RETURNING id),
		m AS (INSERT INTO model (name, provider_id, model, config) SELECT n, p.id, n, '{"purpose": "embedding"}' FROM p, unnest(ARRAY['e', 'r', 'free']) AS n RETURNING id, name),
		s AS (INSERT INTO setting (section, key, value) SELECT 'rag', 'values', jsonb_build_object('values', jsonb_build_object(
			'embedding_model_id', (SELECT id FROM m WHERE name = 'e'), 'rerank_model_id', (SELECT id FROM m WHERE name = 'r'))))
		INSERT INTO setting (section, key, value) SELECT 'chat_runtime', 'values', jsonb_build_object('values', jsonb_build_object('currency', 'EUR', 'prices',
			(SELECT jsonb_agg(jsonb_build_object('model_id', id, 'input', CASE name WHEN 'e' THEN 0.02 ELSE 0.5 END)) FROM m WHERE name <> 'free')))`)
	require.NoError(t, err)
	for use, want := range map[string]int64{retrieve.UseEmbed: 20, retrieve.UseRerank: 500} {
		cost, currency, err = p.question(t.Context(), use, 0, llm.Usage{InputTokens: 1000})
		require.NoError(t, err)
		require.Equal(t, want, *cost, use)
		require.Equal(t, "EUR", currency)
	}
	prices, err := p.index(t.Context(), db)
	require.NoError(t, err)
	require.EqualValues(t, 40_000, *prices.Cost("e", 2_000_000))
	require.Nil(t, prices.Cost("free", 2_000_000))
	p.indexed(t.Context(), "e", 1_000_000)
	require.Equal(t, map[string]uint64{"embed": 20, "rerank": 500, "index": 20_000}, p.spent)
}
