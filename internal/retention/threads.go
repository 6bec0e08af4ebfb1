package retention

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
)

// turnText is the streamed words of ended turns; the answers stay with their threads.
const turnText = `SELECT finished_at, id, ARRAY['turn:' || id] FROM turn
	WHERE finished_at < now() - make_interval(secs => $1) AND (finished_at, id) > ($2, $3)
	ORDER BY finished_at, id LIMIT $4`

// Streams of what was deleted: $1 the age of their last event in seconds, $2 how many.
// The rows are gone, so the streams are found by their names, of which there is an
// index.
const (
	goneThreadStreams = `SELECT s.name FROM event_stream s
		WHERE s.name > 'thread:' AND s.name < 'thread;' AND NOT EXISTS (SELECT FROM thread t WHERE t.id = substr(s.name, 8)::bigint)
		  AND NOT EXISTS (SELECT FROM event e WHERE e.stream = s.name AND e.sequence = s.last_sequence AND e.emitted_at >= now() - make_interval(secs => $1))
		ORDER BY s.name LIMIT $2`
	goneTurnStreams = `SELECT s.name FROM event_stream s
		WHERE s.name > 'turn:' AND s.name < 'turn;' AND NOT EXISTS (SELECT FROM turn t WHERE t.id = substr(s.name, 6)::bigint)
		  AND NOT EXISTS (SELECT FROM event e WHERE e.stream = s.name AND e.sequence = s.last_sequence AND e.emitted_at >= now() - make_interval(secs => $1))
		ORDER BY s.name LIMIT $2`
)

func (c *Cleaner) goneThreads(ctx context.Context, age time.Duration) (int64, bool, error) {
	return c.goneStreams(ctx, "threads", goneThreadStreams, age)
}

func (c *Cleaner) goneTurns(ctx context.Context, age time.Duration) (int64, bool, error) {
	return c.goneStreams(ctx, "turns", goneTurnStreams, age)
}

// goneStreams removes streams that nobody can ask for any more, with their rows.
func (c *Cleaner) goneStreams(ctx context.Context, what, list string, age time.Duration) (removed int64, more bool, err error) {
	err = c.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		removed, more = 0, false
		rows, err := tx.Query(ctx, list, age.Seconds(), c.batch)
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
		return 0, false, fmt.Errorf("remove events of deleted %s: %w", what, err)
	}
	return removed, more, nil
}

// goneTurnCalls removes the calls of turns that are gone with their threads.
func (c *Cleaner) goneTurnCalls(ctx context.Context, _ time.Duration) (removed int64, more bool, err error) {
	tag, err := c.db.Exec(ctx, `DELETE FROM tool_cycle WHERE owner_kind = 'turn' AND (owner_id, cycle) IN (
		SELECT y.owner_id, y.cycle FROM tool_cycle y
		WHERE y.owner_kind = 'turn' AND NOT EXISTS (SELECT FROM turn t WHERE t.id = y.owner_id) LIMIT $1)`, c.batch)
	if err != nil {
		return 0, false, fmt.Errorf("remove tool calls of deleted turns: %w", err)
	}
	return tag.RowsAffected(), tag.RowsAffected() == int64(c.batch), nil
}
