// Package ragtest fills the tables of an index as an index run would, revision by revision, and holds the
// conformance suite of stores of vectors.
package ragtest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
)

// File is a file of an index.
type File struct {
	Path, Kind, Language, Title string
	ModifiedAt                  *time.Time
	Chunks                      []Chunk
}

// Chunk is a piece of a file. Without a vector it has none.
type Chunk struct {
	Text, Context string
	Heading       []string
	LineStart     int
	LineEnd       int
	Vector        []float32
}

// Source is a source whose index a test writes.
type Source struct {
	ID       int64
	Revision int64
	Embedder int64
	Words    func(text string) string // for the column words; nil leaves it empty

	db *postgres.DB
}

// NewSource makes a source without an index.
func NewSource(tb testing.TB, db *postgres.DB, name string) *Source {
	tb.Helper()
	s := &Source{db: db}
	require.NoError(tb, db.QueryRow(tb.Context(), `INSERT INTO rag_source (name, kind, config) VALUES ($1, 'local', '{"path": "/docs"}') RETURNING id`, name).Scan(&s.ID))
	return s
}

// NewEmbedder makes an embedder of so many dimensions.
func NewEmbedder(tb testing.TB, db *postgres.DB, dimensions int) int64 {
	tb.Helper()
	var id int64
	require.NoError(tb, db.QueryRow(tb.Context(), `INSERT INTO rag_embedder (key, provider_kind, model, dimensions)
		VALUES ('test ' || gen_random_uuid(), 'demo', 'test', $1) RETURNING id`, dimensions).Scan(&id))
	return id
}

// Write writes the next revision: files are added or take the place of those of the same path. Nobody sees
// it before Show.
func (s *Source) Write(tb testing.TB, files ...File) {
	tb.Helper()
	require.NoError(tb, s.db.InTx(tb.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		paths := make([]string, len(files))
		for i, f := range files {
			paths[i] = f.Path
		}
		if err := s.end(ctx, tx, paths); err != nil {
			return err
		}
		for part := range slices.Chunk(files, page) {
			if err := s.insert(ctx, tx, part); err != nil {
				return err
			}
		}
		return nil
	}))
}

// page is how many files one statement inserts. COPY would be faster; PGlite's socket does not carry it.
const page = 50

func (s *Source) insert(ctx context.Context, tx *postgres.Tx, files []File) error {
	ids := map[string]int64{}
	for _, f := range files {
		var id int64
		if err := tx.QueryRow(ctx, `INSERT INTO rag_file (rag_source_id, path, from_revision, fingerprint, signature, content_hash, size, modified_at, kind, language, title, chunks)
			VALUES ($1, $2, $3, 'f', 's', '\x01', 1, $4, $5, $6, $7, $8) RETURNING id`,
			s.ID, f.Path, s.Revision+1, f.ModifiedAt, f.Kind, f.Language, f.Title, len(f.Chunks)).Scan(&id); err != nil {
			return err
		}
		ids[f.Path] = id
	}
	return s.insertChunks(ctx, tx, files, ids)
}

// Remove ends files with the next revision.
func (s *Source) Remove(tb testing.TB, paths ...string) {
	tb.Helper()
	require.NoError(tb, s.db.InTx(tb.Context(), func(ctx context.Context, tx *postgres.Tx) error { return s.end(ctx, tx, paths) }))
}

func (s *Source) end(ctx context.Context, tx *postgres.Tx, paths []string) error {
	_, err := tx.Exec(ctx, `UPDATE rag_file SET to_revision = $2 WHERE rag_source_id = $1 AND path = ANY ($3) AND to_revision IS NULL AND from_revision < $2`,
		s.ID, s.Revision+1, paths)
	return err
}

// Show makes the written revision the visible one.
func (s *Source) Show(tb testing.TB) {
	tb.Helper()
	s.Revision++
	_, err := s.db.Exec(tb.Context(), `UPDATE rag_source SET index_revision = $2, rag_embedder_id = nullif($3::bigint, 0),
		(files, chunks) = (SELECT count(*), coalesce(sum(f.chunks), 0) FROM rag_file f WHERE f.rag_source_id = $1 AND f.to_revision IS NULL) WHERE id = $1`, s.ID, s.Revision, s.Embedder)
	require.NoError(tb, err)
}

