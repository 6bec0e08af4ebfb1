package toolloop

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/llmctl/studio/internal/llm"
)

// Run runs the loop on a conversation, which begins with what req says, from where
// the recorder left it. Errors: those of the provider and the recorder as they
// are, *CyclesError, and the toolset's error if its tools cannot be listed.
func Run(ctx context.Context, req llm.Request, o Options) (Result, error) {
	if o.Cycles <= 0 {
		o.Cycles = DefaultCycles
	}
	if o.Parallel <= 0 {
		o.Parallel = DefaultParallel
	}
	l := &loop{o: o, req: req, cycles: min(o.Cycles, MaxCycles), schemas: newSchemas()}
	err := l.run(ctx)
	l.res.Cycles = l.done
	return l.res, err
}

type loop struct {
	o       Options
	req     llm.Request
	cycles  int
	done    int // cycles that are part of the conversation
	res     Result
	schemas *schemas

	mu     sync.Mutex // events come one at a time
	broken error      // what Emit said
}

func (l *loop) run(ctx context.Context) error {
	recorded, err := l.o.Recorder.Load(ctx)
	if err != nil {
		return err
	}
	for i := range recorded {
		l.res.Total = plus(l.res.Total, recorded[i].Usage)
		if over, err := l.settle(ctx, &recorded[i]); err != nil || over {
			return err
		}
	}
	for {
		over, err := l.cycle(ctx)
		if err != nil || over {
			return err
		}
	}
}

// cycle asks the model once and does what it asks for; over when it answered, or
// somebody has to be waited for.
func (l *loop) cycle(ctx context.Context) (over bool, err error) {
	tools, err := l.o.Tools.Tools(ctx)
	if err != nil {
		return true, err
	}
	l.req.Tools = l.req.Tools[:0:0]
	for _, t := range tools {
		l.req.Tools = append(l.req.Tools, t.Tool)
	}
	last := l.done >= l.cycles
	res, err := l.o.Provider.Chat(ctx, l.question(last), func(d llm.Delta) error {
		if d.Text == "" {
			return nil
		}
		return l.emit(Event{Kind: EventText, Text: d.Text, Cycle: int32(l.done + 1)})
	})
	l.res.Used, l.res.Total = plus(l.res.Used, res.Usage), plus(l.res.Total, res.Usage)
	if err != nil {
		l.res.Response = res // what had come by then
		return true, err
	}
	if err := l.emit(Event{Kind: EventAnswer, Cycle: int32(l.done + 1), Usage: res.Usage}); err != nil {
		return true, err
	}
	if last && strings.TrimSpace(res.Text) != "" {
		res.ToolCalls = nil // it was told that there are none
	}
	if len(res.ToolCalls) == 0 {
		l.res.Response, l.res.Forced = res, last
		return true, nil
	}
	if last {
		return true, &CyclesError{Limit: l.cycles}
	}
	c := l.plan(res, tools)
	if err := l.o.Recorder.Begin(ctx, &c); err != nil {
		return true, err
	}
	for i := range c.Calls {
		if err := l.tell(&c, &c.Calls[i]); err != nil {
			return true, err
		}
	}
	return l.settle(ctx, &c)
}

// lastWord is what a model is told that has asked for tools as often as it may.
const lastWord = "You have used tools as often as you may. None can be called any more: answer now with what you know, and say what is missing."

// question is what the model is asked. The last one is asked without the choice of tools;
// they stay in the request, since providers refuse a conversation with calls of tools
// that it does not describe.
func (l *loop) question(last bool) llm.Request {
	req := l.req
	if !last {
		return req
	}
	if len(req.Tools) > 0 {
		req.ToolChoice = "none"
	}
	if req.System != "" {
		req.System += "\n\n"
	}
	req.System += lastWord
	return req
}

