package llm

import "strings"

// Collector gathers streamed pieces into a Response and passes them on. Providers
// use it so that what users saw and what is stored are the same.
type Collector struct {
	emit  func(Delta) error
	text  strings.Builder
	calls []ToolCall
}

// NewCollector makes a Collector; emit may be nil.
func NewCollector(emit func(Delta) error) *Collector { return &Collector{emit: emit} }

// Text adds a piece of text.
func (c *Collector) Text(s string) error {
	if s == "" {
		return nil
	}
	c.text.WriteString(s)
	return c.send(Delta{Text: s})
}

// Call adds a piece of a tool call. Indexes may arrive with gaps, as content
// blocks have one count for text and calls.
func (c *Collector) Call(d ToolCallDelta, signature []byte) error {
	const most = 256
	if d.Index < 0 || d.Index >= most {
		return &Error{Kind: KindInvalidRequest, Message: "The model asked for too many tool calls at once."}
	}
	for len(c.calls) <= d.Index {
		c.calls = append(c.calls, ToolCall{})
	}
	call := &c.calls[d.Index]
	if call.ID == "" {
		call.ID = d.ID
	}
	if call.Name == "" {
		call.Name = d.Name
	}
	call.Arguments += d.Arguments
	if len(signature) > 0 {
		call.Signature = signature
	}
	return c.send(Delta{ToolCall: &d})
}

// Into stores what was gathered in r.
func (c *Collector) Into(r *Response) {
	r.Text = c.text.String()
	r.ToolCalls = nil
	for _, call := range c.calls {
		if call.Name == "" && call.ID == "" {
			continue
		}
		if call.Arguments == "" {
			call.Arguments = "{}"
		}
		r.ToolCalls = append(r.ToolCalls, call)
	}
}

func (c *Collector) send(d Delta) error {
	if c.emit == nil {
		return nil
	}
	return c.emit(d)
}
