package httpapi

import (
	"context"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/run"
)

// retryDeadInput says what to retry. Each item is a transaction of its own, so a request
// has a limit.
type retryDeadInput struct {
	QueueInput
	Body struct {
		IDs    []string `json:"ids,omitempty" maxItems:"100" doc:"Which items; without: those that the filter selects"`
		Filter *struct {
			Code string `json:"code,omitempty" maxLength:"100" doc:"Only failures with this code"`
		} `json:"filter,omitempty"`
		Limit int `json:"limit,omitempty" minimum:"1" maximum:"100" default:"100" doc:"How many at most when a filter selects"`
	}
}

// The outcomes of a retry.
const (
	retried        = "retried"
	alreadyRetried = "already_retried"
	refused        = "refused"
)

type retriedView struct {
	ID             string `json:"id"`
	Outcome        string `json:"outcome" enum:"retried,already_retried,refused"`
	FlowchartRunID *int64 `json:"flowchart_run_id" doc:"The new run, or the one that was there already"`
	NodeRunID      *int64 `json:"node_run_id" doc:"Of a quick node, which has no run: likewise the node run"`
	Reason         string `json:"reason" doc:"Of a refusal, a stable dotted word"`
	Message        string `json:"message" doc:"Of a refusal"`
}

type retryDeadOutput struct {
	Body struct {
		Items          []retriedView `json:"items"`
		Retried        int           `json:"retried"`
		AlreadyRetried int           `json:"already_retried"`
		Refused        int           `json:"refused"`
		More           bool          `json:"more" doc:"The filter selects more than were retried: ask again"`
	}
}

// retryDead retries items one by one: one that cannot be retried keeps back no other.
func (s *server) retryDead(ctx context.Context, in *retryDeadInput) (*retryDeadOutput, error) {
	if (len(in.Body.IDs) == 0) == (in.Body.Filter == nil) {
		return nil, errs.E(errs.Invalid, "queue.retry_what", "Say what to retry: either ids or a filter.",
			errs.Detail{Location: "body", Message: `give "ids": ["node_run-55"] or "filter": {}`})
	}
	out := &retryDeadOutput{}
	items, err := s.deadToRetry(ctx, in, out)
	if err != nil {
		return nil, err
	}
	for i := range items {
		out.add(s.retryOne(ctx, &items[i]))
	}
	err = s.deps.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		return auth.Audit(ctx, tx, auth.AuditEntry{
			UserID: user(ctx).UserID, Action: "queue.dead_retried", EntityKind: "queue", EntityID: in.Name,
			Detail: map[string]any{"retried": out.Body.Retried, "already_retried": out.Body.AlreadyRetried, "refused": out.Body.Refused},
		})
	})
	return out, err
}

// deadToRetry finds what is asked for; of names that are not dead it tells so in out.
func (s *server) deadToRetry(ctx context.Context, in *retryDeadInput, out *retryDeadOutput) ([]queue.DeadLetter, error) {
	out.Body.Items = []retriedView{}
	if f := in.Body.Filter; f != nil {
		items, err := s.deps.Queues.Dead(ctx, queue.DeadQuery{Queue: in.Name, Code: f.Code, Pending: true, Limit: in.Body.Limit + 1})
		if out.Body.More = len(items) > in.Body.Limit; out.Body.More {
			items = items[:in.Body.Limit]
		}
		return items, err
	}
	ids := make([]queue.DeadID, len(in.Body.IDs))
	for i, text := range in.Body.IDs {
		var err error
		if ids[i], err = queue.ParseDeadID(text); err != nil {
			return nil, err
		}
	}
	items, err := s.deps.Queues.DeadByID(ctx, in.Name, ids)
	if err != nil {
		return nil, err
	}
	there := map[queue.DeadID]bool{}
	for _, d := range items {
		there[d.DeadID] = true
	}
	for _, id := range ids {
		if !there[id] {
			out.add(retriedView{
				ID: id.String(), Outcome: refused, Reason: "queue.not_dead",
				Message: "There is no dead item of this name in the queue " + in.Name + ".",
			})
		}
	}
	return items, nil
}

func (o *retryDeadOutput) add(v retriedView) {
	o.Body.Items = append(o.Body.Items, v)
	switch v.Outcome {
	case retried:
		o.Body.Retried++
	case alreadyRetried:
		o.Body.AlreadyRetried++
	default:
		o.Body.Refused++
	}
}

// retryOne goes through the domain: the run of a node run is retried from there, and a
// quick node by itself.
func (s *server) retryOne(ctx context.Context, d *queue.DeadLetter) retriedView {
	var v retriedView
	err := s.deps.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		v = retriedView{Outcome: retried}
		switch {
		case d.Kind == queue.DeadJob:
			return s.deps.Queues.RetryJob(ctx, tx, d)
		case d.Target.FlowchartRunID == nil:
			return s.retryDeadQuick(ctx, tx, d.ID, &v)
		}
		return s.retryDeadRun(ctx, tx, d, &v)
	})
	if err != nil {
		e := errs.As(err)
		v = retriedView{Outcome: refused, Reason: e.Reason, Message: e.Message}
		if e.Code == errs.Internal {
			noteError(ctx, err)
		}
	}
	v.ID = d.String()
	return v
}

func (s *server) retryDeadRun(ctx context.Context, tx *postgres.Tx, d *queue.DeadLetter, v *retriedView) error {
	by, err := s.deps.Queues.RetriedBy(ctx, tx, *d.Target.FlowchartRunID)
	if err != nil {
		return err
	}
	if by != nil {
		v.Outcome, v.FlowchartRunID = alreadyRetried, by
		return nil
	}
	did, err := s.deps.Engine.RetryNode(ctx, tx, d.ID, run.RetryRequest{StartRequest: s.startRequest(ctx, run.StartRequest{})})
	if err != nil {
		return err
	}
	v.FlowchartRunID = &did.Run.ID
	return s.audit(ctx, tx, "run.retried", "flowchart_run", did.Run.ID)
}

func (s *server) retryDeadQuick(ctx context.Context, tx *postgres.Tx, nodeRunID int64, v *retriedView) error {
	by, err := s.deps.Queues.NodeRetriedBy(ctx, tx, nodeRunID)
	if err != nil {
		return err
	}
	if by != nil {
		v.Outcome, v.NodeRunID = alreadyRetried, by
		return nil
	}
	did, err := s.deps.Engine.RetryNode(ctx, tx, nodeRunID, run.RetryRequest{StartRequest: s.startRequest(ctx, run.StartRequest{})})
	if err != nil {
		return err
	}
	v.NodeRunID = &did.NodeRun.ID
	return s.audit(ctx, tx, "node.retried", "task", did.NodeRun.ID)
}
