package store_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm/demo"
	"github.com/llmctl/studio/internal/rag/embed"
	"github.com/llmctl/studio/internal/rag/embed/store"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestVectorsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	s := store.New(db, store.Model{ProviderKind: "openai", Model: "m"})
	got, err := s.Get(t.Context(), "key", [][]byte{embed.Hash("a")})
	require.NoError(t, err)
	require.Empty(t, got)
	a, b := []float32{1, -0.5, math.SmallestNonzeroFloat32}, []float32{0, 0, 3.4e38}
	put := map[string][]float32{string(embed.Hash("a")): a, string(embed.Hash("b")): b}
	require.NoError(t, s.Put(t.Context(), "key", put))
	require.NoError(t, s.Put(t.Context(), "key", nil))
	got, err = s.Get(t.Context(), "key", [][]byte{embed.Hash("a"), embed.Hash("b"), embed.Hash("c")})
	require.NoError(t, err)
	require.Equal(t, put, got)
	got, err = s.Get(t.Context(), "other key", [][]byte{embed.Hash("a")})
	require.NoError(t, err)
	require.Empty(t, got, "another model's")
	var raw []byte
	require.NoError(t, db.QueryRow(t.Context(), `SELECT vector FROM rag_embedding WHERE content_hash = $1`, embed.Hash("a")).Scan(&raw))
	require.Equal(t, []byte{0, 0, 0x80, 0x3f}, raw[:4], "little endian float32")
}

func TestWhatIsThereStaysAndAnotherLengthIsRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	s := store.New(db, store.Model{ProviderKind: "openai", Model: "the-model"})
	hash := string(embed.Hash("a"))
	require.NoError(t, s.Put(t.Context(), "key", map[string][]float32{hash: {1, 0}}))
	require.NoError(t, s.Put(t.Context(), "key", map[string][]float32{hash: {0, 1}}))
	got, err := s.Get(t.Context(), "key", [][]byte{[]byte(hash)})
	require.NoError(t, err)
	require.Equal(t, []float32{1, 0}, got[hash])
	err = s.Put(t.Context(), "key", map[string][]float32{hash: {1, 0, 0}})
	require.Equal(t, errs.Conflict, errs.As(err).Code)
	require.Contains(t, errs.As(err).Message, "the-model gives vectors of 3 dimensions, and there are vectors of 2")
	id, err := s.Embedder(t.Context(), db, "key", 2)
	require.NoError(t, err)
	again, err := s.Embedder(t.Context(), db, "key", 2)
	require.NoError(t, err)
	require.Equal(t, id, again)
	other, err := s.Embedder(t.Context(), db, "another", 5)
	require.NoError(t, err)
	require.NotEqual(t, id, other)
}

func TestManyWritersOfTheSameVectorsDoNotBlockEachOther(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	s := store.New(db, store.Model{ProviderKind: "demo", Model: "m"})
	put := map[string][]float32{}
	for i := range 200 {
		put[string(embed.Hash(fmt.Sprint(i)))] = []float32{float32(i), 1}
	}
	var wg sync.WaitGroup
	failed := make([]error, 8)
	for i := range failed {
		wg.Go(func() { failed[i] = s.Put(context.WithoutCancel(t.Context()), "key", put) })
	}
	wg.Wait()
	for _, err := range failed {
		require.NoError(t, err)
	}
	var n int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM rag_embedding`).Scan(&n))
	require.Equal(t, 200, n)
}

func TestAnEmbedderAsksForNothingThatTheDatabaseHas(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	texts := make([]string, 2500) // more than one lookup
	for i := range texts {
		texts[i] = fmt.Sprint("text ", i)
	}
	run := func() embed.Result {
		e := embed.New(embed.Options{
			Provider: demo.New("Demo", 0), Model: demo.EmbeddingModelID, Key: "demo", Cache: store.New(db, store.Model{ProviderKind: "demo", Model: demo.EmbeddingModelID}),
		})
		res, err := e.Documents(t.Context(), texts)
		require.NoError(t, err)
		return res
	}
	first := run()
	require.Equal(t, 25, first.Requests)
	second := run()
	require.Equal(t, 0, second.Requests)
	require.Equal(t, len(texts), second.Cached)
	require.Equal(t, first.Vectors, second.Vectors)
}

func TestDamagedVectorsAreNoVectors(t *testing.T) {
	t.Parallel()
	for _, raw := range [][]byte{nil, {1, 2, 3}} {
		_, err := store.Decode(raw)
		require.Error(t, err)
	}
}

func TestWhatIsTakenIsYoungAgain(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	s := store.New(db, store.Model{ProviderKind: "demo", Model: "m"})
	vectors := map[string][]float32{}
	for _, text := range []string{"taken", "put", "left", "fresh"} {
		vectors[string(embed.Hash(text))] = []float32{1}
	}
	require.NoError(t, s.Put(t.Context(), "key", vectors))
	_, err := db.Exec(t.Context(), `UPDATE rag_embedding SET created_at = now() - CASE WHEN content_hash = $1 THEN interval '1 day' ELSE interval '8 days' END`, embed.Hash("fresh"))
	require.NoError(t, err)
	days := func(text string) (n int) {
		require.NoError(t, db.QueryRow(t.Context(), `SELECT extract(day FROM now() - created_at) FROM rag_embedding WHERE content_hash = $1`, embed.Hash(text)).Scan(&n))
		return n
	}
	got, err := s.Get(t.Context(), "key", [][]byte{embed.Hash("taken"), embed.Hash("fresh"), embed.Hash("none")})
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.NoError(t, s.Put(t.Context(), "key", map[string][]float32{string(embed.Hash("put")): {1}}))
	require.Equal(t, []int{0, 0, 8, 1}, []int{days("taken"), days("put"), days("left"), days("fresh")}, "and a young one is not written")
}
