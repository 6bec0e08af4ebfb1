package retention

import (
	"context"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/postgres"
)

// A source lives on while its index runs come and go, so its stream is not final: its old
// end is removed and the rest stays, numbers and all. Sources are some hundred at most, so
// each is looked at: whether the oldest event of its stream is old.
const oldSourceStreams = `SELECT st.name FROM rag_source s JOIN event_stream st ON st.name = 'rag_source:' || s.id
	JOIN event e ON e.stream = st.name AND e.sequence = st.oldest_sequence
	WHERE e.emitted_at < now() - make_interval(secs => $1) ORDER BY s.id LIMIT 1`

// goneSourceStreams is as goneThreadStreams.
const goneSourceStreams = `SELECT s.name FROM event_stream s
	WHERE s.name > 'rag_source:' AND s.name < 'rag_source;' AND NOT EXISTS (SELECT FROM rag_source r WHERE r.id = substr(s.name, 12)::bigint)
	  AND NOT EXISTS (SELECT FROM event e WHERE e.stream = s.name AND e.sequence = s.last_sequence AND e.emitted_at >= now() - make_interval(secs => $1))
	ORDER BY s.name LIMIT $2`

func (c *Cleaner) goneSources(ctx context.Context, age time.Duration) (int64, bool, error) {
	return c.goneStreams(ctx, "sources", goneSourceStreams, age)
}

// sourceEvents removes the old end of one source's stream. Whoever appends to it waits
// for the lock meanwhile, so it is one stream a transaction, and not many events.
func (c *Cleaner) sourceEvents(ctx context.Context, age time.Duration) (removed int64, more bool, err error) {
	err = c.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		removed, more = 0, false
		var name string
		err := tx.QueryRow(ctx, oldSourceStreams, age.Seconds()).Scan(&name)
		if postgres.NotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		more = true
		end, err := c.firstYoung(ctx, tx, name, age)
		if err != nil {
			return err
		}
		removed, err = c.removeEventsUpTo(ctx, tx, []string{name}, end)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("remove events of sources: %w", err)
	}
	return removed, more, nil
}

// firstYoung gives the number of the first event of a stream that is not old, or the one
// after as many as a transaction may remove.
func (c *Cleaner) firstYoung(ctx context.Context, tx *postgres.Tx, name string, age time.Duration) (int64, error) {
	var number int64
	err := tx.QueryRow(ctx, `WITH head AS (SELECT sequence, emitted_at < now() - make_interval(secs => $2) AS old FROM event
			WHERE stream = $1 ORDER BY sequence LIMIT $3)
		SELECT coalesce(min(sequence) FILTER (WHERE NOT old), max(sequence) + 1, 0) FROM head`, name, age.Seconds(), c.events).Scan(&number)
	if err != nil {
		return 0, fmt.Errorf("look for old events of %s: %w", name, err)
	}
	return number, nil
}
