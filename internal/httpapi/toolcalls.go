package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/llm/toolloop"
	"github.com/llmctl/studio/internal/llm/toolloop/calls"
	"github.com/llmctl/studio/internal/postgres"
)

// ToolCallView is a call of a tool that a model asked for.
type ToolCallView struct {
	ID               int64      `json:"id"`
	OwnerKind        string     `json:"owner_kind" enum:"node_run,turn"`
	OwnerID          int64      `json:"owner_id"`
	FlowchartRunID   *int64     `json:"flowchart_run_id" nullable:"true"`
	FlowchartID      *int64     `json:"flowchart_id" nullable:"true"`
	FlowchartNodeID  string     `json:"flowchart_node_id"`
	ThreadID         *int64     `json:"thread_id" nullable:"true" doc:"Of a turn's call"`
	OwnerTitle       string     `json:"owner_title"`
	Attempt          int32      `json:"attempt"`
	Cycle            int32      `json:"cycle" doc:"The number of the answer that asked for it"`
	Position         int32      `json:"position" doc:"Within that answer"`
	CallID           string     `json:"call_id" doc:"The provider's"`
	Name             string     `json:"name" doc:"As the model wrote it"`
	MCPServerID      *int64     `json:"mcp_server_id" nullable:"true" doc:"null: a built-in tool, an unknown one, or the server was deleted"`
	ServerKey        string     `json:"server_key"`
	Tool             string     `json:"tool"`
	Arguments        string     `json:"arguments" doc:"JSON as the model wrote it, which need not be valid"`
	Repeatable       bool       `json:"repeatable" doc:"The tool says that it only reads or may be called again"`
	ApprovalRequired bool       `json:"approval_required"`
	Status           string     `json:"status" enum:"pending,waiting,approved,running,succeeded,failed,denied,unknown,cancelled"`
	Error            string     `json:"error" doc:"Of a call that did not succeed: unknown_tool, invalid_arguments, timeout, denied, outcome_unknown, cancelled, tool_error, server_error"`
	Result           *string    `json:"result" nullable:"true" doc:"In lists at most 4 KiB of it"`
	ResultBytes      int64      `json:"result_bytes"`
	ResultCut        bool       `json:"result_cut"`
	DecidedBy        string     `json:"decided_by" doc:"E-mail of who approved or denied it"`
	DecidedAt        *time.Time `json:"decided_at" nullable:"true"`
	DecisionNote     string     `json:"decision_note"`
	CreatedAt        time.Time  `json:"created_at"`
	StartedAt        *time.Time `json:"started_at" nullable:"true"`
	FinishedAt       *time.Time `json:"finished_at" nullable:"true"`
	DurationMS       *int64     `json:"duration_ms" nullable:"true"`
}

// maxListedResult is how much of a result lists show.
const maxListedResult = 4 << 10

func viewToolCall(i calls.Item) ToolCallView {
	c := i.Row
	v := ToolCallView{
		ID: c.ID, OwnerKind: c.OwnerKind, OwnerID: c.OwnerID, FlowchartRunID: i.FlowchartRunID, FlowchartID: i.FlowchartID,
		FlowchartNodeID: i.NodeID, ThreadID: i.ThreadID, OwnerTitle: i.Title, Attempt: c.Attempt, Cycle: c.Cycle, Position: c.Position, CallID: c.CallID, Name: c.Name,
		MCPServerID: c.McpServerID, ServerKey: c.ServerKey, Tool: c.Tool, Arguments: c.Arguments, Repeatable: c.Repeatable,
		ApprovalRequired: c.ApprovalRequired, Status: c.Status, Error: c.Error, Result: c.Result, ResultBytes: c.ResultBytes,
		DecidedBy: i.DecidedByEmail, DecidedAt: c.DecidedAt, DecisionNote: c.DecisionNote, CreatedAt: c.CreatedAt, StartedAt: c.StartedAt, FinishedAt: c.FinishedAt,
	}
	if c.StartedAt != nil && c.FinishedAt != nil {
		ms := c.FinishedAt.Sub(*c.StartedAt).Milliseconds()
		v.DurationMS = &ms
	}
	return v
}

// listedToolCall shows the beginning of a result only.
func listedToolCall(i calls.Item) ToolCallView {
	v := viewToolCall(i)
	v.ResultCut = i.Row.ResultBlob != nil
	if v.Result != nil && len(*v.Result) > maxListedResult {
		short := cutText(*v.Result, maxListedResult)
		v.Result, v.ResultCut = &short, true
	}
	return v
}

