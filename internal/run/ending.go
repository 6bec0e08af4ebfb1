package run

import (
	"context"
	"fmt"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// ending is the end of an attempt, prepared before the run is locked: what is
// large is stored, and what decisions will read is loaded.
type ending struct {
	res       Result
	output    Output
	artifacts []storedArtifact
	outputs   *outputs
}

func (e *Engine) prepareEnd(ctx context.Context, n *dbsqlc.GetNodeRunToEndRow, res Result) (*ending, error) {
	end := &ending{res: res, outputs: newOutputs()}
	var err error
	if end.artifacts, err = e.storeArtifacts(ctx, res.Artifacts); err != nil {
		return nil, err
	}
	end.res.Artifacts = nil
	if res.Status != Succeeded && res.Status != Degraded {
		return end, nil
	}
	if why := storable(res.Output); why != "" {
		end.fail(Failure{Code: "output", Message: why})
		return end, nil
	}
	end.output, err = e.keepOutput(ctx, e.DB, res.Output)
	if errs.Is(err, errs.TooLarge) {
		end.fail(Failure{Code: "too_large", Message: errs.As(err).Message})
		return end, nil
	}
	if err != nil {
		return nil, err
	}
	end.outputs.refs[n.ID] = end.output
	if n.FlowchartRunID == nil {
		return end, nil
	}
	return end, e.prepareDecisions(ctx, end, n)
}

// fail makes a failure of an attempt whose output cannot be kept.
func (end *ending) fail(f Failure) {
	end.res = Result{
		Status: Failed, Error: &f, Stages: end.res.Stages, InputContext: end.res.InputContext, CurrentStage: end.res.CurrentStage,
		Usage: end.res.Usage, StartedAt: end.res.StartedAt, FirstTokenAt: end.res.FirstTokenAt,
		DispatchStatus: end.res.DispatchStatus, ProviderDispatchID: end.res.ProviderDispatchID,
	}
}

func (e *Engine) prepareDecisions(ctx context.Context, end *ending, n *dbsqlc.GetNodeRunToEndRow) error {
	if n.FlowchartVersionID == nil {
		return fmt.Errorf("run %d has no version", *n.FlowchartRunID)
	}
	graph, err := e.compiled(ctx, e.DB, *n.FlowchartVersionID)
	if err != nil {
		return err
	}
	wanted, err := e.foresee(ctx, end.outputs, *n.FlowchartRunID, graph, n.FlowchartNodeID)
	if err != nil || !wanted || end.output.Blob == nil {
		return err
	}
	end.outputs.weight += end.output.Bytes
	return end.outputs.decode(n.ID, end.res.Output)
}
