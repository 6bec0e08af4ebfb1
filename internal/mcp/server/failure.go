package server

import (
	"context"
	"errors"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// known turns any error into one that may be shown. What is ours to know stays out.
func known(err error) *errs.Error {
	if e, ok := errors.AsType[*errs.Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*errs.Error](postgres.Wrap(err)); ok {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errs.E(errs.Timeout, "mcp.timeout", "The call took too long and was given up.").With(err)
	}
	return errs.As(err)
}

// shownFaults bounds the faulty places that an answer lists.
const shownFaults = 20

// textOf is an error for a model: what happened, where, and what to do next.
func textOf(e *errs.Error) string {
	var b strings.Builder
	b.WriteString(e.Message)
	for i, d := range e.Details {
		if i == shownFaults {
			b.WriteString("\n- and more")
			break
		}
		b.WriteString("\n- " + strings.TrimPrefix(d.Location, "body.") + " " + d.Message)
	}
	if next := nextStep(e); next != "" {
		b.WriteString("\nNext: " + next)
	}
	b.WriteString("\n(" + string(e.Code) + ": " + e.Reason + ")")
	return b.String()
}

// nextStep says what helps, where the message itself does not.
func nextStep(e *errs.Error) string {
	switch e.Reason {
	case "flow.not_found", "flow.version_not_found":
		return "llmctl_list_flowcharts gives the ids there are."
	case "run.not_found":
		return "llmctl_list_flowchart_runs gives the ids there are."
	case "node.not_found":
		return "llmctl_get_flowchart_run gives the node runs of a run; their id is what is wanted, not the id in the graph."
	case "artifact.not_found":
		return "llmctl_list_node_artifacts gives the artifacts of a node run."
	case "download.not_found":
		return "llmctl_list_downloads gives the ids there are."
	case "model.not_found":
		return "llmctl_list_models gives the ids there are."
	case "thread.not_found":
		return "llmctl_list_threads gives the ids there are."
	case "turn.not_found":
		return "llmctl_get_thread shows the turns that have not ended, and the turn_id of each message."
	case "thread.busy":
		return "llmctl_get_turn waits for the turn that is under way; llmctl_cancel_turn stops it."
	case "flow.invalid":
		return "llmctl_get_flowchart_graph lists the problems; repair the graph with llmctl_update_flowchart_graph."
	case "flow.invalid_input":
		return "llmctl_get_flowchart_graph shows the start node's input_schema; call again with an input that fits."
	case "flow.stale", "flow_tool.stale":
		return "read it again for its revision, then repeat your change on what you read."
	case "mcp.unknown_tool":
		return "tools/list gives the names there are."
	}
	return nextByCode(e.Code)
}

func nextByCode(code errs.Code) string {
	switch code {
	case errs.Unavailable, errs.Timeout:
		return "try the same call again in a few seconds."
	case errs.Internal:
		return "if it happens again, tell a person to look into the Studio's log."
	case errs.Invalid:
		return "correct the arguments and call again."
	default:
		return ""
	}
}

// failed is the answer of a call that went wrong. The machine-readable part is in
// _meta: structured content would have to fit the tool's output schema.
func failed(err error) *mcp.CallToolResult {
	e := known(err)
	details := e.Details
	if details == nil {
		details = []errs.Detail{}
	}
	return &mcp.CallToolResult{
		IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: textOf(e)}},
		Meta: mcp.Meta{"llmctl/error": map[string]any{"code": e.Code, "reason": e.Reason, "message": e.Message, "errors": details}},
	}
}
