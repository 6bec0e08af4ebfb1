package run

import (
	"context"
	"fmt"
	"strings"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// MaxPodLog is how much of a pod's output is kept.
const MaxPodLog = 1 << 20

// PodLine is a piece of what a pod wrote.
type PodLine = dbsqlc.ListPodLogRow

// AppendPodLog keeps a piece of what a pod wrote, for people; also after the end of
// the attempt. What is beyond MaxPodLog is dropped, and the log says so. Error:
// ErrStale.
func (e *Engine) AppendPodLog(ctx context.Context, r Ref, text string) error {
	if text = clean(text); text == "" {
		return nil
	}
	return e.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		a, err := e.q.LockAttempt(ctx, tx, dbsqlc.LockAttemptParams{NodeRunID: r.NodeRunID, Number: r.Attempt})
		if postgres.NotFound(err) || (err == nil && a.WorkerProcessID != r.Worker) {
			return ErrStale
		}
		if err != nil {
			return fmt.Errorf("lock attempt of node run %d: %w", r.NodeRunID, err)
		}
		sum, err := e.q.SumPodLog(ctx, tx, dbsqlc.SumPodLogParams{NodeRunID: r.NodeRunID, Number: r.Attempt})
		if err != nil {
			return fmt.Errorf("measure pod log of node run %d: %w", r.NodeRunID, err)
		}
		if sum.Bytes >= MaxPodLog {
			return nil
		}
		if room := MaxPodLog - int(sum.Bytes); len(text) > room {
			text = strings.ToValidUTF8(text[:room], "") + "\n… the rest is not kept.\n"
		}
		err = e.q.InsertPodLog(ctx, tx, dbsqlc.InsertPodLogParams{NodeRunID: r.NodeRunID, Number: r.Attempt, Seq: sum.Seq + 1, Text: text})
		if err != nil {
			return fmt.Errorf("store pod log of node run %d: %w", r.NodeRunID, err)
		}
		return nil
	})
}

// PodLog reads what a pod wrote, after the given piece, at most so many pieces.
// Error: not_found.
func (e *Engine) PodLog(ctx context.Context, nodeRunID int64, attempt, after, limit int32) ([]PodLine, error) {
	_, err := e.q.GetAttempt(ctx, e.DB, dbsqlc.GetAttemptParams{NodeRunID: nodeRunID, Number: attempt})
	if postgres.NotFound(err) {
		return nil, errs.Ef(errs.NotFound, "node.attempt_not_found", "Node run %d has no attempt %d.", nodeRunID, attempt)
	}
	if err != nil {
		return nil, fmt.Errorf("load attempt %d of node run %d: %w", attempt, nodeRunID, err)
	}
	rows, err := e.q.ListPodLog(ctx, e.DB, dbsqlc.ListPodLogParams{NodeRunID: nodeRunID, Number: attempt, After: after, MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("read pod log of node run %d: %w", nodeRunID, err)
	}
	return rows, nil
}
