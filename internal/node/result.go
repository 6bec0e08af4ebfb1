package node

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/run"
)

// resultOf translates the executor's verdict into the engine's.
func resultOf(in executor.Result, input json.RawMessage) run.Result {
	out := run.Result{
		Output: in.OutputState, Routing: in.RoutingState, InputContext: input,
	}
	if why := executor.CheckArtifacts(in.Artifacts); why != "" {
		usage := in.Usage
		in = executor.Failure(executor.CodeArtifacts, why, false)
		in.Usage = usage
	}
	for _, a := range in.Artifacts {
		out.Artifacts = append(out.Artifacts, run.NewArtifact{
			Name: a.Name, Kind: executor.CleanText(a.Kind), MediaType: executor.CleanText(a.MediaType), Data: a.Data,
		})
	}
	if in.Usage != nil {
		out.Usage = encode(in.Usage)
	}
	if in.Error != nil {
		out.Error = &run.Failure{Code: in.Error.Code, Message: in.Error.Message, Retryable: in.Error.Retryable}
		if in.Error.Details != nil {
			out.Error.Details = encode(in.Error.Details)
		}
	}
	switch in.Status {
	case executor.Succeeded:
		out.Status = run.Succeeded
	case executor.Degraded:
		out.Status = run.Degraded
	case executor.Cancelled:
		out.Status = run.Cancelled
	case executor.Suspended:
		out.Status = run.Suspended
	case executor.TimedOut:
		out.Status = run.Failed
		if out.Error == nil {
			out.Error = &run.Failure{Message: "The node took longer than its time-out.", Retryable: true}
		}
		out.Error.Code = "timeout"
	default:
		out.Status = run.Failed
	}
	return out
}

// closeStages ends the stage that was still running with the attempt.
func closeStages(stages []Stage, status run.Status, at time.Time) []Stage {
	out := make([]Stage, len(stages))
	copy(out, stages)
	for i := range out {
		if out[i].FinishedAt != nil {
			continue
		}
		out[i].FinishedAt = &at
		switch status {
		case run.Succeeded, run.Degraded, run.Suspended:
			out[i].Status = run.Succeeded
		case run.Cancelled:
			out[i].Status = run.Skipped
		default:
			out[i].Status = run.Failed
		}
	}
	return out
}

func stageStatus(s string) string {
	switch s {
	case executor.StageFinished:
		return run.Succeeded
	case executor.StageFailed:
		return run.Failed
	default:
		return run.Running
	}
}

func withNewline(s string) string {
	if strings.HasSuffix(s, "\n") {
		return s
	}
	return s + "\n"
}

// encode writes what came out of JSON, or is made of numbers and texts, as JSON;
// that cannot fail.
func encode(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return raw
}
