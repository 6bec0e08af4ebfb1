package vector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/scope"
)

// wholeShare is the share of chunks from which on everything is read instead of what is missing: a list of ids
// that long costs more than it spares.
const wholeShare = 0.5

// load builds the copy of a source's visible revision, with the help of the copy of another revision if there is
// one. It reads one snapshot, in which that revision has to be the visible one: rows of a revision that was replaced
// may be on their way out.
func (e *Exact) load(ctx context.Context, key cacheKey, r *room) (*index, error) {
	var x *index
	err := snapshot(ctx, e.db, func(tx pgx.Tx) error {
		if err := checkVisible(ctx, tx, key); err != nil {
			return err
		}
		ids, files, err := listVectors(ctx, tx, key)
		if err != nil {
			return err
		}
		need := bytesOf(files, key.dimensions)
		if need > e.cache.limit {
			return &TooLargeError{SourceID: key.source, Bytes: need, Limit: e.cache.limit}
		}
		if err := r.take(ctx, need); err != nil {
			return err
		}
		x = newIndex(key.dimensions, ids, files)
		missing := x.takeFrom(r.index())
		set := func(id int64, v []float32) {
			if at, found := slices.BinarySearch(x.ids, id); found {
				x.set(at, v)
			}
		}
		if float64(len(missing)) > wholeShare*float64(len(ids)) {
			return allVectors(ctx, tx, key, set)
		}
		return eachVector(ctx, tx, Embedder{ID: key.embedder, Dimensions: key.dimensions}, missing, set)
	})
	return x, err
}

// snapshot runs f on one snapshot of the database.
func snapshot(ctx context.Context, db *postgres.DB, f func(tx pgx.Tx) error) error {
	tx, err := db.Pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		// After a cancelled context the rollback still has to reach the server.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(end)
	}()
	return f(tx)
}

func checkVisible(ctx context.Context, q postgres.Querier, key cacheKey) error {
	var visible bool
	err := q.QueryRow(ctx, `SELECT index_revision = $2 AND coalesce(rag_embedder_id = $3, false) FROM rag_source WHERE id = $1`,
		key.source, key.revision, key.embedder).Scan(&visible)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !visible {
		return ErrMoved
	}
	if err != nil {
		return fmt.Errorf("read revision of source %d: %w", key.source, err)
	}
	return nil
}

// withVectors is the FROM clause of the chunks of a source's revision that have a vector.
func withVectors(args *scope.Args, key cacheKey) string {
	join := scope.Join(args, []scope.Source{{ID: key.source, Revision: key.revision}}, scope.Filter{})
	return ` FROM rag_file f` + join + ` JOIN rag_chunk c ON c.rag_file_id = f.id
		JOIN rag_embedding e ON e.rag_embedder_id = ` + args.Add(key.embedder) + ` AND e.content_hash = c.content_hash`
}

// listVectors gives the chunks that have a vector, in order, and the file of each.
func listVectors(ctx context.Context, q postgres.Querier, key cacheKey) (ids, files []int64, err error) {
	var args scope.Args
	rows, err := q.Query(ctx, `SELECT c.id, f.id`+withVectors(&args, key)+` ORDER BY c.id`, args...)
	if err != nil {
		return nil, nil, fmt.Errorf("list vectors of source %d: %w", key.source, err)
	}
	var id, file int64
	_, err = pgx.ForEachRow(rows, []any{&id, &file}, func() error {
		ids, files = append(ids, id), append(files, file)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list vectors of source %d: %w", key.source, err)
	}
	return ids, files, nil
}

// allVectors reads a whole revision as a stream, in no order.
func allVectors(ctx context.Context, q postgres.Querier, key cacheKey, f func(id int64, v []float32)) error {
	var args scope.Args
	rows, err := q.Query(ctx, `SELECT c.id, e.vector`+withVectors(&args, key), args...)
	if err != nil {
		return fmt.Errorf("read vectors of source %d: %w", key.source, err)
	}
	return decodeRows(rows, key.dimensions, f)
}

// page is how many vectors one query of eachVector asks for.
const page = 1000

// eachVector reads the vectors of chunks, in no order; chunks without one are left out.
func eachVector(ctx context.Context, q postgres.Querier, e Embedder, ids []int64, f func(id int64, v []float32)) error {
	for part := range slices.Chunk(ids, page) {
		rows, err := q.Query(ctx, `SELECT c.id, e.vector FROM rag_chunk c
			JOIN rag_embedding e ON e.rag_embedder_id = $2 AND e.content_hash = c.content_hash WHERE c.id = ANY ($1::bigint[])`, part, e.ID)
		if err != nil {
			return fmt.Errorf("read vectors: %w", err)
		}
		if err := decodeRows(rows, e.Dimensions, f); err != nil {
			return err
		}
	}
	return nil
}

// decodeRows hands on each row's vector, which is only valid until f returns.
func decodeRows(rows pgx.Rows, dimensions int, f func(id int64, v []float32)) error {
	var (
		id  int64
		raw pgtype.DriverBytes
	)
	v := make([]float32, dimensions)
	_, err := pgx.ForEachRow(rows, []any{&id, &raw}, func() error {
		if err := decode(raw, v); err != nil {
			return fmt.Errorf("chunk %d: %w", id, err)
		}
		f(id, v)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read vectors: %w", err)
	}
	return nil
}
