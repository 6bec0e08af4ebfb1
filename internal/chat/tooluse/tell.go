package tooluse

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/llm/toolloop"
)

// maxShown bounds how much of a result is part of a message (bytes).
const maxShown = 16 << 10

// told is what a checkpoint has of the record: all of the cycles before Cycle, and of
// that one the calls with these states.
type told struct {
	Cycle int32                      `json:"cycle"`
	Calls map[string]toolloop.Status `json:"calls"`
}

// teller turns what a loop does into pieces of an answer.
type teller struct {
	emit  func(chat.Said) error
	until told // what an attempt before has said
	now   told
}

func newTeller(state json.RawMessage, emit func(chat.Said) error) (*teller, error) {
	t := &teller{emit: emit, now: told{Calls: map[string]toolloop.Status{}}}
	if len(state) > 0 {
		if err := json.Unmarshal(state, &t.until); err != nil {
			return nil, fmt.Errorf("read where the answer stopped: %w", err)
		}
	}
	return t, nil
}

// state is what a checkpoint keeps.
func (t *teller) state() (json.RawMessage, error) {
	raw, err := json.Marshal(t.now)
	if err != nil {
		return nil, fmt.Errorf("keep where the answer stopped: %w", err)
	}
	return raw, nil
}

// repeat says what was recorded, without what a checkpoint has said.
func (t *teller) repeat(recorded []toolloop.Cycle) error {
	for i := range recorded {
		c := &recorded[i]
		if c.Number > t.until.Cycle && c.Text != "" {
			if err := t.emit(chat.Said{Text: c.Text}); err != nil {
				return err
			}
		}
		for k := range c.Calls {
			call := &c.Calls[k]
			known := c.Number < t.until.Cycle || c.Number == t.until.Cycle && t.until.Calls[partID(call)] == call.Status
			if err := t.call(c.Number, call, known); err != nil {
				return err
			}
		}
	}
	return nil
}

// event implements toolloop.Options.Emit.
func (t *teller) event(e toolloop.Event) error {
	switch e.Kind {
	case toolloop.EventText:
		return t.emit(chat.Said{Text: e.Text})
	case toolloop.EventCall:
		return t.call(e.Cycle, e.Call, false)
	case toolloop.EventProgress:
		part := callPart(e.Call)
		part.ToolCall.Progress = short(e.Text)
		return t.emit(chat.Said{Part: part})
	case toolloop.EventAnswer:
	}
	return nil
}

// call says what a call is by now.
func (t *teller) call(cycle int32, c *toolloop.Call, known bool) error {
	if cycle > t.now.Cycle {
		t.now = told{Cycle: cycle, Calls: map[string]toolloop.Status{}}
	}
	t.now.Calls[partID(c)] = c.Status
	if known {
		return nil
	}
	if err := t.emit(chat.Said{Part: callPart(c)}); err != nil || !c.Status.Final() {
		return err
	}
	return t.emit(chat.Said{Part: resultPart(c)})
}

// maxProgress bounds what is shown of a server's word on how far it is (characters).
const maxProgress = 300

func short(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	if r := []rune(text); len(r) > maxProgress {
		return string(r[:maxProgress]) + "…"
	}
	return text
}

// partID names a call within all conversations.
func partID(c *toolloop.Call) string { return "call_" + strconv.FormatInt(c.ID, 10) }

func callPart(c *toolloop.Call) *chat.MessagePart {
	return &chat.MessagePart{Type: chat.PartToolCall, ToolCall: &chat.MessageToolCall{
		ID: partID(c), Name: c.Name, Server: c.Ref.Server, ServerID: c.Ref.ServerID, Arguments: arguments(c.Arguments), Status: string(c.Status),
		ToolCallID: c.ID, Signature: c.Signature,
	}}
}

// arguments makes an object of what a model wrote: providers take nothing else back.
func arguments(written string) json.RawMessage {
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(written), &object) == nil && object != nil {
		return json.RawMessage(written)
	}
	if strings.TrimSpace(written) == "" {
		return json.RawMessage(`{}`)
	}
	raw, err := json.Marshal(map[string]string{"not_an_object": strings.ToValidUTF8(written, "\uFFFD")})
	if err != nil {
		return json.RawMessage(`{}`)
	}
	return raw
}

func resultPart(c *toolloop.Call) *chat.MessagePart {
	r := &chat.MessageToolResult{
		CallID: partID(c), Name: c.Name, Content: strings.ToValidUTF8(c.Content, "\uFFFD"), IsError: c.Status != toolloop.Succeeded, DurationMS: c.Took.Milliseconds(),
	}
	if len(r.Content) > maxShown {
		r.Truncated = true
		r.Content = strings.ToValidUTF8(r.Content[:maxShown], "") + fmt.Sprintf("\n[cut here: the first %d of %d bytes]", maxShown, len(c.Content))
	}
	return &chat.MessagePart{Type: chat.PartToolResult, ToolResult: r}
}
