package client

import (
	"context"
	"encoding/json"
	"time"
)

// The transports.
const (
	StreamableHTTP = "streamable-http"
	SSE            = "sse"
	Stdio          = "stdio"
)

// Spec says how a server is reached. Headers and Env are secret.
type Spec struct {
	ID, Revision int64
	Key          string // for messages
	Transport    string
	URL          string
	Headers      map[string]string
	Command      string
	Args         []string
	Env          map[string]string
	// Token gives the access token to send, "" for none; nil: none ever.
	Token func(ctx context.Context) (string, error)
}

// String keeps secrets out of logs.
func (s Spec) String() string { return s.Key + " over " + s.Transport }

// GoString is String for %#v.
func (s Spec) GoString() string { return s.String() }

// Info is what a server says of itself.
type Info struct {
	ProtocolVersion string
	Name, Version   string
	Instructions    string
	Connected       time.Duration // from the first byte to the answer of initialize
}

// Tool is a tool that a server offers. What it says of itself are hints.
type Tool struct {
	Name, Title, Description string
	Input, Output            json.RawMessage // JSON Schemas; Output may be empty
	ReadOnly, Destructive    bool
	Idempotent, OpenWorld    bool
}

// Result is what a call gave. IsError: the tool itself failed, and says why.
type Result struct {
	Text       string
	Structured json.RawMessage
	IsError    bool
}

// Progress is what a server tells of a call while it works.
type Progress struct {
	Done, Total float64 // Total is 0 if it is not known
	Message     string
}
