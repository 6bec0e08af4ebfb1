package blob

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// MaxBytes is how large content may be, before compression.
const MaxBytes = 32 << 20

// sliceBytes is what a Reader takes from the database at a time.
const sliceBytes = 1 << 20

// Hash names content.
type Hash []byte

// String is the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h) }

// Sum is the hash of content.
func Sum(content []byte) Hash {
	sum := sha256.Sum256(content)
	return sum[:]
}

// Put stores content, if it is not there yet, and notes that it is about to be
// referred to. Error: too_large above MaxBytes.
func Put(ctx context.Context, q postgres.Querier, content []byte) (Hash, error) {
	if len(content) > MaxBytes {
		return nil, errs.Ef(errs.TooLarge, "blob.too_large", "The content has %d bytes; at most %d are kept.", len(content), MaxBytes)
	}
	hash := Sum(content)
	// The content is sent only when it is new.
	tag, err := q.Exec(ctx, `UPDATE blob SET touched_at = now() WHERE sha256 = $1`, []byte(hash))
	if err != nil {
		return nil, fmt.Errorf("touch blob %s: %w", hash, err)
	}
	if tag.RowsAffected() == 1 {
		return hash, nil
	}
	encoding, packed, err := pack(content)
	if err != nil {
		return nil, err
	}
	_, err = q.Exec(ctx, `INSERT INTO blob (sha256, size, encoding, content) VALUES ($1, $2, $3, $4)
		ON CONFLICT (sha256) DO UPDATE SET touched_at = now()`, []byte(hash), len(content), encoding, packed)
	if err != nil {
		return nil, fmt.Errorf("store blob %s: %w", hash, err)
	}
	return hash, nil
}

// pack compresses what gets smaller by it.
func pack(content []byte) (encoding string, packed []byte, err error) {
	var b bytes.Buffer
	b.Grow(len(content) / 2)
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return "", nil, fmt.Errorf("compress blob: %w", err)
	}
	if _, err := w.Write(content); err != nil {
		return "", nil, fmt.Errorf("compress blob: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", nil, fmt.Errorf("compress blob: %w", err)
	}
	if b.Len() > len(content)*9/10 {
		return "raw", nonNil(content), nil
	}
	return "gzip", b.Bytes(), nil
}

// nonNil keeps empty content from becoming NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Get reads the whole of a blob into memory. Error: not_found.
func Get(ctx context.Context, q postgres.Querier, hash Hash) ([]byte, error) {
	var size int64
	var encoding string
	var packed []byte
	err := q.QueryRow(ctx, `SELECT size, encoding, content FROM blob WHERE sha256 = $1`, []byte(hash)).Scan(&size, &encoding, &packed)
	if err != nil {
		return nil, readError(hash, err)
	}
	if encoding == "raw" {
		return packed, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack blob %s: %w", hash, err)
	}
	out := make([]byte, size)
	if _, err := io.ReadFull(r, out); err != nil {
		return nil, fmt.Errorf("unpack blob %s: %w", hash, err)
	}
	return out, nil
}

func readError(hash Hash, err error) error {
	if postgres.NotFound(err) {
		return errs.E(errs.NotFound, "blob.not_found", "The content is not kept any more.").With(err)
	}
	return fmt.Errorf("read blob %s: %w", hash, err)
}

// Content is a blob that is being read in slices, in constant memory.
type Content struct {
	io.Reader
	Size int64
}

// Open begins to read a blob; every slice is a query of its own. Error: not_found.
func Open(ctx context.Context, q postgres.Querier, hash Hash) (*Content, error) {
	s := &slices{ctx: ctx, q: q, hash: hash}
	var encoding string
	c := &Content{Reader: s}
	err := q.QueryRow(ctx, `SELECT size, encoding, octet_length(content) FROM blob WHERE sha256 = $1`, []byte(hash)).Scan(&c.Size, &encoding, &s.left)
	if err != nil {
		return nil, readError(hash, err)
	}
	if encoding == "gzip" {
		r, err := gzip.NewReader(s)
		if err != nil {
			return nil, fmt.Errorf("unpack blob %s: %w", hash, err)
		}
		c.Reader = r
	}
	return c, nil
}

