package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/toolloop"
)

// Builtin is a tool of the Studio's own.
type Builtin struct {
	Name, Description string
	Schema            json.RawMessage
	Repeatable        bool
	Timeout           time.Duration
	// Run does the work. Its error is told to the model.
	Run func(ctx context.Context, arguments json.RawMessage) (string, error)
}

func (b Builtin) tool() toolloop.Tool {
	return toolloop.Tool{
		Tool: llm.Tool{Name: b.Name, Description: b.Description, Schema: b.Schema}, Ref: toolloop.Ref{Tool: b.Name},
		Repeatable: b.Repeatable, Timeout: b.Timeout,
	}
}

func (b *Box) builtin(name string) (Builtin, bool) {
	for _, one := range b.builtins {
		if one.Name == name {
			return one, true
		}
	}
	return Builtin{}, false
}

// BuiltinNames lists the built-in tools.
func (b *Box) BuiltinNames() []string {
	out := make([]string, len(b.builtins))
	for i, one := range b.builtins {
		out[i] = one.Name
	}
	return out
}

func (s *Set) callBuiltin(ctx context.Context, name string, arguments json.RawMessage) toolloop.Outcome {
	b, ok := s.box.builtin(name)
	if !ok {
		return toolloop.Outcome{IsError: true, Code: toolloop.CodeUnknownTool, Content: "There is no such tool."}
	}
	text, err := b.Run(ctx, arguments)
	if err != nil {
		return toolloop.Outcome{IsError: true, Code: toolloop.CodeTool, Content: err.Error()}
	}
	return toolloop.Outcome{Content: text}
}

// Clock tells models the time, which they do not know.
func Clock(now func() time.Time) Builtin {
	return Builtin{
		Name: "current_time", Description: "Gives the current date and time, with weekday, in a time zone.", Repeatable: true,
		Schema: json.RawMessage(`{"type":"object","properties":{"time_zone":{"type":"string","description":"IANA name such as Europe/Berlin; UTC if left out"}},"additionalProperties":false}`),
		Run: func(_ context.Context, arguments json.RawMessage) (string, error) {
			var in struct {
				Zone string `json:"time_zone"`
			}
			if err := json.Unmarshal(arguments, &in); err != nil {
				return "", fmt.Errorf("the arguments are not an object: %w", err)
			}
			zone, err := time.LoadLocation(in.Zone)
			if err != nil || in.Zone == "Local" {
				return "", fmt.Errorf("there is no time zone %q; use an IANA name such as Europe/Berlin", in.Zone)
			}
			return now().In(zone).Format("Monday 2006-01-02T15:04:05Z07:00 (MST)"), nil
		},
	}
}
