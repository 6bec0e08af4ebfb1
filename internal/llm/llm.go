package llm

import (
	"context"
	"encoding/json"
	"time"
)

// Provider speaks to one configured provider. It is safe for concurrent use.
type Provider interface {
	// Chat asks for one answer and calls onDelta, which may be nil, for each piece
	// as it arrives. With an error the Response holds what had arrived by then. An
	// error of onDelta ends the request and is returned as it is; all others are
	// an *Error.
	Chat(ctx context.Context, req Request, onDelta func(Delta) error) (Response, error)
	// Models lists what the provider offers.
	Models(ctx context.Context) ([]ModelInfo, error)
	// Test checks address and key without asking a model anything.
	Test(ctx context.Context) (TestResult, error)
}

// Role is who speaks in a message.
type Role string

// The roles. Instructions for the model stand in Request.System.
const (
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleTool      Role = "tool"
)

// Request is one question with everything that belongs to it.
type Request struct {
	Model    string
	System   string
	Messages []Message
	Tools    []Tool
	// ToolChoice is "" or "auto", "none", "required", or the name of a tool.
	ToolChoice string
	Params     Params
	// Output, if set, is the JSON Schema that the answer's text must satisfy. The
	// provider is asked for it; validating is the caller's part.
	Output *OutputSchema
}

// Message is one turn of a conversation. Parts for user and assistant, ToolCalls
// for assistant, ToolResult for tool.
type Message struct {
	Role       Role
	Parts      []Part
	ToolCalls  []ToolCall
	ToolResult *ToolResult
}

// Part is text or, if MediaType is set, an image.
type Part struct {
	Text      string
	MediaType string
	Data      []byte
}

// Text makes a message of one text.
func Text(role Role, text string) Message {
	return Message{Role: role, Parts: []Part{{Text: text}}}
}

// Tool is a function that the model may call. Schema is a JSON Schema of an object.
type Tool struct {
	Name        string
	Description string
	Schema      json.RawMessage
}

// ToolCall is a call that the model asks for. Arguments are JSON as the model wrote
// it, which need not be valid. Signature is opaque and goes back with the call.
type ToolCall struct {
	ID        string
	Name      string
	Arguments string
	Signature []byte
}

// ToolResult answers the call with the same ID.
type ToolResult struct {
	CallID  string
	Name    string
	Content string
	IsError bool
}

// OutputSchema names a JSON Schema for the answer.
type OutputSchema struct {
	Name   string
	Schema json.RawMessage
}

// Params tune an answer; what is not set is left to the provider.
type Params struct {
	Temperature *float64 `json:"temperature,omitempty"`
	TopP        *float64 `json:"top_p,omitempty"`
	MaxTokens   int      `json:"max_tokens,omitempty"`
	Stop        []string `json:"stop,omitempty"`
	Seed        *int64   `json:"seed,omitempty"`
}

// Merge returns p with what over sets replaced.
func (p Params) Merge(over Params) Params {
	if over.Temperature != nil {
		p.Temperature = over.Temperature
	}
	if over.TopP != nil {
		p.TopP = over.TopP
	}
	if over.MaxTokens != 0 {
		p.MaxTokens = over.MaxTokens
	}
	if over.Stop != nil {
		p.Stop = over.Stop
	}
	if over.Seed != nil {
		p.Seed = over.Seed
	}
	return p
}

// Delta is a piece of a streamed answer: text, or part of a tool call.
type Delta struct {
	Text     string
	ToolCall *ToolCallDelta
}

// ToolCallDelta is a piece of the call number Index. ID and Name come with the
// first piece; Arguments are appended.
type ToolCallDelta struct {
	Index     int
	ID        string
	Name      string
	Arguments string
}

// FinishReason is why an answer ended.
type FinishReason string

// The reasons.
const (
	FinishStop    FinishReason = "stop"
	FinishLength  FinishReason = "length"
	FinishTools   FinishReason = "tool_calls"
	FinishFilter  FinishReason = "content_filter"
	FinishUnknown FinishReason = "other"
)

// Response is a whole answer.
type Response struct {
	Model     string
	Text      string
	ToolCalls []ToolCall
	Finish    FinishReason
	Usage     Usage
}

// Usage counts tokens. InputTokens include CachedTokens.
type Usage struct {
	InputTokens  int64
	OutputTokens int64
	CachedTokens int64
}

// ModelInfo describes one model on offer.
type ModelInfo struct {
	ID            string
	Name          string
	ContextTokens int64 // 0 if the provider does not say
}

// TestResult is what a successful test found. Message is for users.
type TestResult struct {
	Message string
	Models  int
	Took    time.Duration
}
