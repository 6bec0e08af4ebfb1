package queue

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Turns are the figures of the turns of threads. They travel on a queue of their own that
// nobody chooses or pauses, with slots of their own beside those of nodes, so they are
// told apart from the public queues.
type Turns struct {
	Waiting      int        // could be worked now
	WaitingSince *time.Time // since when the oldest of them could
	Behind       int        // wait for an earlier turn of their thread
	Later        int        // are tried again at a time to come
	Approval     int        // wait for a person, and hold no worker
	Running      int
	Consumers    int // live workers that take turns
	Stats        Stats
}

// turnsSQL counts along the partial indexes of unfinished turns.
const turnsSQL = `
SELECT count(*) FILTER (WHERE status = 'queued' AND first AND run_after <= now())::int,
       min(run_after) FILTER (WHERE status = 'queued' AND first AND run_after <= now()),
       count(*) FILTER (WHERE status = 'queued' AND NOT first)::int,
       count(*) FILTER (WHERE status = 'queued' AND first AND run_after > now())::int,
       count(*) FILTER (WHERE status = 'waiting')::int,
       count(*) FILTER (WHERE status IN ('running', 'cancelling'))::int
FROM (SELECT status, run_after, id = min(id) OVER (PARTITION BY thread_id) AS first FROM turn WHERE finished_at IS NULL LIMIT $1) t`

func (s *Snapshot) readTurns(row pgx.Row) error {
	t := &s.Turns
	if err := row.Scan(&t.Waiting, &t.WaitingSince, &t.Behind, &t.Later, &t.Approval, &t.Running); err != nil {
		return fmt.Errorf("count turns: %w", err)
	}
	t.Stats.Name = Chat
	return nil
}
