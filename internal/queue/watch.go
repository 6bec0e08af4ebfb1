package queue

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
)

// watch is the common watch of all processes over the beats of the workers.
type watch struct {
	db *postgres.DB
	me uuid.UUID // of this process in the watch
}

// pollSQL is one look at all counters, in one statement: whoever is frozen in the
// middle of it holds nothing. Times are the database's. The row of the watch is locked
// first, so looks follow each other.
//
// $1 who looks, $2 the longest pause between two looks of an unbroken watch, $3 how
// long a counter must stand still, $4 how long a turn to sweep lasts (seconds).
const pollSQL = `
WITH look AS (
	UPDATE liveness_watch SET
		unbroken_since = CASE WHEN now() - polled_at > make_interval(secs => $2) THEN now() ELSE unbroken_since END,
		polled_at      = greatest(polled_at, now()),
		sweeper        = CASE WHEN sweeper_until < now() THEN $1 ELSE sweeper END,
		sweeper_until  = CASE WHEN sweeper_until < now() OR sweeper = $1 THEN now() + make_interval(secs => $4) ELSE sweeper_until END
	RETURNING unbroken_since, coalesce(sweeper = $1, false) AS mine
), seen AS (
	UPDATE worker_process SET watched_beat = beat, watched_since = now()
	FROM look WHERE stopped_at IS NULL AND tombstone_at IS NULL AND watched_beat IS DISTINCT FROM beat
	RETURNING id
)
SELECT look.mine, coalesce(w.id, '00000000-0000-0000-0000-000000000000'), coalesce(w.beat, 0)
FROM look LEFT JOIN worker_process w
	ON w.stopped_at IS NULL AND w.tombstone_at IS NULL AND w.watched_beat = w.beat
	AND greatest(w.watched_since, look.unbroken_since) <= now() - make_interval(secs => $3)`

// look gives the workers that are dead, and whether this process is to sweep for all.
func (w *watch) look(ctx context.Context) (dead []beat, mine bool, err error) {
	rows, err := w.db.Query(ctx, pollSQL, w.me, watchGap.Seconds(), deadAfter.Seconds(), turn.Seconds())
	if err != nil {
		return nil, false, fmt.Errorf("poll beats: %w", err)
	}
	var b beat
	_, err = pgx.ForEachRow(rows, []any{&mine, &b.ID, &b.Count}, func() error {
		if b.ID != uuid.Nil {
			dead = append(dead, b)
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("poll beats: %w", err)
	}
	return dead, mine, nil
}

// beat is a worker and where its counter stands.
type beat struct {
	ID    uuid.UUID
	Count int64
}
