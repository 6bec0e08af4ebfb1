package toolloop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/llmctl/studio/internal/tracing"
)

// defaultTimeout is how long a call may take whose tool does not say.
const defaultTimeout = time.Minute

// callAll makes those calls of a cycle that can be made, some at the same time.
// The first error ends those that run.
func (l *loop) callAll(ctx context.Context, c *Cycle) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tools, err := l.toolsFor(ctx, c)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, l.o.Parallel)
	var mu sync.Mutex
	var first error
	for i := range c.Calls {
		call := &c.Calls[i]
		if call.Status.Final() || call.Status == Waiting {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := l.one(ctx, c, call, tools); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if first == nil {
					first = err
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return first
}

// maxLooks is how often tools are listed for a call that a person has approved, whose
// server cannot be reached just then: an approval is not asked for twice because a server
// was starting.
const maxLooks = 4

// toolsFor lists the tools if any call needs one.
func (l *loop) toolsFor(ctx context.Context, c *Cycle) (map[Ref]Tool, error) {
	if !slices.ContainsFunc(c.Calls, func(c Call) bool { return !c.Status.Final() && c.Status != Waiting }) {
		return nil, nil //nolint:nilnil // no tool is needed
	}
	pause := l.o.Patience
	if pause <= 0 {
		pause = time.Second
	}
	for looks := 1; ; looks++ {
		tools, err := l.o.Tools.Tools(ctx)
		if err != nil {
			return nil, err
		}
		out := make(map[Ref]Tool, len(tools))
		for _, t := range tools {
			out[t.Ref] = t
		}
		missing := func(c Call) bool {
			_, there := out[c.Ref]
			return c.Status == Approved && !there && l.absent(c.Ref) != ""
		}
		if looks == maxLooks || !slices.ContainsFunc(c.Calls, missing) {
			return out, nil
		}
		timer := time.NewTimer(pause << (looks - 1))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		}
	}
}

func (l *loop) absent(r Ref) string {
	if l.o.Absent == nil {
		return ""
	}
	return l.o.Absent(r)
}

// missed ends a call whose tool is not there: nothing was done.
func (l *loop) missed(call *Call) {
	why := l.absent(call.Ref)
	switch {
	case why == "":
		call.end(Failed, CodeUnknownTool, fmt.Sprintf("The tool %q is not available any more.", call.Name))
	case call.Status == Approved:
		call.end(Failed, CodeServer, fmt.Sprintf("The tool %q was not called, although the call was approved: %s Nothing was done; ask for it again when the server is there.", call.Name, why))
	default:
		call.end(Failed, CodeServer, fmt.Sprintf("The tool %q was not called: %s Nothing was done.", call.Name, why))
	}
}

// one makes one call and records it.
func (l *loop) one(ctx context.Context, c *Cycle, call *Call, tools map[Ref]Tool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	tool, there := tools[call.Ref]
	switch {
	case call.Status == Running && !call.Repeatable:
		// It had begun in a process that is gone. Perhaps it did what it was asked.
		call.end(Unknown, CodeUnknown, "The outcome of this call is unknown: the program stopped while the tool worked. It may have done what it was asked, or part of it. "+
			"Do not simply call it again; find out first.")
		return l.record(ctx, c, call)
	case !there:
		l.missed(call)
		return l.record(ctx, c, call)
	}
	if err := l.o.Recorder.Start(ctx, call); err != nil {
		return err
	}
	call.Status = Running
	if err := l.tell(c, call); err != nil {
		return err
	}
	began := time.Now()
	out := l.timed(ctx, c, call, tool)
	call.Took = time.Since(began)
	if ctx.Err() != nil && out.IsError && tool.Repeatable {
		return context.Cause(ctx) // it stays begun: whoever goes on calls it again
	}
	l.finish(call, out)
	if err := l.record(ctx, c, call); err != nil || ctx.Err() == nil {
		return err
	}
	return context.Cause(ctx)
}

func (l *loop) record(ctx context.Context, c *Cycle, call *Call) error {
	// What has happened is recorded also when nobody waits for it any more.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := l.o.Recorder.End(ctx, call); err != nil {
		return err
	}
	return l.tell(c, call)
}

// timed calls the tool for as long as it may take.
func (l *loop) timed(ctx context.Context, c *Cycle, call *Call, tool Tool) (out Outcome) {
	limit := tool.Timeout
	if limit <= 0 {
		limit = defaultTimeout
	}
	spanned, span := tracing.Start(ctx, tracing.SpanTool+" "+tool.Ref.Tool, trace.SpanKindInternal, tracing.GenAIOperation.String(tracing.SpanTool),
		tracing.GenAITool.String(tool.Ref.Tool), tracing.GenAIToolCall.String(call.CallID), tracing.ToolServer.String(tool.Ref.Server))
	defer func() { tracing.End(span, out.failure()) }()
	timed, cancel := context.WithTimeout(spanned, limit)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			out = Outcome{IsError: true, Code: CodeServer, Unknown: true, Content: "The tool crashed. This is a defect of the program."}
		}
	}()
	told := *call
	out = l.o.Tools.Call(timed, tool, json.RawMessage(call.Arguments), func(text string) {
		_ = l.emit(Event{Kind: EventProgress, Call: &told, Cycle: c.Number, Text: text}) // the next event ends the loop
	})
	switch {
	case ctx.Err() != nil && out.IsError:
		out.Code, out.Unknown = CodeCancelled, true
		out.Content = "The call was cancelled while the tool worked."
	case timed.Err() != nil && out.IsError:
		out.Code, out.Unknown = CodeTimeout, false
		out.Content = fmt.Sprintf("The tool did not answer within %s. It was told to stop.", limit)
		if !tool.Repeatable {
			out.Content += " It may have done what it was asked, or part of it."
		}
	}
	return out
}

// failure is the word for what went wrong; what a tool says may be anybody's data.
func (o *Outcome) failure() error {
	if !o.IsError {
		return nil
	}
	return errors.New(o.Code)
}

func (l *loop) finish(call *Call, out Outcome) {
	switch {
	case !out.IsError:
		call.end(Succeeded, "", out.Content)
	case out.Unknown:
		call.end(Unknown, out.Code, out.Content)
	default:
		call.end(Failed, out.Code, out.Content)
	}
}
