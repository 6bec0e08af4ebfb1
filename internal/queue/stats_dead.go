package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// What a dead item is: a node run that failed for good, or a job that River gave up
// because it could not be worked at all.
const (
	DeadNode = "node_run"
	DeadJob  = "job"
)

// DeadID names a dead item.
type DeadID struct {
	Kind string
	ID   int64
}

// String is the name as clients see it, for example node_run-55.
func (d DeadID) String() string { return d.Kind + "-" + strconv.FormatInt(d.ID, 10) }

// ParseDeadID reads a name that String gave. Errors: invalid (queue.dead_id).
func ParseDeadID(text string) (DeadID, error) {
	kind, number, _ := strings.Cut(text, "-")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil || id <= 0 || (kind != DeadNode && kind != DeadJob) {
		return DeadID{}, errs.Ef(errs.Invalid, "queue.dead_id", "%q names no dead item; the list gives names such as node_run-55 and job-7.", text)
	}
	return DeadID{kind, id}, nil
}

// DeadLetter is what will not be worked any more unless somebody asks for it.
type DeadLetter struct {
	DeadID
	Code      string // of the failure
	Message   string
	Attempts  int32
	Failures  int32
	Lost      int32
	EndedAt   time.Time
	Target    *Target
	RetriedBy *int64 // the newest run that is a retry of its run

	RetriedByNode *int64 // of a quick node: the newest node run that is a retry of it
}

// DeadQuery selects dead items.
type DeadQuery struct {
	Queue   string
	Code    string // of the failure; empty: any
	Kind    string // DeadNode or DeadJob; empty: both
	Pending bool   // only those that were not retried
	// Before is the last item of the page before; zero: the first page. Node runs come
	// first, then jobs, each newest first.
	Before DeadID
	Limit  int
}

const deadNodesSQL = `
SELECT n.id, coalesce(n.error->>'code', ''), coalesce(n.error->>'message', ''), n.attempt, n.failures, n.lost, n.finished_at, ` + nodeColumns + `,
       r.id, q.id
FROM node_run n LEFT JOIN flowchart f ON f.id = n.flowchart_id
LEFT JOIN LATERAL (SELECT max(id) id FROM flowchart_run WHERE retry_of = n.flowchart_run_id) r ON true
LEFT JOIN LATERAL (SELECT max(id) id FROM node_run WHERE n.flowchart_run_id IS NULL AND retry_of = n.id) q ON true
WHERE n.queue = $1 AND n.error IS NOT NULL AND n.status = 'failed' AND ($2::bigint = 0 OR n.id < $2) AND ($3::text = '' OR n.error->>'code' = $3)
  AND (NOT $4::boolean OR (r.id IS NULL AND q.id IS NULL)) AND ($5::bigint[] IS NULL OR n.id = ANY ($5))
ORDER BY n.id DESC LIMIT $6`

const deadJobsSQL = `
SELECT j.id, coalesce(j.errors[cardinality(j.errors)], '{}'), j.attempt::int, coalesce(j.finalized_at, j.created_at), ` + targetColumns + `
FROM (SELECT * FROM river_job WHERE state = 'discarded' AND queue = $1 AND ($2::bigint = 0 OR id < $2) AND ($3::bigint[] IS NULL OR id = ANY ($3))
      ORDER BY id DESC LIMIT $4) j ` + targetJoin + `
ORDER BY j.id DESC`

// CodeDiscarded is the failure of a job that River gave up.
const CodeDiscarded = "discarded"

// Dead lists dead items. Errors: not_found (queue.not_found).
func (b *Board) Dead(ctx context.Context, q DeadQuery) ([]DeadLetter, error) {
	return b.dead(ctx, q, nil)
}

// DeadByID gives those of the named items that are dead, in the order of Dead.
func (b *Board) DeadByID(ctx context.Context, queue string, ids []DeadID) ([]DeadLetter, error) {
	return b.dead(ctx, DeadQuery{Queue: queue, Limit: len(ids)}, ids)
}

// dead reads both kinds; only, if not nil, names those that are wanted.
func (b *Board) dead(ctx context.Context, q DeadQuery, only []DeadID) ([]DeadLetter, error) {
	if err := Known(q.Queue); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	var out []DeadLetter
	if q.Kind != DeadJob && q.Before.Kind != DeadJob {
		rows, err := b.db.Query(ctx, deadNodesSQL, q.Queue, q.Before.ID, q.Code, q.Pending, idsOf(only, DeadNode), q.Limit)
		if err == nil {
			out, err = pgx.CollectRows(rows, scanDeadNode)
		}
		if err != nil {
			return nil, fmt.Errorf("list failed node runs of %s: %w", q.Queue, err)
		}
	}
	if q.Kind == DeadNode || len(out) >= q.Limit || (q.Code != "" && q.Code != CodeDiscarded) {
		return out, nil
	}
	before := int64(0)
	if q.Before.Kind == DeadJob {
		before = q.Before.ID
	}
	rows, err := b.db.Query(ctx, deadJobsSQL, riverName(q.Queue), before, idsOf(only, DeadJob), q.Limit-len(out))
	if err != nil {
		return nil, fmt.Errorf("list discarded jobs of %s: %w", q.Queue, err)
	}
	jobs, err := pgx.CollectRows(rows, scanDeadJob)
	if err != nil {
		return nil, fmt.Errorf("list discarded jobs of %s: %w", q.Queue, err)
	}
	return append(out, jobs...), nil
}