// Clean removes what no revision shows any more.
func (s *Source) Clean(tb testing.TB) {
	tb.Helper()
	_, err := s.db.Exec(tb.Context(), `DELETE FROM rag_file WHERE rag_source_id = $1 AND to_revision <= $2`, s.ID, s.Revision)
	require.NoError(tb, err)
}

// ChunkIDs gives the ids of a path's chunks in the newest revision, in order.
func (s *Source) ChunkIDs(tb testing.TB, path string) []int64 {
	tb.Helper()
	rows, err := s.db.Query(tb.Context(), `SELECT c.id FROM rag_chunk c JOIN rag_file f ON f.id = c.rag_file_id
		WHERE f.rag_source_id = $1 AND f.path = $2 AND f.to_revision IS NULL ORDER BY c.ordinal`, s.ID, path)
	require.NoError(tb, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(tb, err)
	return ids
}

func (s *Source) insertChunks(ctx context.Context, tx *postgres.Tx, files []File, ids map[string]int64) error {
	var (
		of, ordinals, starts, ends             []int64
		texts, contexts, headings, keys, words []string
		hashes, vectors, vectorHashes          [][]byte
	)
	for _, f := range files {
		for i, c := range f.Chunks {
			hash := hashOf(c)
			of, ordinals, starts, ends = append(of, ids[f.Path]), append(ordinals, int64(i)), append(starts, int64(c.LineStart)), append(ends, int64(c.LineEnd))
			texts, contexts, headings = append(texts, c.Text), append(contexts, c.Context), append(headings, strings.Join(c.Heading, "\x1f"))
			hashes, keys = append(hashes, hash), append(keys, hex.EncodeToString(hash[:8]))
			word := ""
			if s.Words != nil {
				word = s.Words(c.Context + "\n" + c.Text)
			}
			words = append(words, word)
			if c.Vector != nil {
				vectors, vectorHashes = append(vectors, Encode(c.Vector)), append(vectorHashes, hash)
			}
		}
	}
	if _, err := tx.Exec(ctx, `INSERT INTO rag_chunk (rag_source_id, rag_file_id, ordinal, line_start, line_end, text, context, heading, content_hash, key, words)
		SELECT $1::bigint, f, o, a, z, t, c, coalesce(string_to_array(nullif(h, ''), E'\x1f'), '{}'), hash, k, w
		FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::bytea[], $10::text[], $11::text[])
			AS given (f, o, a, z, t, c, h, hash, k, w)`,
		s.ID, of, ordinals, starts, ends, texts, contexts, headings, hashes, keys, words); err != nil {
		return err
	}
	if len(vectors) == 0 {
		return nil
	}
	// Vectors of an earlier revision stay: they are kept by content.
	_, err := tx.Exec(ctx, `INSERT INTO rag_embedding (rag_embedder_id, content_hash, vector)
		SELECT $1::bigint, hash, vector FROM unnest($2::bytea[], $3::bytea[]) AS given (hash, vector) ON CONFLICT DO NOTHING`, s.Embedder, vectorHashes, vectors)
	return err
}

func hashOf(c Chunk) []byte {
	sum := sha256.Sum256([]byte(c.Context + "\n" + c.Text))
	return sum[:]
}

// Encode writes a vector as rag_embedding keeps it.
func Encode(v []float32) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, x := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
	}
	return out
}

// Decode reads what Encode wrote.
func Decode(raw []byte) []float32 {
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

// Cosine measures two vectors; 0 when one has no direction.
func Cosine(a, b []float32) float64 {
	var sum, lengthA, lengthB float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
		lengthA += float64(a[i]) * float64(a[i])
		lengthB += float64(b[i]) * float64(b[i])
	}
	if lengthA == 0 || lengthB == 0 {
		return 0
	}
	return sum / math.Sqrt(lengthA*lengthB)
}
