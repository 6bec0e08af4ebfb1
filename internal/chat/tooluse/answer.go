package tooluse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/toolloop"
)

// Session is the tools of one attempt.
type Session interface {
	toolloop.Toolset
	Recorder() toolloop.Recorder
	// Unusable tells why chosen servers cannot be used at all, once Tools was asked.
	Unusable() []string
	// Absent tells why the tools of a server are not on offer; "": they are, or it is no
	// server of the session.
	Absent(r toolloop.Ref) string
	Close()
}

// Answerer implements chat.Answerer.
type Answerer struct {
	// Open gives the provider of a model.
	Open func(ctx context.Context, modelID int64) (llm.Provider, error)
	// Tools opens the tools of an attempt. Error: invalid.
	Tools func(ctx context.Context, turnID int64, attempt int32, serverIDs []int64) (Session, error)
}

// Answer implements chat.Answerer.
func (a Answerer) Answer(ctx context.Context, q chat.Question, emit func(chat.Said) error) (chat.Answer, error) {
	// A thread may have lost its servers since an attempt before used them.
	if q.Aside || len(q.MCPServerIDs) == 0 && q.Attempt <= 1 {
		q.MCPServerIDs = nil
		return chat.Direct{Open: a.Open}.Answer(ctx, q, emit)
	}
	provider, err := a.Open(ctx, q.Model.ID)
	if err != nil {
		return chat.Answer{}, err
	}
	session, err := a.Tools(ctx, q.TurnID, q.Attempt, q.MCPServerIDs)
	if err != nil {
		return chat.Answer{}, fmt.Errorf("open the tools of turn %d: %w", q.TurnID, err)
	}
	defer session.Close()
	recorded, err := session.Recorder().Load(ctx)
	if err != nil {
		return chat.Answer{}, fmt.Errorf("load the calls of turn %d: %w", q.TurnID, err)
	}
	t, err := newTeller(q.State, emit)
	if err != nil {
		return chat.Answer{}, err
	}
	if err := t.repeat(recorded); err != nil {
		return chat.Answer{}, err
	}
	return run(ctx, &q, provider, session, recorded, t)
}

// run runs the loop from what was recorded.
func run(ctx context.Context, q *chat.Question, provider llm.Provider, session Session, recorded []toolloop.Cycle, t *teller) (chat.Answer, error) {
	window := &window{Provider: provider, tokens: q.ToolTokens, asked: len(q.Messages)}
	req := llm.Request{Model: q.Model.Model, System: q.System, Messages: q.Messages, Params: q.Params}
	res, err := toolloop.Run(ctx, req, toolloop.Options{
		Provider: window, Tools: &usable{Session: session, begun: len(recorded) > 0},
		Recorder: loaded{session.Recorder(), recorded}, Emit: t.event, Absent: session.Absent,
	})
	out := chat.Answer{
		Finish: res.Response.Finish, Begun: res.Response.Text != "", Usage: res.Used, Estimated: res.Used == llm.Usage{}, Calls: max(window.calls, 1), ToolTokens: window.used,
	}
	if e, ok := errors.AsType[*toolloop.CyclesError](err); ok {
		return out, &chat.ToolError{Message: e.Error(), Cause: e}
	}
	if err != nil {
		return out, err
	}
	if res.Suspended {
		state, err := t.state()
		if err != nil {
			return out, err
		}
		return out, &chat.SuspendedError{State: state}
	}
	return out, nil
}

// loaded is a recorder whose record was read already.
type loaded struct {
	toolloop.Recorder
	cycles []toolloop.Cycle
}

// Load implements toolloop.Recorder.
func (l loaded) Load(context.Context) ([]toolloop.Cycle, error) { return l.cycles, nil }

// usable refuses to begin an answer when a chosen server cannot be used: an answer
// without its tools is not what was asked for. One that goes away later is told to the
// model.
type usable struct {
	Session
	begun bool
}

// Tools implements toolloop.Toolset.
func (u *usable) Tools(ctx context.Context) ([]toolloop.Tool, error) {
	tools, err := u.Session.Tools(ctx)
	if err != nil {
		return nil, err
	}
	if why := u.Unusable(); !u.begun && len(why) > 0 {
		return nil, &chat.ToolError{Message: "The MCP servers of this thread cannot be used: " + strings.Join(why, " ") +
			" Remove what cannot be used from the thread, or try again when it is there."}
	}
	u.begun = true
	return tools, nil
}

// Call implements toolloop.Toolset.
func (u *usable) Call(ctx context.Context, t toolloop.Tool, arguments json.RawMessage, tell func(string)) toolloop.Outcome {
	return u.Session.Call(ctx, t, arguments, tell)
}