// cutText is the beginning of s, cut between characters.
func cutText(s string, most int) string {
	for i := range s {
		if i > most-4 {
			return s[:i]
		}
	}
	return s
}

type listToolCallsInput struct {
	PageInput
	OwnerKind   string   `query:"owner_kind" enum:"node_run,turn"`
	OwnerID     int64    `query:"owner_id" minimum:"0"`
	MCPServerID int64    `query:"mcp_server_id" minimum:"0"`
	Status      []string `query:"status,explode" enum:"pending,waiting,approved,running,succeeded,failed,denied,unknown,cancelled"`
}

type decideInput struct {
	IDInput
	Body *struct {
		Note string `json:"note,omitempty" maxLength:"1000" doc:"Kept with the call; with a denial the model is told it"`
	}
}

type toolCallOutput struct{ Body ToolCallView }

func (s *server) registerToolCalls() {
	handle(s, route{
		method: http.MethodGet, path: "/tool-calls", id: "list-tool-calls", tag: "mcp", permission: auth.Read, summary: "Calls of tools, newest first",
	}, func(ctx context.Context, in *listToolCallsInput) (*pageOutput[ToolCallView], error) {
		return s.listToolCalls(ctx, in.PageInput, calls.Filter{OwnerKind: in.OwnerKind, OwnerID: in.OwnerID, ServerID: in.MCPServerID, Statuses: in.Status})
	})
	handle(s, route{
		method: http.MethodGet, path: "/tool-calls/{id}", id: "get-tool-call", tag: "mcp", permission: auth.Read, summary: "A call with its whole result",
	}, func(ctx context.Context, in *IDInput) (*toolCallOutput, error) { return s.getToolCall(ctx, in.ID) })
	handle(s, route{
		method: http.MethodGet, path: "/approvals", id: "list-approvals", tag: "mcp", permission: auth.Read, summary: "Calls that wait for a person",
	}, func(ctx context.Context, in *PageInput) (*pageOutput[ToolCallView], error) {
		return s.listToolCalls(ctx, *in, calls.Filter{Statuses: []string{string(toolloop.Waiting)}})
	})
	handle(s, route{
		method: http.MethodPost, path: "/tool-calls/{id}/approve", id: "approve-tool-call", tag: "mcp", permission: auth.Write, audit: true,
		summary: "Let a call that waits be made; its node or turn goes on when nothing of it waits any more",
	}, func(ctx context.Context, in *decideInput) (*toolCallOutput, error) { return s.decide(ctx, in, true) })
	handle(s, route{
		method: http.MethodPost, path: "/tool-calls/{id}/deny", id: "deny-tool-call", tag: "mcp", permission: auth.Write, audit: true,
		summary: "Refuse a call that waits; the model is told so",
	}, func(ctx context.Context, in *decideInput) (*toolCallOutput, error) { return s.decide(ctx, in, false) })
}

func (s *server) listToolCalls(ctx context.Context, in PageInput, f calls.Filter) (*pageOutput[ToolCallView], error) {
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	f.Before, f.Limit = before, in.Limit+1
	rows, err := s.deps.MCP.Calls.Search(ctx, f)
	if err != nil {
		return nil, err
	}
	return paged(rows, in.Limit, func(i calls.Item) int64 { return i.Row.ID }, listedToolCall), nil
}

func (s *server) getToolCall(ctx context.Context, id int64) (*toolCallOutput, error) {
	item, content, err := s.deps.MCP.Calls.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	v := viewToolCall(item)
	if item.Row.FinishedAt != nil {
		v.Result = &content
	}
	return &toolCallOutput{Body: v}, nil
}

func (s *server) decide(ctx context.Context, in *decideInput, approve bool) (*toolCallOutput, error) {
	action := "tool_call.denied"
	if approve {
		action = "tool_call.approved"
	}
	note := ""
	if in.Body != nil {
		note = in.Body.Note
	}
	_, err := change(ctx, s, action, "tool_call", in.ID, func(ctx context.Context, tx *postgres.Tx) (calls.Row, error) {
		return s.deps.MCP.Calls.Decide(ctx, tx, s.deps.MCP.Owners, in.ID, calls.Decision{Approve: approve, UserID: user(ctx).UserID, Note: note})
	})
	if err != nil {
		return nil, err
	}
	return s.getToolCall(ctx, in.ID)
}
