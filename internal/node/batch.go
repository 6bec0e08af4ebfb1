package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
)

// Limits of one batch of events.
const (
	MaxBatchEvents = 10_000
	MaxBatchBytes  = executor.MaxResult + 1<<20
)

// DecodeEvents reads events as JSON lines and checks what holds for every batch: the
// version, numbers without a gap, a result only at the end. Errors: invalid,
// too_large.
func DecodeEvents(raw []byte) ([]executor.Event, error) {
	var out []executor.Event
	for line := range bytes.Lines(raw) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		i := len(out)
		if i == MaxBatchEvents {
			return nil, errs.Ef(errs.TooLarge, "executor.batch", "A batch has more than %d events.", MaxBatchEvents)
		}
		var e executor.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, badEvent(i, "it is not an event as JSON").With(err)
		}
		why := checkEvent(&e, len(line))
		switch {
		case why != "":
		case i > 0 && out[i-1].Type == executor.EventResult:
			why = "it comes after the result"
		case i > 0 && e.N != out[i-1].N+1:
			why = fmt.Sprintf("n is %d after %d", e.N, out[i-1].N)
		}
		if why != "" {
			return nil, badEvent(i, why)
		}
		out = append(out, e)
	}
	return out, nil
}

func badEvent(i int, why string) *errs.Error {
	return errs.E(errs.Invalid, "executor.event", "The batch has an event that is not one of the protocol.",
		errs.Detail{Location: fmt.Sprintf("body[%d]", i), Message: why})
}

func checkEvent(e *executor.Event, size int) string {
	switch {
	case e.V != executor.Version:
		return fmt.Sprintf("v is %q, not %q", e.V, executor.Version)
	case e.N < 1:
		return fmt.Sprintf("n is %d; events are numbered from 1", e.N)
	case (e.N == 1) != (e.Type == executor.EventStarted):
		return "the first event, and only that, is of type started"
	case e.Type != executor.EventResult && size > executor.MaxLine:
		return fmt.Sprintf("it has %d bytes; at most %d are taken", size, executor.MaxLine)
	}
	switch e.Type {
	case executor.EventStarted, executor.EventTool, executor.EventUsage, executor.EventDelta, executor.EventSpan:
		return ""
	case executor.EventStage:
		return checkStage(e.Stage)
	case executor.EventLog:
		if e.Stage == "" {
			return ""
		}
		return checkStage(e.Stage)
	case executor.EventResult:
		return checkResult(e.Result)
	}
	return fmt.Sprintf("type is %q", e.Type)
}

func checkStage(key string) string {
	if slices.Contains(StageKeys(), key) {
		return ""
	}
	return fmt.Sprintf("stage is %q, not one of %s", key, strings.Join(StageKeys(), ", "))
}

func checkResult(r *executor.Result) string {
	if r == nil {
		return "result is missing"
	}
	switch r.Status {
	case executor.Succeeded, executor.Degraded, executor.Failed, executor.Cancelled, executor.TimedOut:
		return ""
	case executor.Suspended: // only a worker can
	}
	return fmt.Sprintf("result.status is %q", r.Status)
}
