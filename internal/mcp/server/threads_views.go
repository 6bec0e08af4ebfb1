package server

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/chat"
)

// What of messages is in an answer (bytes of text).
const (
	maxMessageText = 16 << 10  // of one message of a thread
	maxThreadText  = 256 << 10 // of all of them together; the newest come first
	maxAnswerText  = 256 << 10 // of the answer of a turn
)

// Thread is a conversation as a model sees it.
type Thread struct {
	ID                 int64     `json:"id"`
	Title              string    `json:"title"`
	Status             string    `json:"status" jsonschema:"active; archived: it takes no messages"`
	ModelID            *int64    `json:"model_id" jsonschema:"null: the default of the settings"`
	ResponseComplexity string    `json:"response_complexity"`
	MCPServerIDs       []int64   `json:"mcp_server_ids"`
	SourceIDs          []int64   `json:"source_ids"`
	MessageCount       int32     `json:"message_count" jsonschema:"Of all branches"`
	Busy               bool      `json:"busy" jsonschema:"A turn has not ended yet"`
	CreatedAt          time.Time `json:"created_at"`
	LastActivityAt     time.Time `json:"last_activity_at"`
}

func viewThread(t *chat.Thread, busy bool) Thread {
	v := chat.ViewThread(t, busy)
	return Thread{
		ID: v.ID, Title: v.Title, Status: v.Status, ModelID: v.ModelID, ResponseComplexity: v.ResponseComplexity, MCPServerIDs: v.MCPServerIDs,
		SourceIDs: v.SourceIDs, MessageCount: v.MessageCount, Busy: busy, CreatedAt: v.CreatedAt, LastActivityAt: v.LastActivityAt,
	}
}

// ThreadDetail is a thread with a piece of its conversation.
type ThreadDetail struct {
	Thread
	Messages []Message `json:"messages" jsonschema:"In the order of the conversation"`
	Older    *int32    `json:"older" jsonschema:"Give it as before for older messages; null: there are none"`
	Turns    []Turn    `json:"turns" jsonschema:"That have not ended, the first one first"`
}

// Message is a message of a thread.
type Message struct {
	ID        int64      `json:"id"`
	TurnID    *int64     `json:"turn_id"`
	Role      string     `json:"role" jsonschema:"user or assistant"`
	Status    string     `json:"status" jsonschema:"pending: its turn has not ended; complete; partial: cut short; failed"`
	Text      string     `json:"text"`
	Truncated bool       `json:"truncated,omitempty" jsonschema:"The text is longer; ask for fewer messages, or see text_characters"`
	Length    int        `json:"text_characters"`
	ToolCalls []ToolCall `json:"tool_calls,omitempty" jsonschema:"That the model asked for"`
	Files     []string   `json:"files,omitempty" jsonschema:"Names of files that were sent along"`
	CreatedAt time.Time  `json:"created_at"`
}

// ToolCall is a call that the model of a thread asked for.
type ToolCall struct {
	ID     int64  `json:"tool_call_id,omitempty"`
	Name   string `json:"name"`
	Server string `json:"server,omitempty" jsonschema:"The MCP server that has the tool"`
	Status string `json:"status" jsonschema:"pending, waiting (for a person's approval), approved, running; or ended: succeeded, failed, denied, unknown, cancelled"`
}

// Turn is a turn of a thread.
type Turn struct {
	ID                 int64  `json:"turn_id"`
	Status             string `json:"status" jsonschema:"queued, running, waiting (for a person's approval of a tool call), cancelling; or ended: succeeded, failed, cancelled"`
	UserMessageID      int64  `json:"user_message_id"`
	AssistantMessageID int64  `json:"assistant_message_id" jsonschema:"Where the answer is, or will be"`
}

// TurnResult is a turn with the answer so far.
type TurnResult struct {
	ThreadID int64 `json:"thread_id"`
	Turn
	Finished     bool            `json:"finished" jsonschema:"false: see next"`
	Answer       string          `json:"answer" jsonschema:"What the model said so far"`
	Truncated    bool            `json:"truncated,omitempty" jsonschema:"The answer is longer; GET /api/threads/{thread_id}/messages has all of it"`
	Length       int             `json:"answer_characters"`
	ToolCalls    []ToolCall      `json:"tool_calls,omitempty"`
	FinishReason string          `json:"finish_reason,omitempty" jsonschema:"stop, length, tool_calls, content_filter or other"`
	Error        *chat.TurnError `json:"error" jsonschema:"Why it failed; null if it did not"`
	InputTokens  int64           `json:"input_tokens"`
	OutputTokens int64           `json:"output_tokens"`
	Next         string          `json:"next,omitempty" jsonschema:"What to do next"`
}

