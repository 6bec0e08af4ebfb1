package node

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/trace"

	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/tracing"
)

// spanOf is the span of a claimed attempt: what is done for it hangs under that. The
// span itself is made by whoever commits the attempt's end, so that an attempt whose
// worker dies has one as well.
func spanOf(c *run.Claim) string {
	return tracing.AttemptSpan(c.NodeRun.Traceparent, c.NodeRun.ID, c.Attempt)
}

func (r *Runner) prepare(ctx context.Context, claim *run.Claim) (run.Work, *run.Failure, error) {
	ctx, span := tracing.Start(ctx, tracing.SpanPrepare, trace.SpanKindInternal)
	var work run.Work
	var failure *run.Failure
	err := persist(ctx, r.o.Logger, "load a node's inputs", func() (err error) {
		work, failure, err = r.o.Engine.Prepare(ctx, claim)
		return err
	})
	if failure != nil {
		tracing.End(span, errors.New(failure.Message))
	} else {
		tracing.End(span, err)
	}
	return work, failure, err
}

func (r *Runner) finishOnce(ctx context.Context, c *run.Claim, res run.Result, o run.FinishOptions) (*run.Claim, error) {
	ctx, span := tracing.Start(ctx, tracing.SpanCommit, trace.SpanKindInternal)
	next, err := r.o.Engine.Finish(ctx, c.NodeRun.ID, c.Attempt, res, o)
	tracing.End(span, err)
	return next, err
}
