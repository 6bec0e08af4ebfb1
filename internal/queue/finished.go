package queue

import (
	"context"
	"fmt"
)

// finishedBatch bounds what one statement deletes.
const finishedBatch = 5000

// RemoveFinished deletes jobs that ended long ago; it gives how many. The queue
// library's leader does that sooner, where there is one: this is for installations
// whose workers are all away.
func (c *Client) RemoveFinished(ctx context.Context) (int64, error) {
	var total int64
	for {
		tag, err := c.o.DB.Exec(ctx, `DELETE FROM river_job WHERE id IN (
			SELECT id FROM river_job
			WHERE (state = 'completed' AND finalized_at < now() - interval '2 hours')
			   OR (state = 'cancelled' AND finalized_at < now() - interval '25 hours')
			   OR (state = 'discarded' AND finalized_at < now() - interval '8 days')
			ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)`, finishedBatch)
		if err != nil {
			return total, fmt.Errorf("remove finished jobs: %w", err)
		}
		total += tag.RowsAffected()
		if tag.RowsAffected() < finishedBatch {
			return total, nil
		}
	}
}
