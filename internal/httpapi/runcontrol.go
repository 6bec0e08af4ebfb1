package httpapi

import (
	"context"
	"net/http"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

type retryInput struct {
	IDInput
	IdempotencyKey string     `header:"Idempotency-Key"`
	Body           *retryBody // none: everything anew
}

type retryBody struct {
	FromNodeRunID int64 `json:"from_node_run_id,omitempty" minimum:"1" doc:"Begin at this node run and reuse the results of what was before and beside it; absent: everything anew"`
	Version       int32 `json:"version,omitempty" minimum:"1" doc:"The run's own version (the default) or a newer one; what would be reused must be the same in it"`
}

type retryNodeInput struct {
	IDInput
	IdempotencyKey string `header:"Idempotency-Key"`
	Body           *retryNodeBody
}

type retryNodeBody struct {
	Version int32 `json:"version,omitempty" minimum:"1" doc:"The run's own version (the default) or a newer one"`
}

// retriedNodeOutput has the run, or of a quick node the task.
type retriedNodeOutput struct {
	Body struct {
		FlowchartRun *run.View       `json:"flowchart_run,omitempty" doc:"The new run; absent: it was a quick node"`
		Task         *listedNodeView `json:"task,omitempty" doc:"The new node run of a quick node"`
	}
}

type nodeControlOutput struct {
	Body struct {
		Task         listedNodeView `json:"task"`
		Cancellation *run.Receipt   `json:"cancellation" doc:"What was asked of whom, and whether it has confirmed"`
	}
}

func (s *server) registerRunControl() {
	handle(s, route{
		method: http.MethodPost, path: "/flowchart-runs/{id}/cancel", id: "cancel-run", tag: "runs", permission: auth.Write, audit: true,
		summary: "Ask a run to stop; it is cancelling until everything that runs has confirmed", status: http.StatusAccepted,
	}, s.controlRun("run.cancelled", s.deps.Engine.CancelTx))
	handle(s, route{
		method: http.MethodPost, path: "/flowchart-runs/{id}/pause", id: "pause-run", tag: "runs", permission: auth.Write, audit: true,
		summary: "Hold a run between its nodes: what runs ends by itself, nothing else begins", status: http.StatusAccepted,
	}, s.controlRun("run.paused", s.deps.Engine.PauseTx))
	handle(s, route{
		method: http.MethodPost, path: "/flowchart-runs/{id}/resume", id: "resume-run", tag: "runs", permission: auth.Write, audit: true,
		summary: "Let a paused run go on", status: http.StatusAccepted,
	}, s.controlRun("run.resumed", s.deps.Engine.ResumeTx))
	handle(s, route{
		method: http.MethodPost, path: "/flowchart-runs/{id}/retry", id: "retry-run", tag: "runs", permission: auth.Write,
		audit: true, idempotent: true, summary: "Run again on the same input: a new run, from the start or from one of its node runs", status: http.StatusAccepted,
	}, s.retryRun)
	handle(s, route{
		method: http.MethodPost, path: "/nodes/{id}/cancel", id: "cancel-node", tag: "nodes", permission: auth.Write, audit: true,
		summary: "Ask one node run to stop; its run, if it has one, goes on without it, as if none of its edges had been taken", status: http.StatusAccepted,
	}, s.cancelNode)
	handle(s, route{
		method: http.MethodPost, path: "/nodes/{id}/retry", id: "retry-node", tag: "nodes", permission: auth.Write,
		audit: true, idempotent: true, summary: "Run the node run's run again from it: a new run that reuses what was before; of a quick node: that node once more", status: http.StatusAccepted,
	}, s.retryNode)
}

// controlRun is the operation of a change to a run that needs nothing but its id.
// The answer says what was asked of whom, if anything was.
func (s *server) controlRun(
	action string, f func(ctx context.Context, tx *postgres.Tx, runID int64) (run.Run, error),
) func(ctx context.Context, in *IDInput) (*runOutput, error) {
	return func(ctx context.Context, in *IDInput) (*runOutput, error) {
		return change(ctx, s, action, "flowchart_run", in.ID, func(ctx context.Context, tx *postgres.Tx) (*runOutput, error) {
			r, err := f(ctx, tx, in.ID)
			if err != nil {
				return nil, err
			}
			out := runOut(r)
			out.Body.FlowchartRun.Cancellation, err = s.deps.Engine.Cancellation(ctx, tx, &r)
			return out, err
		})
	}
}

func (s *server) retryRun(ctx context.Context, in *retryInput) (*runOutput, error) {
	var want retryBody
	if in.Body != nil {
		want = *in.Body
	}
	return idempotent(ctx, s, "retry-run", in.IdempotencyKey, []any{in.ID, want}, func(ctx context.Context, tx *postgres.Tx) (*runOutput, error) {
		r, err := s.deps.Engine.Retry(ctx, tx, in.ID, run.RetryRequest{
			From: want.FromNodeRunID, Version: want.Version, StartRequest: s.startRequest(ctx, run.StartRequest{}),
		})
		if err != nil {
			return nil, err
		}
		return runOut(r), s.audit(ctx, tx, "run.retried", "flowchart_run", r.ID)
	})
}

func (s *server) retryNode(ctx context.Context, in *retryNodeInput) (*retriedNodeOutput, error) {
	var want retryNodeBody
	if in.Body != nil {
		want = *in.Body
	}
	return idempotent(ctx, s, "retry-node", in.IdempotencyKey, []any{in.ID, want}, func(ctx context.Context, tx *postgres.Tx) (*retriedNodeOutput, error) {
		did, err := s.deps.Engine.RetryNode(ctx, tx, in.ID, run.RetryRequest{
			Version: want.Version, StartRequest: s.startRequest(ctx, run.StartRequest{}),
		})
		if err != nil {
			return nil, err
		}
		out := &retriedNodeOutput{}
		if did.Run == nil {
			out.Body.Task = new(viewListedNode(*did.NodeRun))
			return out, s.audit(ctx, tx, "node.retried", "task", did.NodeRun.ID)
		}
		out.Body.FlowchartRun = new(run.ViewOf(did.Run))
		return out, s.audit(ctx, tx, "run.retried", "flowchart_run", did.Run.ID)
	})
}

func (s *server) cancelNode(ctx context.Context, in *IDInput) (*nodeControlOutput, error) {
	return change(ctx, s, "node.cancelled", "task", in.ID, func(ctx context.Context, tx *postgres.Tx) (*nodeControlOutput, error) {
		n, err := s.deps.Engine.CancelNodeTx(ctx, tx, in.ID)
		if err != nil {
			return nil, err
		}
		out := &nodeControlOutput{}
		out.Body.Task = viewListedNode(n)
		out.Body.Cancellation, err = s.deps.Engine.Receipt(ctx, tx, &n)
		return out, err
	})
}
