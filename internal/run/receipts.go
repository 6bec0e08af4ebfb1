package run

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// How an order to stop ended.
const (
	HowStopped       = "stopped"            // the holder ended what ran and said so
	HowFinishedFirst = "finished first"     // it had ended by itself before the order came
	HowNeverBegan    = "never began"        // nobody held it
	HowForced        = "forced after grace" // the holder lives but did not confirm; what it started may go on
	HowWorkerDied    = "worker died"        // the holder is gone, and with it what it ran
)

// maxReceipts bounds the receipts of one answer.
const maxReceipts = 200

// Receipt says what one node run was asked and what came of it.
type Receipt struct {
	NodeRunID       int64          `json:"node_run_id"`
	FlowchartNodeID string         `json:"flowchart_node_id"`
	Title           string         `json:"title"`
	Attempt         int32          `json:"attempt" doc:"0: no attempt was running"`
	Worker          *ReceiptWorker `json:"worker" doc:"Who held it; null: nobody"`
	Executor        string         `json:"executor"`
	AskedAt         time.Time      `json:"asked_at"`
	ConfirmedAt     *time.Time     `json:"confirmed_at" doc:"null: not yet"`
	How             *string        `json:"how" enum:"stopped,finished first,never began,forced after grace,worker died" doc:"null: not yet confirmed"`
}

// ReceiptWorker is the worker process that was asked.
type ReceiptWorker struct {
	ID       string `json:"id"`
	Hostname string `json:"hostname"`
	PID      int32  `json:"pid"`
}

// Cancellation is what was asked to stop in a run.
type Cancellation struct {
	AskedAt   *time.Time `json:"asked_at" doc:"When the run as a whole was; null: only single nodes"`
	Asked     int        `json:"asked" doc:"All of them, also beyond the receipts"`
	Confirmed int        `json:"confirmed" doc:"Likewise"`
	Receipts  []Receipt  `json:"receipts" doc:"At most 200, by node run"`
}

// Cancellation tells what was asked to stop in a run and what has confirmed; nil
// if nothing was.
func (e *Engine) Cancellation(ctx context.Context, q postgres.Querier, r *Run) (*Cancellation, error) {
	rows, err := e.q.ListCancellations(ctx, q, dbsqlc.ListCancellationsParams{FlowchartRunID: &r.ID, MaxRows: maxReceipts})
	if err != nil {
		return nil, fmt.Errorf("list cancellations of run %d: %w", r.ID, err)
	}
	if len(rows) == 0 && r.CancelRequestedAt == nil {
		return nil, nil //nolint:nilnil // nothing was asked
	}
	out := &Cancellation{AskedAt: r.CancelRequestedAt, Receipts: make([]Receipt, len(rows))}
	for i := range rows {
		out.Receipts[i] = receiptOf(&rows[i])
		out.Asked, out.Confirmed = int(rows[i].Asked), int(rows[i].Confirmed)
	}
	return out, nil
}

// Receipt gives the newest receipt of a node run; nil if it was not asked.
func (e *Engine) Receipt(ctx context.Context, q postgres.Querier, n *NodeRun) (*Receipt, error) {
	row, err := e.q.GetCancellation(ctx, q, n.ID)
	if postgres.NotFound(err) {
		return nil, nil //nolint:nilnil // it was not asked
	}
	if err != nil {
		return nil, fmt.Errorf("read the cancellation of node run %d: %w", n.ID, err)
	}
	r := receiptOf(new(dbsqlc.ListCancellationsRow(row)))
	return &r, nil
}

func receiptOf(row *dbsqlc.ListCancellationsRow) Receipt {
	r := Receipt{NodeRunID: row.NodeRunID, FlowchartNodeID: row.FlowchartNodeID, Title: row.Title}
	if row.NodeAskedAt != nil {
		r.AskedAt = *row.NodeAskedAt
	}
	if row.Number == nil || row.CancelRequestedAt == nil { // nobody held it
		how := HowNeverBegan
		r.ConfirmedAt, r.How = row.NodeFinishedAt, &how
		return r
	}
	r.Attempt, r.AskedAt, r.ConfirmedAt = *row.Number, *row.CancelRequestedAt, row.FinishedAt
	if row.Executor != nil {
		r.Executor = *row.Executor
	}
	if row.WorkerID != nil && row.Hostname != nil && row.Pid != nil {
		r.Worker = &ReceiptWorker{ID: row.WorkerID.String(), Hostname: *row.Hostname, PID: *row.Pid}
	}
	if row.FinishedAt != nil && row.Status != nil {
		how := howEnded(*row.Status, codeOf(row.Error))
		r.How = &how
	}
	return r
}

// howEnded reads the end of an attempt that had an order to stop.
func howEnded(status Status, code string) string {
	switch {
	case status == Lost && code != CodeHandedOver:
		return HowWorkerDied
	case status == Cancelled && code == CodeUnconfirmed:
		return HowForced
	case status == Cancelled, status == Lost:
		return HowStopped
	default:
		return HowFinishedFirst
	}
}

// codeOf is the code of a stored failure.
func codeOf(raw json.RawMessage) string {
	var f Failure
	if raw == nil || json.Unmarshal(raw, &f) != nil {
		return ""
	}
	return f.Code
}

// announceStop is announceNode for a change that an order to stop may have
// caused; the event then has the receipt.
func (c *nodeTx) announceStop(ctx context.Context, n *NodeRun, transition string) error {
	p := PayloadOf(n, transition)
	if n.CancelRequestedAt != nil {
		var err error
		if p.Cancellation, err = c.e.Receipt(ctx, c.tx, n); err != nil {
			return err
		}
	}
	return c.e.announce(c.tx, n, nil, p)
}