// idsOf gives the ids of a kind; nil when nothing is named at all.
func idsOf(only []DeadID, kind string) []int64 {
	if only == nil {
		return nil
	}
	out := []int64{}
	for _, d := range only {
		if d.Kind == kind {
			out = append(out, d.ID)
		}
	}
	return out
}

func scanDeadNode(row pgx.CollectableRow) (DeadLetter, error) {
	d, t := DeadLetter{DeadID: DeadID{Kind: DeadNode}}, Target{}
	err := row.Scan(&d.ID, &d.Code, &d.Message, &d.Attempts, &d.Failures, &d.Lost, &d.EndedAt,
		&t.Kind, &t.ID, &t.FlowchartRunID, &t.FlowchartID, &t.FlowchartName, &t.NodeKind, &t.Title, &t.Status, &d.RetriedBy, &d.RetriedByNode)
	d.Target = &t
	return d, err
}

func scanDeadJob(row pgx.CollectableRow) (DeadLetter, error) {
	d, t := DeadLetter{DeadID: DeadID{Kind: DeadJob}, Code: CodeDiscarded}, Target{}
	var id *int64
	var last json.RawMessage
	if err := row.Scan(&d.ID, &last, &d.Attempts, &d.EndedAt,
		&t.Kind, &id, &t.FlowchartRunID, &t.FlowchartID, &t.FlowchartName, &t.NodeKind, &t.Title, &t.Status); err != nil {
		return d, err
	}
	if id != nil {
		t.ID = *id
		d.Target = &t
	}
	var failure struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(last, &failure); err != nil {
		return d, fmt.Errorf("read the error of job %d: %w", d.ID, err)
	}
	d.Message = failure.Error
	if d.Message == "" {
		d.Message = "No worker could work this job."
	}
	return d, nil
}

// RetryJob makes a discarded job available again. Errors: conflict
// (queue.nothing_to_retry) if what it points at has ended or is gone.
func (b *Board) RetryJob(ctx context.Context, tx *postgres.Tx, d *DeadLetter) error {
	if d.Target == nil || d.Target.Status != "queued" {
		return errs.Ef(errs.Conflict, "queue.nothing_to_retry", "Job %d points at nothing that waits to be worked.", d.ID)
	}
	if _, err := b.client.river.JobRetryTx(ctx, tx.Tx, d.ID); err != nil {
		return fmt.Errorf("retry job %d: %w", d.ID, err)
	}
	tx.AfterCommit(b.forget)
	return nil
}

// RetriedBy locks a run and gives the newest run that is a retry of it, if any: who
// retries it next sees that.
func (b *Board) RetriedBy(ctx context.Context, tx *postgres.Tx, runID int64) (*int64, error) {
	var by *int64
	if _, err := tx.Exec(ctx, `SELECT FROM flowchart_run WHERE id = $1 FOR UPDATE`, runID); err != nil {
		return nil, fmt.Errorf("lock run %d: %w", runID, err)
	}
	if err := tx.QueryRow(ctx, `SELECT max(id) FROM flowchart_run WHERE retry_of = $1`, runID).Scan(&by); err != nil {
		return nil, fmt.Errorf("look for retries of run %d: %w", runID, err)
	}
	return by, nil
}

// NodeRetriedBy is RetriedBy for a quick node: the newest node run that is a retry of it.
func (b *Board) NodeRetriedBy(ctx context.Context, tx *postgres.Tx, nodeRunID int64) (*int64, error) {
	var by *int64
	if _, err := tx.Exec(ctx, `SELECT FROM node_run WHERE id = $1 FOR UPDATE`, nodeRunID); err != nil {
		return nil, fmt.Errorf("lock node run %d: %w", nodeRunID, err)
	}
	if err := tx.QueryRow(ctx, `SELECT max(id) FROM node_run WHERE retry_of = $1`, nodeRunID).Scan(&by); err != nil {
		return nil, fmt.Errorf("look for retries of node run %d: %w", nodeRunID, err)
	}
	return by, nil
}
