package run

import (
	"context"
	"fmt"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Progress is how far a run is, without what its nodes read or wrote.
type Progress struct {
	Status   Status
	Finished int64 // node runs that have ended
	Open     int64 // node runs that are under way or wait
}

// Ended reports whether the run has its final status.
func (p Progress) Ended() bool {
	return p.Status == Succeeded || p.Status == Failed || p.Status == Cancelled
}

// Progress tells how far a run is; it is cheap enough to ask often. Error: not_found.
func (e *Engine) Progress(ctx context.Context, id int64) (Progress, error) {
	var p Progress
	err := e.DB.QueryRow(ctx, `SELECT r.status, count(n.id) FILTER (WHERE n.finished_at IS NOT NULL), count(n.id) FILTER (WHERE n.finished_at IS NULL)
		FROM flowchart_run r LEFT JOIN node_run n ON n.flowchart_run_id = r.id WHERE r.id = $1 GROUP BY r.status`, id).
		Scan(&p.Status, &p.Finished, &p.Open)
	if postgres.NotFound(err) {
		return p, errs.Ef(errs.NotFound, "run.not_found", "There is no run %d.", id)
	}
	if err != nil {
		return p, fmt.Errorf("look how far run %d is: %w", id, err)
	}
	return p, nil
}

// Summary is a run's row alone; a large output is not loaded, see OpenRunOutput.
// Error: not_found.
func (e *Engine) Summary(ctx context.Context, id int64) (Run, error) {
	r, err := e.q.GetRun(ctx, e.DB, id)
	if postgres.NotFound(err) {
		return r, errs.Ef(errs.NotFound, "run.not_found", "There is no run %d.", id)
	}
	if err != nil {
		return r, fmt.Errorf("load run %d: %w", id, err)
	}
	return r, nil
}
