package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/toolloop"
)

// Tools opens what the model of a node may use. Only a worker has them: their
// servers, their secrets and the record of calls are in the database.
type Tools interface {
	Open(ctx context.Context, nodeRunID int64, attempt int, serverIDs []int64, builtins []string) (Session, error)
}

// Session is the tools of one attempt.
type Session interface {
	toolloop.Toolset
	Recorder() toolloop.Recorder
	// Absent tells why the tools of a server are not on offer; "": they are.
	Absent(r toolloop.Ref) string
	// Warnings are for the node's log; each is given once.
	Warnings() []string
	Close()
}

// errSuspended ends the stages of an attempt whose node waits for a person.
var errSuspended = errors.New("the node waits for a person")

func (c *config) usesTools() bool { return len(c.Tools) > 0 || len(c.MCPServerIDs) > 0 }

// UsesTools reports whether a task with that config uses tools, so that it has to
// work where these are.
func UsesTools(raw json.RawMessage) bool {
	var c struct {
		Tools   []json.RawMessage `json:"tools"`
		Servers []json.RawMessage `json:"mcp_server_ids"`
	}
	return json.Unmarshal(raw, &c) == nil && len(c.Tools)+len(c.Servers) > 0
}

func (a *attempt) openTools(ctx context.Context, in executor.Payload, tools Tools, stages *executor.Stages) error {
	if tools == nil {
		return &executor.ResultError{Code: CodeNotAvailable, Message: "Nodes with tools or MCP servers work inside a worker only; this executor has none."}
	}
	if n := a.cfg.MaxCycles; n < 0 || n > toolloop.MaxCycles {
		return invalid("max_cycles is %d; accepted are 1 to %d.", n, toolloop.MaxCycles)
	}
	session, err := tools.Open(ctx, in.NodeRunID, in.Attempt, a.cfg.MCPServerIDs, a.cfg.Tools)
	if errs.Is(err, errs.Invalid) {
		return invalid("%s", errs.As(err).Message)
	}
	if err != nil {
		return &executor.ResultError{Code: executor.CodeInfra, Message: "The node's MCP servers could not be loaded.", Retryable: true}
	}
	a.session = session
	return a.warn(stages)
}

func (a *attempt) warn(stages *executor.Stages) error {
	for _, w := range a.session.Warnings() {
		if err := stages.Log("Warning: " + w); err != nil {
			return err
		}
	}
	return nil
}

func (a *attempt) close() {
	if a.session != nil {
		a.session.Close()
	}
}

// askWithTools asks the model, calls what it asks for, and so on until it answers.
func (a *attempt) askWithTools(ctx context.Context, now func() time.Time, sink executor.Sink, stages *executor.Stages) error {
	start := now()
	w := &watcher{sink: sink, stages: stages}
	var err error
	a.loop, err = toolloop.Run(ctx, a.request, toolloop.Options{
		Provider: a.provider, Tools: &warning{a, stages}, Recorder: a.session.Recorder(), Emit: w.event, Cycles: a.cfg.MaxCycles,
		Absent: a.session.Absent,
	})
	a.response = a.loop.Response
	if a.loop.Used != (llm.Usage{}) {
		if serr := sink(executor.Event{Type: executor.EventUsage, Usage: a.usage()}); serr != nil {
			return serr
		}
	}
	if err != nil {
		return err
	}
	if a.loop.Suspended {
		return errSuspended
	}
	if a.loop.Forced {
		if err := stages.Log(fmt.Sprintf("Warning: the model asked for tools %d times, as often as it may (max_cycles), and was made to answer.", a.loop.Cycles)); err != nil {
			return err
		}
	}
	return stages.Log(fmt.Sprintf("Answered in %s after %d rounds of tool calls: %d tokens in, %d out, finished by %s.",
		now().Sub(start).Round(time.Millisecond), a.loop.Cycles, a.loop.Used.InputTokens, a.loop.Used.OutputTokens, a.response.Finish))
}

// suspended is the result of an attempt whose node waits.
func (a *attempt) suspended(stages *executor.Stages) executor.Result {
	if err := stages.Log("Calls wait for approval. The node goes on when somebody has decided."); err != nil {
		return a.failure(err)
	}
	if err := stages.Finish(); err != nil {
		return a.failure(err)
	}
	return executor.Result{Status: executor.Suspended, Usage: a.usage()}
}

// warning passes the session's warnings on whenever its tools were listed.
type warning struct {
	a      *attempt
	stages *executor.Stages
}

// Tools implements toolloop.Toolset.
func (w *warning) Tools(ctx context.Context) ([]toolloop.Tool, error) {
	tools, err := w.a.session.Tools(ctx)
	if err != nil {
		return nil, err
	}
	return tools, w.a.warn(w.stages)
}

// Call implements toolloop.Toolset.
func (w *warning) Call(ctx context.Context, t toolloop.Tool, arguments json.RawMessage, tell func(string)) toolloop.Outcome {
	return w.a.session.Call(ctx, t, arguments, tell)
}

// watcher turns what a loop tells into the events of an attempt.
type watcher struct {
	sink   executor.Sink
	stages *executor.Stages
}

func (w *watcher) event(e toolloop.Event) error {
	switch e.Kind {
	case toolloop.EventText:
		return w.sink(executor.Event{Type: executor.EventDelta, Stage: executor.StageLLMQuery, Text: e.Text})
	case toolloop.EventProgress:
		return w.stages.Log(fmt.Sprintf("%s: %s", e.Call.Name, e.Text))
	case toolloop.EventCall:
		if err := w.sink(executor.Event{Type: executor.EventTool, Stage: executor.StageLLMQuery, Tool: toolEvent(e.Call)}); err != nil {
			return err
		}
		if text := callText(e.Call); text != "" {
			return w.stages.Log(text)
		}
	case toolloop.EventAnswer:
	}
	return nil
}

// maxEventResult is how much of a result an event holds; the row has all of it.
const maxEventResult = 4 << 10

func toolEvent(c *toolloop.Call) *executor.ToolEvent {
	e := &executor.ToolEvent{ID: c.CallID, Name: c.Name, Status: string(c.Status)}
	if json.Valid([]byte(c.Arguments)) {
		e.Arguments = json.RawMessage(c.Arguments)
	}
	if c.Status.Final() {
		e.Result = short(c.Content, maxEventResult)
	}
	return e
}

func short(s string, most int) string {
	s = executor.CleanText(s)
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// callText is the line in the node's log for what became of a call.
func callText(c *toolloop.Call) string {
	what := fmt.Sprintf("%s(%s)", c.Name, short(oneLine(c.Arguments), 200))
	switch c.Status {
	case toolloop.Running:
		return "Calling " + what + "."
	case toolloop.Waiting:
		return what + " waits for approval."
	case toolloop.Succeeded:
		return fmt.Sprintf("%s gave %d bytes.", c.Name, len(c.Content))
	case toolloop.Failed, toolloop.Denied, toolloop.Unknown, toolloop.Cancelled:
		return fmt.Sprintf("%s: %s (%s). %s", c.Name, c.Status, c.Error, short(oneLine(c.Content), 300))
	case toolloop.Pending, toolloop.Approved:
	}
	return ""
}
