package retention

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
)

// The aggregates whose streams are removed: $1 age in seconds, $2 and $3 how far
// it came, $4 how many. Each row is an end with the streams that belong to it.
const (
	runEvents = `SELECT finished_at, id, ARRAY['flowchart_run:' || id] FROM flowchart_run
		WHERE finished_at < now() - make_interval(secs => $1) AND (finished_at, id) > ($2, $3)
		ORDER BY finished_at, id LIMIT $4`
	quickEvents = `SELECT finished_at, id, ARRAY['task:' || id] FROM node_run
		WHERE flowchart_run_id IS NULL AND finished_at < now() - make_interval(secs => $1) AND (finished_at, id) > ($2, $3)
		ORDER BY finished_at, id LIMIT $4`
	runText = `SELECT finished_at, id, ARRAY(SELECT 'node_log:' || n.id FROM node_run n WHERE n.flowchart_run_id = r.id) FROM flowchart_run r
		WHERE finished_at < now() - make_interval(secs => $1) AND (finished_at, id) > ($2, $3)
		ORDER BY finished_at, id LIMIT $4`
	quickText = `SELECT finished_at, id, ARRAY['node_log:' || id] FROM node_run
		WHERE flowchart_run_id IS NULL AND finished_at < now() - make_interval(secs => $1) AND (finished_at, id) > ($2, $3)
		ORDER BY finished_at, id LIMIT $4`
	downloadEvents = `SELECT finished_at, id, ARRAY['download_job:' || id] FROM download_job
		WHERE finished_at < now() - make_interval(secs => $1) AND (finished_at, id) > ($2, $3)
		ORDER BY finished_at, id LIMIT $4`
)

// point is how far a removal came: the end of the last aggregate it is done with.
type point struct {
	finishedAt time.Time
	id         int64
}

// streams gives the step that removes the streams of aggregates, some at a time.
func (c *Cleaner) streams(what, list string) func(ctx context.Context, age time.Duration) (int64, bool, error) {
	return func(ctx context.Context, age time.Duration) (removed int64, more bool, err error) {
		err = c.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
			from, err := lockProgress(ctx, tx, what)
			if err != nil {
				return err
			}
			to, names, err := c.next(ctx, tx, list, age, from)
			if err != nil || to.id == 0 {
				more = false
				return err
			}
			more = true
			if removed, err = c.removeEvents(ctx, tx, names); err != nil {
				return err
			}
			if removed == int64(c.events) {
				return nil // there may be more of these
			}
			if err := removePodLogs(ctx, tx, names); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `UPDATE retention_progress SET finished_at = $2, id = $3 WHERE what = $1`, what, to.finishedAt, to.id)
			return err
		})
		if err != nil {
			return 0, false, fmt.Errorf("remove %s: %w", what, err)
		}
		return removed, more, nil
	}
}

// removePodLogs removes what pods wrote together with the text of their node runs.
func removePodLogs(ctx context.Context, tx *postgres.Tx, names []string) error {
	_, err := tx.Exec(ctx, `DELETE FROM attempt_pod_log WHERE node_run_id = ANY (
		SELECT substr(name, length('node_log:') + 1)::bigint FROM unnest($1::text[]) name WHERE name LIKE 'node\_log:%')`, names)
	if err != nil {
		return fmt.Errorf("remove pod logs: %w", err)
	}
	return nil
}

// goneDownloads lists streams of downloads that were deleted: $1 the age of their last
// event in seconds, $2 how many. Deleting takes the row and leaves the stream, with the
// announcement of it. Ids are looked up one by one; people make downloads, so they are few.
const goneDownloads = `SELECT s.name FROM download_job_id_seq q, generate_series(1, q.last_value) id
	JOIN event_stream s ON s.name = 'download_job:' || id
	WHERE NOT EXISTS (SELECT FROM download_job j WHERE j.id = id.id)
	  AND NOT EXISTS (SELECT FROM event e WHERE e.stream = s.name AND e.sequence = s.last_sequence AND e.emitted_at >= now() - make_interval(secs => $1))
	ORDER BY id.id LIMIT $2`

// goneDownloads removes streams that nobody can ask for any more, with their rows.
func (c *Cleaner) goneDownloads(ctx context.Context, age time.Duration) (removed int64, more bool, err error) {
	err = c.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		removed, more = 0, false
		rows, err := tx.Query(ctx, goneDownloads, age.Seconds(), c.batch)
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(names) == 0 {
			return err
		}
		more = true
		if removed, err = c.removeEvents(ctx, tx, names); err != nil || removed == int64(c.events) {
			return err // the rows go when their events are gone
		}
		_, err = tx.Exec(ctx, `DELETE FROM event_stream WHERE name = ANY ($1)`, names)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("remove events of deleted downloads: %w", err)
	}
	return removed, more, nil
}

func lockProgress(ctx context.Context, tx *postgres.Tx, what string) (point, error) {
	var p point
	_, err := tx.Exec(ctx, `INSERT INTO retention_progress (what, finished_at, id) VALUES ($1, 'epoch', 0) ON CONFLICT DO NOTHING`, what)
	if err == nil {
		err = tx.QueryRow(ctx, `SELECT finished_at, id FROM retention_progress WHERE what = $1 FOR UPDATE`, what).Scan(&p.finishedAt, &p.id)
	}
	return p, err
}

// next gives the streams of the next aggregates and the end of the last of these.
func (c *Cleaner) next(ctx context.Context, tx *postgres.Tx, list string, age time.Duration, from point) (to point, names []string, err error) {
	rows, err := tx.Query(ctx, list, age.Seconds(), from.finishedAt, from.id, c.batch)
	if err != nil {
		return to, nil, err
	}
	var of []string
	_, err = pgx.ForEachRow(rows, []any{&to.finishedAt, &to.id, &of}, func() error {
		names = append(names, of...)
		return nil
	})
	return to, names, err
}

// removeEvents removes events of the streams, as many as a transaction may, and
// notes where the streams begin now.
func (c *Cleaner) removeEvents(ctx context.Context, tx *postgres.Tx, names []string) (int64, error) {
	return c.removeEventsUpTo(ctx, tx, names, math.MaxInt64)
}

// removeEventsUpTo removes those below a number.
func (c *Cleaner) removeEventsUpTo(ctx context.Context, tx *postgres.Tx, names []string, end int64) (int64, error) {
	// The streams' rows are locked first, as whoever appends does it: these are final, but another round may be here too.
	_, err := tx.Exec(ctx, `SELECT FROM event_stream WHERE name = ANY ($1) ORDER BY name FOR UPDATE`, names)
	if err != nil {
		return 0, fmt.Errorf("lock streams: %w", err)
	}
	var removed int64
	var xid uint64
	err = tx.QueryRow(ctx, `
		WITH old AS (SELECT stream, sequence FROM event WHERE stream = ANY ($1) AND sequence < $3 ORDER BY stream, sequence LIMIT $2),
		gone AS (DELETE FROM event e USING old WHERE e.stream = old.stream AND e.sequence = old.sequence RETURNING e.stream, e.sequence, e.xid),
		cut AS (UPDATE event_stream s SET oldest_sequence = g.last + 1
		        FROM (SELECT stream, max(sequence) AS last FROM gone GROUP BY stream) g WHERE s.name = g.stream)
		SELECT count(*), coalesce(max(xid::text::numeric), 0)::bigint FROM gone`, names, c.events, end).Scan(&removed, &xid)
	if err != nil {
		return 0, fmt.Errorf("remove events: %w", err)
	}
	if removed == 0 {
		return 0, nil
	}
	return removed, c.removed(ctx, tx, xid)
}
