package vector

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/llmctl/studio/internal/postgres"
)

// State of pgvector on a server.
type State struct {
	Ready   bool   // the extension is there and new enough, our table exists
	Version string // of the extension; empty: it is not there
	Message string // why it is not ready
}

// Swept is what a sweep did.
type Swept struct {
	State
	Copied  int // vectors
	Indexed int // indexes made
}

const (
	// sweepLock is the advisory lock of whoever changes rag_vector.
	sweepLock = 0x7261675f766563 // "rag_vec"
	// copyPage is how many vectors one transaction copies.
	copyPage = 500
	// buildTimeout bounds the making of one index.
	buildTimeout = 30 * time.Minute
)

// Sweep makes the extension's table and indexes where the server has the extension, and copies vectors that are not
// there yet. Any process may call it at any time: one works, the others find nothing to do. It goes on
// where it was interrupted; what a search needs and it has not copied, is searched exactly until then. Vectors that
// are removed take their copies along, by the foreign key.
func (p *Pgvector) Sweep(ctx context.Context) (Swept, error) {
	var out Swept
	state, err := p.setUp(ctx)
	if out.State = state; err != nil || !state.Ready {
		return out, err
	}
	embedders, err := p.embedders(ctx)
	if err != nil {
		return out, err
	}
	for _, e := range embedders {
		copied, indexed, err := p.fill(ctx, e)
		out.Copied += copied
		if indexed {
			out.Indexed++
		}
		if err != nil {
			return out, fmt.Errorf("copy vectors of embedder %d: %w", e.ID, err)
		}
	}
	return out, nil
}

// setUp creates what can be created. Missing rights or an old extension are a state, not an error.
func (p *Pgvector) setUp(ctx context.Context) (State, error) {
	var available string
	err := p.db.QueryRow(ctx, `SELECT coalesce((SELECT extversion FROM pg_extension WHERE extname = 'vector'),
		(SELECT default_version FROM pg_available_extensions WHERE name = 'vector'), '')`).Scan(&available)
	if err != nil {
		return State{}, fmt.Errorf("look for pgvector: %w", err)
	}
	if available == "" {
		return State{Message: "the server does not offer the extension vector"}, nil
	}
	if !atLeast(available, 0, 8) {
		return State{Version: available, Message: "the extension vector is of version " + available + "; 0.8 is needed, which can filter while it searches"}, nil
	}
	err = p.locked(ctx, func(tx *postgres.Tx) error {
		for _, sql := range []string{
			`CREATE SCHEMA IF NOT EXISTS studio_extensions`, // outside of ours, which a restored backup takes the place of
			`CREATE EXTENSION IF NOT EXISTS vector SCHEMA studio_extensions`,
			findExtension,
			`DO $$ BEGIN IF NOT EXISTS (` + bound + `) THEN DROP TABLE IF EXISTS rag_vector; END IF; END $$`,
			`CREATE TABLE IF NOT EXISTS rag_vector (
				rag_embedder_id bigint NOT NULL,
				content_hash bytea NOT NULL,
				vector vector NOT NULL,
				PRIMARY KEY (rag_embedder_id, content_hash),
				FOREIGN KEY (rag_embedder_id, content_hash) REFERENCES rag_embedding (rag_embedder_id, content_hash) ON DELETE CASCADE)`,
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == "42501" {
		return State{Version: available, Message: "the extension vector is there, but this role may not create it or its table: " + pgErr.Message}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("set up pgvector: %w", err)
	}
	return State{Ready: true, Version: available}, nil
}

func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version+".0", ".", 3)
	a, errA := strconv.Atoi(parts[0])
	b, errB := strconv.Atoi(parts[1])
	return errA == nil && errB == nil && (a > major || a == major && b >= minor)
}

// errBusy says that another process is at it.
var errBusy = errors.New("another process copies vectors")

// locked runs f in a transaction that is the only one to change rag_vector.
func (p *Pgvector) locked(ctx context.Context, f func(tx *postgres.Tx) error) error {
	return p.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var got bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, int64(sweepLock)).Scan(&got); err != nil {
			return fmt.Errorf("lock vectors: %w", err)
		}
		if !got {
			return errBusy
		}
		if _, err := tx.Exec(ctx, findExtension); err != nil {
			return fmt.Errorf("look for pgvector: %w", err)
		}
		return f(tx)
	})
}

