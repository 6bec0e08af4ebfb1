// Package store keeps embeddings in the database. It must not know providers.
package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Model is what is kept of an embedder beside its key.
type Model struct {
	ProviderKind string
	Model        string
}

// Store implements embed.Cache for one model.
type Store struct {
	db    *postgres.DB
	model Model
}

// New makes a store.
func New(db *postgres.DB, m Model) *Store { return &Store{db: db, model: m} }

// staleAge is from when on a vector that is taken is noted as taken. The clean-up drops
// vectors that no chunk has and that nobody took for longer (a week): so one that was
// given out is there for days, and not each look-up writes.
const staleAge = 3 * 24 * time.Hour

// Get implements embed.Cache. What it gives stays for long enough to be used.
func (s *Store) Get(ctx context.Context, key string, hashes [][]byte) (map[string][]float32, error) {
	rows, err := s.db.Query(ctx, `
		SELECT v.content_hash, v.vector, v.created_at < now() - make_interval(secs => $3)
		FROM rag_embedding v JOIN rag_embedder e ON e.id = v.rag_embedder_id
		WHERE e.key = $1 AND v.content_hash = ANY ($2::bytea[])`, key, hashes, staleAge.Seconds())
	if err != nil {
		return nil, fmt.Errorf("load embeddings: %w", err)
	}
	out := make(map[string][]float32, len(hashes))
	var old [][]byte
	var hash, raw []byte
	var stale bool
	_, err = pgx.ForEachRow(rows, []any{&hash, &raw, &stale}, func() error {
		v, err := Decode(raw)
		if err != nil {
			return err
		}
		out[string(hash)] = v
		if stale {
			old = append(old, bytes.Clone(hash))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load embeddings: %w", err)
	}
	return out, s.touch(ctx, key, old, out)
}

// touch notes that vectors were taken, and takes those out of found that went meanwhile.
func (s *Store) touch(ctx context.Context, key string, old [][]byte, found map[string][]float32) error {
	if len(old) == 0 {
		return nil
	}
	// In one order, as in Put.
	rows, err := s.db.Query(ctx, `
		WITH mine AS (SELECT v.rag_embedder_id, v.content_hash FROM rag_embedding v JOIN rag_embedder e ON e.id = v.rag_embedder_id
			WHERE e.key = $1 AND v.content_hash = ANY ($2::bytea[]) ORDER BY v.content_hash FOR NO KEY UPDATE OF v)
		UPDATE rag_embedding v SET created_at = now() FROM mine
		WHERE v.rag_embedder_id = mine.rag_embedder_id AND v.content_hash = mine.content_hash RETURNING v.content_hash`, key, old)
	if err != nil {
		return fmt.Errorf("note %d embeddings as taken: %w", len(old), err)
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return fmt.Errorf("note %d embeddings as taken: %w", len(old), err)
	}
	kept := make(map[string]bool, len(there))
	for _, h := range there {
		kept[string(h)] = true
	}
	for _, h := range old {
		if !kept[string(h)] {
			delete(found, string(h))
		}
	}
	return nil
}

// Put implements embed.Cache. Error: conflict, if the embedder's vectors have another
// length.
func (s *Store) Put(ctx context.Context, key string, vectors map[string][]float32) error {
	if len(vectors) == 0 {
		return nil
	}
	// In one order everywhere, so that two writers of the same hashes cannot deadlock.
	order := slices.SortedFunc(maps.Keys(vectors), func(a, b string) int { return bytes.Compare([]byte(a), []byte(b)) })
	hashes, raw := make([][]byte, len(order)), make([][]byte, len(order))
	for i, h := range order {
		hashes[i], raw[i] = []byte(h), Encode(vectors[h])
	}
	id, err := s.Embedder(ctx, s.db, key, len(vectors[order[0]]))
	if err != nil {
		return err
	}
	_, err = s.db.Exec(ctx, `
		INSERT INTO rag_embedding (rag_embedder_id, content_hash, vector)
		SELECT $1, h, v FROM unnest($2::bytea[], $3::bytea[]) AS u (h, v)
		ON CONFLICT (rag_embedder_id, content_hash) DO UPDATE SET created_at = now()
		WHERE rag_embedding.created_at < now() - make_interval(secs => $4)`, id, hashes, raw, staleAge.Seconds())
	if err != nil {
		return fmt.Errorf("store %d embeddings: %w", len(order), err)
	}
	return nil
}

// Embedder gives the number of the embedder with that key, which is made if there is
// none. Error: conflict, if its vectors have another length.
func (s *Store) Embedder(ctx context.Context, q postgres.Querier, key string, dimensions int) (int64, error) {
	id, length, err := find(ctx, q, key)
	if postgres.NotFound(err) {
		_, err = q.Exec(ctx, `INSERT INTO rag_embedder (key, provider_kind, model, dimensions) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			key, s.model.ProviderKind, s.model.Model, dimensions)
		if err == nil {
			id, length, err = find(ctx, q, key)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("find embedder %q: %w", key, err)
	}
	if length != dimensions {
		return 0, errs.Ef(errs.Conflict, "rag.embedder_changed",
			"The model %s gives vectors of %d dimensions, and there are vectors of %d of it already: the provider has another model behind this name. "+
				"Set the dimensions under Settings -> Retrieval, or use a model of another name.", s.model.Model, dimensions, length)
	}
	return id, nil
}

func find(ctx context.Context, q postgres.Querier, key string) (id int64, dimensions int, err error) {
	err = q.QueryRow(ctx, `SELECT id, dimensions FROM rag_embedder WHERE key = $1`, key).Scan(&id, &dimensions)
	return id, dimensions, err
}

// Encode writes a vector as it is stored: little endian float32.
func Encode(v []float32) []byte {
	out := make([]byte, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(x))
	}
	return out
}

// Decode reads a stored vector.
func Decode(raw []byte) ([]float32, error) {
	if len(raw) == 0 || len(raw)%4 != 0 {
		return nil, fmt.Errorf("a stored vector has %d bytes, which are no float32", len(raw))
	}
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out, nil
}
