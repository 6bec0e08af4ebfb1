package chat

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// The types of parts.
const (
	PartText       = "text"
	PartToolCall   = "tool_call"
	PartToolResult = "tool_result"
	PartAttachment = "attachment"
	PartCitation   = "citation"
	PartCompaction = "compaction"
)

// MessagePart is a piece of a message; the member that its type names is set.
type MessagePart struct {
	Type       string             `json:"type" enum:"text,tool_call,tool_result,attachment,citation,compaction"`
	Text       string             `json:"text,omitempty"`
	ToolCall   *MessageToolCall   `json:"tool_call,omitempty"`
	ToolResult *MessageToolResult `json:"tool_result,omitempty"`
	Attachment *AttachmentPart    `json:"attachment,omitempty"`
	Citation   *MessageCitation   `json:"citation,omitempty"`
	Compaction *CompactionPart    `json:"compaction,omitempty"`
}

// MessageToolCall is a call that the model asked for.
type MessageToolCall struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Server    string          `json:"server,omitempty" doc:"The MCP server that has the tool; empty: built in"`
	ServerID  int64           `json:"server_id,omitempty"`
	Arguments json.RawMessage `json:"arguments"`
	Status    string          `json:"status,omitempty" enum:"pending,waiting,approved,running,succeeded,failed,denied,unknown,cancelled" doc:"waiting: for a person's approval"`
	Progress  string          `json:"progress,omitempty" doc:"What its server said last of how far it is, while it runs"`
	// ToolCallID names the record of the call.
	ToolCallID int64 `json:"tool_call_id,omitempty" doc:"Approve or deny it at /api/tool-calls/{tool_call_id}"`
	// Signature is opaque and goes back to the provider with the call.
	Signature []byte `json:"signature,omitempty"`
}

// MessageToolResult answers the call with the same id.
type MessageToolResult struct {
	CallID     string `json:"call_id"`
	Name       string `json:"name"`
	Content    string `json:"content"`
	IsError    bool   `json:"is_error,omitempty"`
	Truncated  bool   `json:"truncated,omitempty" doc:"The whole result is larger; /api/tool-calls/{tool_call_id} of the call has it"`
	Blob       string `json:"blob,omitempty"`
	DurationMS int64  `json:"duration_ms,omitempty"`
}

// AttachmentPart names a file that was sent along.
type AttachmentPart struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	Kind      string `json:"kind" enum:"text,pdf,image"`
	MediaType string `json:"media_type"`
	Size      int64  `json:"size"`
	Pages     int32  `json:"pages,omitempty"`
}

// MessageCitation is a passage that was given to the model.
type MessageCitation struct {
	Number   int     `json:"number" doc:"As the answer refers to it: [1]"`
	SourceID int64   `json:"source_id"`
	Path     string  `json:"path"`
	Position string  `json:"position,omitempty"`
	Chunk    string  `json:"chunk,omitempty" doc:"The chunk's key in the index"`
	Text     string  `json:"text"`
	Score    float64 `json:"score"`
}

// CompactionPart marks that older messages were folded before this answer.
type CompactionPart struct {
	ID               int64  `json:"id"`
	Method           string `json:"method" enum:"model,excerpts"`
	Summary          string `json:"summary"`
	ThroughMessageID int64  `json:"through_message_id" doc:"The last message that is folded; it and those before it stay readable"`
	Messages         int32  `json:"messages" doc:"How many this one folded"`
	TokensBefore     int32  `json:"tokens_before"`
	TokensAfter      int32  `json:"tokens_after"`
	Reason           string `json:"reason,omitempty" doc:"Why the model did not write the summary"`
}

// PlacedPart is a part that came after so many characters of text.
type PlacedPart struct {
	Offset int64       `json:"offset" doc:"Characters of text before it"`
	Part   MessagePart `json:"part"`
}

// place adds a part. A call that is there already is told anew, where it stands.
func place(placed []PlacedPart, p PlacedPart) []PlacedPart {
	if p.Part.ToolCall != nil {
		for i := range placed {
			if old := placed[i].Part.ToolCall; old != nil && old.ID == p.Part.ToolCall.ID {
				placed[i].Part = p.Part
				return placed
			}
		}
	}
	return append(placed, p)
}

// closeCalls gives the calls of an ended answer that were under way their end: what
// had begun may have been done, what waited was not.
func closeCalls(placed []PlacedPart) []PlacedPart {
	out := slices.Clone(placed)
	for i := range out {
		c := out[i].Part.ToolCall
		if c == nil {
			continue
		}
		ended := *c
		ended.Progress = ""
		switch c.Status {
		case "running":
			ended.Status = "unknown"
		case "pending", "waiting", "approved":
			ended.Status = "cancelled"
		}
		out[i].Part.ToolCall = &ended
	}
	return out
}

// assemble puts parts where they came in the text. The text parts together are the
// text.
func assemble(text string, placed []PlacedPart) []MessagePart {
	out := []MessagePart{}
	at := int64(0)
	for _, p := range placed {
		var before string
		before, text = cut(text, p.Offset-at)
		at += int64(utf8.RuneCountInString(before))
		if before != "" {
			out = append(out, MessagePart{Type: PartText, Text: before})
		}
		out = append(out, p.Part)
	}
	if text != "" {
		out = append(out, MessagePart{Type: PartText, Text: text})
	}
	return out
}

// cut splits after n characters.
func cut(s string, n int64) (before, after string) {
	if n <= 0 {
		return "", s
	}
	for i := range s {
		if n == 0 {
			return s[:i], s[i:]
		}
		n--
	}
	return s, ""
}

// textOf joins the text parts.
func textOf(parts []MessagePart) string {
	var b strings.Builder
	for _, p := range parts {
		if p.Type == PartText {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}