// plan looks at what a model asks for: calls that cannot be made are over before
// they begin.
func (l *loop) plan(res llm.Response, tools []Tool) Cycle {
	c := Cycle{Number: int32(l.done + 1), Text: res.Text, Usage: res.Usage}
	byName := map[string]*Tool{}
	for i := range tools {
		byName[tools[i].Name] = &tools[i]
	}
	for i, asked := range res.ToolCalls {
		call := Call{Position: int32(i), CallID: asked.ID, Name: asked.Name, Arguments: asked.Arguments, Signature: asked.Signature, Status: Pending}
		tool := byName[asked.Name]
		switch {
		case i >= MaxCalls:
			call.end(Failed, CodeArguments, fmt.Sprintf("Not called: at most %d tools can be called at once. Ask for the rest afterwards.", MaxCalls))
		case tool == nil:
			call.end(Failed, CodeUnknownTool, fmt.Sprintf("There is no tool %q. Available are: %s.", asked.Name, namesOf(tools)))
		default:
			call.Ref, call.Repeatable, call.NeedsApproval = tool.Ref, tool.Repeatable, tool.NeedsApproval
			if why := l.schemas.check(tool, asked.Arguments); why != "" {
				call.end(Failed, CodeArguments, why)
			} else if tool.NeedsApproval {
				call.Status = Waiting
			}
		}
		c.Calls = append(c.Calls, call)
	}
	return c
}

func namesOf(tools []Tool) string {
	const most = 50
	var names []string
	for i, t := range tools {
		if i == most {
			names = append(names, "…")
			break
		}
		names = append(names, t.Name)
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (c *Call) end(s Status, code, content string) {
	c.Status, c.Error, c.Content = s, code, content
}

// settle brings a cycle's calls to their end, as far as nobody has to be waited
// for, and adds the cycle to the conversation if that is all of them.
func (l *loop) settle(ctx context.Context, c *Cycle) (over bool, err error) {
	if err := l.callAll(ctx, c); err != nil {
		return true, err
	}
	for i := range c.Calls {
		if !c.Calls[i].Status.Final() {
			l.res.Suspended = true
			return true, nil
		}
	}
	l.done++
	l.append(c)
	return false, nil
}

func (l *loop) append(c *Cycle) {
	said := llm.Message{Role: llm.RoleAssistant}
	if c.Text != "" {
		said.Parts = []llm.Part{{Text: c.Text}}
	}
	results := make([]llm.Message, len(c.Calls))
	for i := range c.Calls {
		call := &c.Calls[i]
		said.ToolCalls = append(said.ToolCalls, llm.ToolCall{ID: call.CallID, Name: call.Name, Arguments: call.Arguments, Signature: call.Signature})
		results[i] = llm.Message{Role: llm.RoleTool, ToolResult: &llm.ToolResult{
			CallID: call.CallID, Name: call.Name, Content: Shown(call.Content), IsError: call.Status != Succeeded,
		}}
	}
	l.req.Messages = append(append(slices.Clip(l.req.Messages), said), results...)
}

// Shown is as much of a result as a model is told.
func Shown(content string) string {
	if content == "" {
		return "(nothing)"
	}
	if len(content) <= MaxContent {
		return content
	}
	return strings.ToValidUTF8(content[:MaxContent], "") + fmt.Sprintf("\n[cut here: the first %d of %d bytes]", MaxContent, len(content))
}

func (l *loop) emit(e Event) error {
	if l.o.Emit == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == nil {
		l.broken = l.o.Emit(e)
	}
	return l.broken
}

func (l *loop) tell(c *Cycle, call *Call) error {
	told := *call
	return l.emit(Event{Kind: EventCall, Call: &told, Cycle: c.Number})
}

func plus(a, b llm.Usage) llm.Usage {
	return llm.Usage{InputTokens: a.InputTokens + b.InputTokens, OutputTokens: a.OutputTokens + b.OutputTokens, CachedTokens: a.CachedTokens + b.CachedTokens}
}
