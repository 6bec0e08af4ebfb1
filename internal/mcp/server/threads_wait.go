package server

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/chat"
)

// waitForTurn waits for the end of a turn, or until a person has to decide, at most so
// long, and gives what there is then.
func (c *call) waitForTurn(ctx context.Context, of turnInput, most time.Duration) (TurnResult, error) {
	look := func(ctx context.Context) (standing, error) {
		t, err := c.Threads.GetTurn(ctx, of.ThreadID, of.TurnID)
		if err != nil {
			return standing{}, err
		}
		return turnStanding(&t), nil
	}
	if err := c.waitOn(ctx, chat.Stream(of.ThreadID), most, look); err != nil {
		return TurnResult{}, err
	}
	return c.turnResult(ctx, of)
}

func turnStanding(d *chat.TurnDetail) standing {
	t := &d.Turn
	s := standing{over: t.FinishedAt != nil || t.Status == chat.Waiting, state: "The turn is " + t.Status}
	if t.Phase != "" {
		s.state += " (" + t.Phase + ")"
	}
	if d.Live != nil {
		s.state += fmt.Sprintf(": %d characters so far", utf8.RuneCountInString(d.Live.Text))
	}
	s.state += "."
	return s
}

func (c *call) turnResult(ctx context.Context, of turnInput) (TurnResult, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	d, err := c.Threads.GetTurn(ctx, of.ThreadID, of.TurnID)
	if err != nil {
		return TurnResult{}, err
	}
	v := chat.ViewTurn(&d.Turn)
	out := TurnResult{
		ThreadID: of.ThreadID, Turn: viewTurn(&d.Turn), Finished: d.Turn.FinishedAt != nil, FinishReason: v.FinishReason, Error: v.Error,
		InputTokens: v.Usage.InputTokens, OutputTokens: v.Usage.OutputTokens, Next: nextOfTurn(of.ThreadID, &d.Turn),
	}
	text := ""
	if d.Live != nil {
		text = d.Live.Text
		for _, p := range d.Live.Parts {
			if p.Part.ToolCall != nil {
				out.ToolCalls = append(out.ToolCalls, viewToolCall(p.Part.ToolCall))
			}
		}
	} else if out.Finished {
		m, err := c.Threads.Message(ctx, of.ThreadID, d.Turn.AssistantMessageID)
		if err != nil {
			return TurnResult{}, err
		}
		text, out.ToolCalls = m.Content, viewMessage(&m, 0).ToolCalls
	}
	out.Length = utf8.RuneCountInString(text)
	out.Answer, out.Truncated = cutText(text, maxAnswerText)
	return out, nil
}