// embedders lists those whose vectors a visible index uses and an HNSW index can take.
func (p *Pgvector) embedders(ctx context.Context) ([]Embedder, error) {
	rows, err := p.db.Query(ctx, `SELECT id, dimensions FROM rag_embedder e WHERE dimensions <= $1
		AND EXISTS (SELECT FROM rag_source s WHERE s.rag_embedder_id = e.id AND s.deleted_at IS NULL) ORDER BY id`, maxIndexed)
	if err != nil {
		return nil, fmt.Errorf("list embedders: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Embedder])
	if err != nil {
		return nil, fmt.Errorf("list embedders: %w", err)
	}
	return list, nil
}

// fill copies an embedder's vectors page by page, then makes sure of its index: built over all rows at once
// it is made faster, and better, than by growing.
func (p *Pgvector) fill(ctx context.Context, e Embedder) (copied int, indexed bool, err error) {
	for {
		n, err := p.copyPage(ctx, e)
		copied += n
		if errors.Is(err, errBusy) {
			return copied, false, nil
		}
		if err != nil {
			return copied, false, err
		}
		if n < copyPage {
			break
		}
	}
	indexed, err = p.ensureIndex(ctx, e)
	if errors.Is(err, errBusy) {
		return copied, false, nil
	}
	return copied, indexed, err
}

func (p *Pgvector) copyPage(ctx context.Context, e Embedder) (int, error) {
	var hashes [][]byte
	err := p.locked(ctx, func(tx *postgres.Tx) error {
		hashes = nil
		rows, err := tx.Query(ctx, `SELECT e.content_hash, e.vector FROM rag_embedding e
			LEFT JOIN rag_vector v ON v.rag_embedder_id = e.rag_embedder_id AND v.content_hash = e.content_hash
			WHERE e.rag_embedder_id = $1 AND v.content_hash IS NULL LIMIT $2 FOR KEY SHARE OF e`, e.ID, copyPage)
		if err != nil {
			return err
		}
		var (
			hash, raw []byte
			texts     []string
			v         = make([]float32, e.Dimensions)
		)
		if _, err := pgx.ForEachRow(rows, []any{&hash, &raw}, func() error {
			if err := decode(raw, v); err != nil {
				return fmt.Errorf("vector %x: %w", hash, err)
			}
			hashes, texts = append(hashes, hash), append(texts, text(v))
			hash, raw = nil, nil
			return nil
		}); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO rag_vector (rag_embedder_id, content_hash, vector)
			SELECT $1::bigint, hash, vector::vector FROM unnest($2::bytea[], $3::text[]) AS given (hash, vector)`, e.ID, hashes, texts)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(hashes), nil
}

// ensureIndex makes the index of an embedder if it is missing. Searches go on meanwhile; only copying waits, and
// that is ours.
func (p *Pgvector) ensureIndex(ctx context.Context, e Embedder) (made bool, err error) {
	typ, class := typeOf(e)
	err = p.locked(ctx, func(tx *postgres.Tx) error {
		var there bool
		if err := tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, indexName(e.ID)).Scan(&there); err != nil || there {
			return err
		}
		if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = `+strconv.FormatInt(buildTimeout.Milliseconds(), 10)); err != nil {
			return err
		}
		id := strconv.FormatInt(e.ID, 10)
		_, err := tx.Exec(ctx, `CREATE INDEX `+indexName(e.ID)+` ON rag_vector USING hnsw ((vector::`+typ+`) `+class+`) WHERE rag_embedder_id = `+id)
		made = err == nil
		return err
	})
	return made, err
}
