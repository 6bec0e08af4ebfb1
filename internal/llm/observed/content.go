package observed

import (
	"encoding/json"
	"strings"

	"github.com/llmctl/studio/internal/llm"
)

// message and part are the conventions' JSON forms of what is said and answered.
type message struct {
	Role   string `json:"role"`
	Parts  []part `json:"parts"`
	Finish string `json:"finish_reason,omitempty"`
}

type part struct {
	Type      string `json:"type"`
	Content   string `json:"content,omitempty"`
	Modality  string `json:"modality,omitempty"`
	MediaType string `json:"mime_type,omitempty"`
	ID        string `json:"id,omitempty"`
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments,omitempty"`
	Response  string `json:"response,omitempty"`
}

// maxText bounds each text: a span is no place for a book.
const maxText = 16 << 10

func bounded(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

func messages(in []llm.Message) string {
	out := make([]message, len(in))
	for i, m := range in {
		out[i] = message{Role: string(m.Role), Parts: append(parts(m.Parts), calls(m.ToolCalls)...)}
		if r := m.ToolResult; r != nil {
			out[i].Parts = append(out[i].Parts, part{Type: "tool_call_response", ID: r.CallID, Response: bounded(r.Content)})
		}
	}
	return encode(out)
}

func answer(res llm.Response) string {
	m := message{Role: string(llm.RoleAssistant), Parts: calls(res.ToolCalls), Finish: string(res.Finish)}
	if res.Text != "" {
		m.Parts = append([]part{{Type: "text", Content: bounded(res.Text)}}, m.Parts...)
	}
	return encode([]message{m})
}

// parts leaves the bytes of images away.
func parts(in []llm.Part) []part {
	out := make([]part, len(in))
	for i, p := range in {
		if p.MediaType != "" {
			out[i] = part{Type: "blob", Modality: "image", MediaType: p.MediaType}
			continue
		}
		out[i] = part{Type: "text", Content: bounded(p.Text)}
	}
	return out
}

func calls(in []llm.ToolCall) []part {
	out := make([]part, len(in))
	for i, c := range in {
		out[i] = part{Type: "tool_call", ID: c.ID, Name: c.Name, Arguments: bounded(c.Arguments)}
	}
	return out
}

// encode writes texts only, which cannot fail.
func encode(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return "[]"
	}
	return string(raw)
}
