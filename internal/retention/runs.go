package retention

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
)

// runs removes runs with everything that belongs to them. Their blobs are
// collected by whoever collects blobs, since nothing refers to them any more.
func (c *Cleaner) runs(ctx context.Context, age time.Duration) (removed int64, more bool, err error) {
	err = c.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		removed, more = 0, false
		ids, err := oldRuns(ctx, tx, age, c.batch)
		if err != nil || len(ids) == 0 {
			return err
		}
		more = true
		names, err := streamsOf(ctx, tx, ids)
		if err != nil {
			return err
		}
		events, err := c.removeEvents(ctx, tx, names)
		if err != nil || events == int64(c.events) {
			return err // the runs go when their events are gone
		}
		journal, err := c.removeJournals(ctx, tx, ofRuns, ids)
		if err != nil || journal == int64(c.events) {
			return err // and what their index runs did to each file
		}
		removed = int64(len(ids))
		return deleteRuns(ctx, tx, ids, names)
	})
	if err != nil {
		return 0, false, fmt.Errorf("remove runs: %w", err)
	}
	return removed, more, nil
}

func oldRuns(ctx context.Context, tx *postgres.Tx, age time.Duration, limit int) ([]int64, error) {
	rows, err := tx.Query(ctx, `SELECT id FROM flowchart_run WHERE finished_at < now() - make_interval(secs => $1)
		ORDER BY finished_at, id LIMIT $2 FOR UPDATE SKIP LOCKED`, age.Seconds(), limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

func streamsOf(ctx context.Context, tx *postgres.Tx, ids []int64) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT 'flowchart_run:' || id FROM unnest($1::bigint[]) id
		UNION ALL SELECT 'node_log:' || n.id FROM node_run n WHERE n.flowchart_run_id = ANY ($1)`, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// deleteRuns removes the rows, those that refer to others first.
func deleteRuns(ctx context.Context, tx *postgres.Tx, ids []int64, streams []string) error {
	if _, err := tx.Exec(ctx, `UPDATE flowchart_run SET retry_of = NULL, retry_from = NULL WHERE retry_of = ANY ($1)`, ids); err != nil {
		return err
	}
	if err := deleteNodeRuns(ctx, tx, ofRuns, ids); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM flowchart_run WHERE id = ANY ($1)`, ids); err != nil {
		return err
	}
	return deleteStreams(ctx, tx, streams)
}

// Which node runs go: those of runs, or these themselves.
const (
	ofRuns = `flowchart_run_id = ANY ($1)`
	byID   = `id = ANY ($1)`
)

// removeJournals removes the lines that index runs of such node runs have for each file,
// as many as a transaction may. The index runs go with their node runs.
func (c *Cleaner) removeJournals(ctx context.Context, tx *postgres.Tx, which string, ids []int64) (int64, error) {
	tag, err := tx.Exec(ctx, `DELETE FROM rag_index_file WHERE (rag_index_run_id, path) IN (
		SELECT j.rag_index_run_id, j.path FROM rag_index_file j JOIN rag_index_run r ON r.id = j.rag_index_run_id
		WHERE r.node_run_id IN (SELECT id FROM node_run WHERE `+which+`) LIMIT $2)`, ids, c.events)
	if err != nil {
		return 0, fmt.Errorf("remove journals of index runs: %w", err)
	}
	return tag.RowsAffected(), nil
}

// deleteNodeRuns removes node runs that a condition over ids ($1) names, with what
// belongs to them.
func deleteNodeRuns(ctx context.Context, tx *postgres.Tx, which string, ids []int64) error {
	nodes := `(SELECT id FROM node_run WHERE ` + which + `)`
	for _, sql := range []string{
		`UPDATE node_run SET retry_of = NULL WHERE retry_of IN ` + nodes,
		`UPDATE node_run SET reused_from = NULL WHERE reused_from IN ` + nodes,
		`DELETE FROM artifact WHERE node_run_id IN ` + nodes,
		`DELETE FROM attempt_upload WHERE node_run_id IN ` + nodes,
		`DELETE FROM attempt_pod_log WHERE node_run_id IN ` + nodes,
		`DELETE FROM tool_cycle WHERE owner_kind = 'node_run' AND owner_id IN ` + nodes, // with its calls
		`DELETE FROM node_attempt WHERE node_run_id IN ` + nodes,
		`DELETE FROM node_run WHERE ` + which,
	} {
		if _, err := tx.Exec(ctx, sql, ids); err != nil {
			return err
		}
	}
	return nil
}

// deleteStreams removes streams without events. Ids are never used again, so nobody can
// take a new stream for an old one.
func deleteStreams(ctx context.Context, tx *postgres.Tx, names []string) error {
	_, err := tx.Exec(ctx, `DELETE FROM event_stream WHERE name = ANY ($1)`, names)
	return err
}

// quickNodes removes quick nodes as runs does runs.
func (c *Cleaner) quickNodes(ctx context.Context, age time.Duration) (removed int64, more bool, err error) {
	err = c.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		removed, more = 0, false
		ids, err := oldQuickNodes(ctx, tx, age, c.batch)
		if err != nil || len(ids) == 0 {
			return err
		}
		more = true
		names := make([]string, 0, 2*len(ids))
		for _, id := range ids {
			names = append(names, fmt.Sprintf("task:%d", id), fmt.Sprintf("node_log:%d", id))
		}
		events, err := c.removeEvents(ctx, tx, names)
		if err != nil || events == int64(c.events) {
			return err // the node runs go when their events are gone
		}
		journal, err := c.removeJournals(ctx, tx, byID, ids)
		if err != nil || journal == int64(c.events) {
			return err
		}
		removed = int64(len(ids))
		if err := deleteNodeRuns(ctx, tx, byID, ids); err != nil {
			return err
		}
		return deleteStreams(ctx, tx, names)
	})
	if err != nil {
		return 0, false, fmt.Errorf("remove quick nodes: %w", err)
	}
	return removed, more, nil
}

func oldQuickNodes(ctx context.Context, tx *postgres.Tx, age time.Duration, limit int) ([]int64, error) {
	rows, err := tx.Query(ctx, `SELECT id FROM node_run WHERE flowchart_run_id IS NULL AND finished_at < now() - make_interval(secs => $1)
		ORDER BY finished_at, id LIMIT $2 FOR UPDATE SKIP LOCKED`, age.Seconds(), limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}