// slices reads the stored bytes piece by piece.
type slices struct {
	ctx  context.Context //nolint:containedctx // a reader lives as long as the call that it is made for
	q    postgres.Querier
	hash Hash
	at   int64
	left int64
	buf  []byte
}

// Read implements io.Reader.
func (s *slices) Read(p []byte) (int, error) {
	if len(s.buf) == 0 {
		if s.left == 0 {
			return 0, io.EOF
		}
		err := s.q.QueryRow(s.ctx, `SELECT substring(content FROM $2 FOR $3) FROM blob WHERE sha256 = $1`,
			[]byte(s.hash), s.at+1, sliceBytes).Scan(&s.buf)
		if err != nil {
			return 0, readError(s.hash, err)
		}
		s.at += int64(len(s.buf))
		s.left -= int64(len(s.buf))
	}
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	return n, nil
}

// collectBatch bounds what one transaction of the clean-up locks.
const collectBatch = 100

// Collect deletes content that nobody refers to and that nobody meant to refer
// to for the given age; it returns how much. See the package comment for why it
// cannot delete what a slow transaction is about to refer to.
func Collect(ctx context.Context, db *postgres.DB, age time.Duration) (int64, error) {
	var total int64
	for {
		var found, deleted int64
		err := db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
			var err error
			found, deleted, err = collectOnce(ctx, tx, age)
			return err
		})
		if err != nil {
			return total, fmt.Errorf("collect blobs: %w", err)
		}
		total += deleted
		// What was found and not deleted is referred to since; the next call goes on.
		if found < collectBatch || deleted == 0 {
			return total, nil
		}
	}
}

// unreferenced is the list of everything that may refer to a blob.
const unreferenced = `NOT EXISTS (SELECT FROM node_run n WHERE n.output_blob = b.sha256)
	AND NOT EXISTS (SELECT FROM flowchart_run r WHERE r.output_blob = b.sha256)
	AND NOT EXISTS (SELECT FROM artifact a WHERE a.blob = b.sha256)
	AND NOT EXISTS (SELECT FROM attempt_upload u WHERE u.blob = b.sha256)
	AND NOT EXISTS (SELECT FROM node_attempt t WHERE t.payload_blob = b.sha256)
	AND NOT EXISTS (SELECT FROM tool_call c WHERE c.result_blob = b.sha256)
	AND NOT EXISTS (SELECT FROM attachment a WHERE a.blob = b.sha256)
	AND NOT EXISTS (SELECT FROM attachment a WHERE a.text_blob = b.sha256)`

func collectOnce(ctx context.Context, tx *postgres.Tx, age time.Duration) (found, deleted int64, err error) {
	// A foreign key check locks the row it refers to until its transaction ends: such
	// rows are skipped. After this statement nobody can begin to refer to the rest.
	rows, err := tx.Query(ctx, `SELECT b.sha256 FROM blob b
		WHERE b.touched_at < now() - make_interval(secs => $1) AND `+unreferenced+`
		ORDER BY b.touched_at LIMIT $2 FOR UPDATE SKIP LOCKED`, age.Seconds(), collectBatch)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	var hashes [][]byte
	for rows.Next() {
		var h []byte
		if err := rows.Scan(&h); err != nil {
			return 0, 0, err
		}
		hashes = append(hashes, h)
	}
	if err := rows.Err(); err != nil || len(hashes) == 0 {
		return 0, 0, err
	}
	// A statement of its own sees what was committed between the first one's snapshot
	// and its lock.
	tag, err := tx.Exec(ctx, `DELETE FROM blob b WHERE b.sha256 = ANY ($1) AND b.touched_at < now() - make_interval(secs => $2) AND `+unreferenced,
		hashes, age.Seconds())
	return int64(len(hashes)), tag.RowsAffected(), err
}
