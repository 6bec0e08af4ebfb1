package app

import (
	"context"
	"strconv"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/chat/tooluse"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/llm/toolloop"
	"github.com/llmctl/studio/internal/llm/toolloop/calls"
	"github.com/llmctl/studio/internal/mcp/servers"
	"github.com/llmctl/studio/internal/mcp/tools"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/source"
)

// threadChoices is what threads may name.
type threadChoices struct {
	servers *servers.Registry
	sources *source.Service
}

// MissingMCPServers implements chat.Selectables.
func (t threadChoices) MissingMCPServers(ctx context.Context, q postgres.Querier, ids []int64) ([]int64, error) {
	return t.servers.Missing(ctx, q, ids)
}

// MissingSources implements chat.Selectables.
func (t threadChoices) MissingSources(ctx context.Context, q postgres.Querier, ids []int64) ([]int64, error) {
	return t.sources.MissingSources(ctx, q, ids)
}

// turnTools opens the tools of turns.
type turnTools struct{ m *mcpSide }

func (t turnTools) open(ctx context.Context, turnID int64, attempt int32, serverIDs []int64) (tooluse.Session, error) {
	set, err := t.m.box.Open(ctx, serverIDs, nil)
	if err != nil {
		return nil, err
	}
	o := calls.Owner{Kind: calls.Turn, ID: turnID, Attempt: attempt}
	return &turnSession{Set: set, recorder: t.m.calls.Recorder(o, t.m.calls.FenceTurn(o), turnCalls(t).Announce)}, nil
}

type turnSession struct {
	*tools.Set
	recorder toolloop.Recorder
}

// Recorder implements tooluse.Session.
func (t *turnSession) Recorder() toolloop.Recorder { return t.recorder }

// turnCalls are calls whose owners are turns.
type turnCalls struct{ m *mcpSide }

// Decide implements calls.Owners.
func (t turnCalls) Decide(ctx context.Context, tx *postgres.Tx, id int64, f func(ctx context.Context) (bool, error)) error {
	return t.m.s.chat.DecideTx(ctx, tx, id, f)
}

// turnToolPayload is what thread:turn:tool says of a call.
type turnToolPayload struct {
	ThreadID   int64  `json:"thread_id"`
	TurnID     int64  `json:"turn_id"`
	ToolCallID int64  `json:"tool_call_id"`
	Attempt    int32  `json:"attempt"`
	Name       string `json:"name"`
	ServerKey  string `json:"server_key"`
	Tool       string `json:"tool"`
	Status     string `json:"status"`
	Error      string `json:"error,omitempty"`
}

// Announce implements calls.Owners. The parts of the answer tell of every step, so only
// calls that wait, or did, have an event of their own: for lists of what waits.
func (t turnCalls) Announce(ctx context.Context, tx *postgres.Tx, c *calls.Row) error {
	if !c.ApprovalRequired {
		return nil
	}
	turn, err := t.m.s.chat.TurnIn(ctx, tx, c.OwnerID)
	if err != nil {
		return err
	}
	return t.m.s.events.Append(tx, event.Draft{
		Stream: chat.Stream(turn.ThreadID), Type: "thread:turn:tool", EntityKind: "tool_call", EntityID: strconv.FormatInt(c.ID, 10),
		Rooms: []string{chat.Stream(turn.ThreadID), "studio"}, RequestID: turn.RequestID, CorrelationID: turn.CorrelationID,
		Payload: turnToolPayload{
			ThreadID: turn.ThreadID, TurnID: turn.ID, ToolCallID: c.ID, Attempt: c.Attempt, Name: c.Name, ServerKey: c.ServerKey, Tool: c.Tool,
			Status: c.Status, Error: c.Error,
		},
	})
}

// Waits implements chat.ToolCalls.
func (t turnCalls) Waits(ctx context.Context, q postgres.Querier, turnID int64) (bool, error) {
	return t.m.calls.Waits(ctx, q, calls.Owner{Kind: calls.Turn, ID: turnID})
}

// Ended implements chat.ToolCalls.
func (t turnCalls) Ended(ctx context.Context, tx *postgres.Tx, turn *chat.Turn) error {
	if turn.Attempt == 0 {
		return nil
	}
	return t.m.calls.Close(ctx, tx, calls.Owner{Kind: calls.Turn, ID: turn.ID}, t.Announce)
}