// MessageFound is a message that a search found.
type MessageFound struct {
	MessageID   int64     `json:"message_id"`
	ThreadID    int64     `json:"thread_id"`
	ThreadTitle string    `json:"thread_title"`
	Role        string    `json:"role"`
	Snippet     string    `json:"snippet" jsonschema:"Where the words are, **marked**"`
	CreatedAt   time.Time `json:"created_at"`
}

func viewFound(h *chat.MessageHit) MessageFound {
	var b strings.Builder
	for _, p := range h.Snippet {
		if p.Hit {
			b.WriteString("**" + p.Text + "**")
		} else {
			b.WriteString(p.Text)
		}
	}
	return MessageFound{MessageID: h.MessageID, ThreadID: h.ThreadID, ThreadTitle: h.ThreadTitle, Role: h.Role, Snippet: b.String(), CreatedAt: h.CreatedAt}
}

func viewThreadDetail(d *chat.Detail) ThreadDetail {
	out := ThreadDetail{Thread: viewThread(&d.Thread, len(d.Unfinished) > 0), Messages: make([]Message, len(d.Page.Items)), Turns: []Turn{}}
	room := maxThreadText
	for i := len(d.Page.Items) - 1; i >= 0; i-- { // the newest keep most of their text
		out.Messages[i] = viewMessage(&d.Page.Items[i], min(room, maxMessageText))
		room -= len(out.Messages[i].Text)
	}
	if d.Page.Older > 0 {
		out.Older = &d.Page.Older
	}
	for i := range d.Unfinished {
		out.Turns = append(out.Turns, viewTurn(&d.Unfinished[i]))
	}
	return out
}

func viewMessage(m *chat.MessageView, most int) Message {
	v := Message{ID: m.ID, TurnID: m.TurnID, Role: m.Role, Status: m.Status, Length: utf8.RuneCountInString(m.Content), CreatedAt: m.CreatedAt}
	v.Text, v.Truncated = cutText(m.Content, most)
	for _, p := range m.Parts {
		switch {
		case p.ToolCall != nil:
			v.ToolCalls = append(v.ToolCalls, viewToolCall(p.ToolCall))
		case p.Attachment != nil:
			v.Files = append(v.Files, p.Attachment.Name)
		}
	}
	return v
}

func viewToolCall(c *chat.MessageToolCall) ToolCall {
	return ToolCall{ID: c.ToolCallID, Name: c.Name, Server: c.Server, Status: c.Status}
}

// cutText keeps at most so many bytes, at the end of a character.
func cutText(text string, most int) (string, bool) {
	if len(text) <= most {
		return text, false
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most], true
}

func viewTurn(t *chat.Turn) Turn {
	return Turn{ID: t.ID, Status: t.Status, UserMessageID: t.UserMessageID, AssistantMessageID: t.AssistantMessageID}
}

// activityCursor is a position in the list of threads.
func activityCursor(at time.Time, id int64) string {
	return "t" + strconv.FormatInt(at.UnixMicro(), 36) + "." + strconv.FormatInt(id, 36)
}

func afterActivity(cursor string) (time.Time, int64, error) {
	when, which, found := strings.Cut(strings.TrimPrefix(cursor, "t"), ".")
	micros, err := strconv.ParseInt(when, 36, 64)
	id, err2 := strconv.ParseInt(which, 36, 64)
	if !found || !strings.HasPrefix(cursor, "t") || err != nil || err2 != nil || id <= 0 || micros <= 0 || micros >= 1<<53 {
		return time.Time{}, 0, badCursor()
	}
	return time.UnixMicro(micros).UTC(), id, nil
}

func nextOfTurn(threadID int64, t *chat.Turn) string {
	ids := fmt.Sprintf("thread_id %d and turn_id %d", threadID, t.ID)
	switch t.Status {
	case chat.Succeeded:
		return ""
	case chat.Failed:
		return "error says what happened. If it may pass, send the message again."
	case chat.Cancelled:
		return "It was stopped. Send the message again for another answer."
	case chat.Waiting:
		return "A tool call waits for a person's approval in the Studio. Ask them, then call llmctl_get_turn with " + ids + "."
	default:
		return "It goes on. Call llmctl_get_turn with " + ids + " and wait_seconds to wait for the answer."
	}
}
