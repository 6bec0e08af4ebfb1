package flowchart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Retry says how often a failed node is tried in all, and how long to wait
// before the second attempt; the wait doubles from then on.
type Retry struct {
	MaxAttempts    int     `json:"max_attempts"`
	BackoffSeconds float64 `json:"backoff_seconds"`
}

// Common is what the config of every kind may hold.
type Common struct {
	Retry          *Retry          `json:"retry,omitempty"`
	TimeoutSeconds *float64        `json:"timeout_seconds,omitempty"`
	FanIn          json.RawMessage `json:"fan_in,omitempty"` // "all", "any" or a number
}

// StartConfig is the config of a start node.
type StartConfig struct {
	Common
	InputSchema json.RawMessage `json:"input_schema,omitempty"`
}

// EndConfig is the config of an end node.
type EndConfig struct{ Common }

// TaskConfig is the config of a task node: one question to a model.
type TaskConfig struct {
	Common
	Prompt       string          `json:"prompt"`
	System       string          `json:"system,omitempty"`
	ModelID      int64           `json:"model_id"`
	Params       json.RawMessage `json:"params,omitempty"`
	OutputSchema json.RawMessage `json:"output_schema,omitempty"`
	Tools        json.RawMessage `json:"tools,omitempty"`
	MCPServerIDs []int64         `json:"mcp_server_ids,omitempty"`
}

// ConditionConfig guards one out-edge of a decision.
type ConditionConfig struct {
	EdgeID     string `json:"edge_id"`
	Expression string `json:"expression"`
}

// DecisionConfig is the config of a decision node.
type DecisionConfig struct {
	Common
	Conditions    []ConditionConfig `json:"conditions"`
	DefaultEdgeID string            `json:"default_edge_id,omitempty"`
}

// HTTPConfig is the config of an http node.
type HTTPConfig struct {
	Common
	Method       string            `json:"method"`
	URL          string            `json:"url"`
	Headers      map[string]string `json:"headers,omitempty"`
	Body         json.RawMessage   `json:"body,omitempty"` // a string, or JSON whose strings are templates
	ExpectStatus json.RawMessage   `json:"expect_status,omitempty"`
}

// ScriptConfig is the config of a script node.
type ScriptConfig struct {
	Common
	Command []string          `json:"command,omitempty"`
	Script  string            `json:"script,omitempty"`
	Shell   string            `json:"shell,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Stdin   string            `json:"stdin,omitempty"`
}

// decode reads a config strictly: an unknown member is most often a misspelt one.
func decode(raw json.RawMessage, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return errors.New(decodeMessage(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("has more than one JSON value")
	}
	return nil
}

// fanIn is how many parents a node waits for.
type fanIn struct {
	all bool
	k   int // of "any": 1
}

func parseFanIn(raw json.RawMessage) (fanIn, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return fanIn{all: true}, nil
	}
	var word string
	if json.Unmarshal(raw, &word) == nil {
		switch word {
		case "all":
			return fanIn{all: true}, nil
		case "any":
			return fanIn{k: 1}, nil
		}
	}
	var k int
	if json.Unmarshal(raw, &k) == nil && k >= 1 {
		return fanIn{k: k}, nil
	}
	return fanIn{}, fmt.Errorf(`fan_in is %s; accepted are "all", "any" or a number of parents`, raw)
}

// Policy is how the attempts of a node are made.
type Policy struct {
	MaxAttempts    int
	BackoffSeconds float64
	TimeoutSeconds float64 // 0: the default
}

func policyOf(c Common) Policy {
	p := Policy{MaxAttempts: 1}
	if c.Retry != nil {
		p.MaxAttempts, p.BackoffSeconds = c.Retry.MaxAttempts, c.Retry.BackoffSeconds
	}
	if c.TimeoutSeconds != nil {
		p.TimeoutSeconds = *c.TimeoutSeconds
	}
	return p
}
