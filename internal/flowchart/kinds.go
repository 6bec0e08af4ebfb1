package flowchart

import (
	"encoding/json"
	"maps"
	"slices"
)

const reasonConfig = "flow.invalid_config"

// StartConfig is the config of a start node.
type StartConfig struct {
	Common
	InputSchema json.RawMessage // JSON Schema of the run's input, or empty
}

// EndConfig is the config of an end node.
type EndConfig struct{ Common }

// TaskConfig is the config of a task node. Prompt and System are templates.
type TaskConfig struct {
	Common
	Prompt       string
	System       string
	ModelID      int64
	Params       json.RawMessage // an object, or empty
	OutputSchema json.RawMessage // JSON Schema of the answer, or empty
	Tools        []string        // names of built-in tools
	MCPServerIDs []int64
	MaxCycles    int // answers that may ask for tools; 0: the handler's default
}

// DecisionConfig is the config of a decision node.
type DecisionConfig struct {
	Common
	Conditions    []ConditionConfig
	DefaultEdgeID string
}

// ConditionConfig makes a decision take an edge when an expression is true.
type ConditionConfig struct {
	EdgeID     string
	Expression string
}

// HTTPConfig is the config of an http node. URL, the header values and Body are
// templates; a Body that is no text is a JSON value whose texts are templates.
type HTTPConfig struct {
	Common
	Method       string
	URL          string
	Headers      map[string]string
	Body         json.RawMessage
	ExpectStatus []int // empty: any status below 400
}

// ScriptConfig is the config of a script node: a Command, or a Script for a
// Shell. Command, Script, Stdin and the values of Env are templates.
type ScriptConfig struct {
	Common
	Command []string
	Script  string
	Shell   string // empty: the handler's default
	Env     map[string]string
	Stdin   string
}

// RAGConfig is the config of a rag node. Question is a template.
type RAGConfig struct {
	Common
	Mode      string // query, fresh_index or delta_index
	SourceIDs []int64
	Question  string
	TopK      int   // 0: the handler's default
	ModelID   int64 // of the model that answers; 0: the handler's default
}

// decode reads a config whose own members are fields.
func decode(config json.RawMessage, c *Common, fields map[string]field) faults {
	var f faults
	all := commonFields(c)
	maps.Copy(all, fields)
	if !isBlank(config) {
		members(config, "config", all, &f)
	}
	return f
}

func configError(f faults) error {
	return f.error(reasonConfig, "The node's configuration is faulty")
}

// DecodeStart reads the config of a start node. Like the other Decode functions
// it fails with flow.invalid_config, naming every member that is unknown or has
// the wrong type or range; what a member means is Validate's business.
func DecodeStart(config json.RawMessage) (StartConfig, error) {
	c, f := decodeStart(config)
	return c, configError(f)
}

func decodeStart(config json.RawMessage) (c StartConfig, f faults) {
	f = decode(config, &c.Common, map[string]field{"input_schema": {into: &c.InputSchema}})
	return c, f
}

// DecodeEnd reads the config of an end node.
func DecodeEnd(config json.RawMessage) (EndConfig, error) {
	var c EndConfig
	return c, configError(decode(config, &c.Common, nil))
}

// DecodeTask reads the config of a task node.
func DecodeTask(config json.RawMessage) (TaskConfig, error) {
	c, f := decodeTask(config)
	return c, configError(f)
}

func decodeTask(config json.RawMessage) (c TaskConfig, f faults) {
	f = decode(config, &c.Common, map[string]field{
		"prompt": {into: &c.Prompt}, "system": {into: &c.System}, "model_id": {into: &c.ModelID},
		"params":         {read: shaped('{', "an object", &c.Params)},
		"output_schema":  {into: &c.OutputSchema},
		"tools":          {into: &c.Tools},
		"mcp_server_ids": {into: &c.MCPServerIDs},
		"max_cycles":     {into: &c.MaxCycles},
	})
	return c, f
}

// shaped keeps a raw value that begins with a bracket.
func shaped(open byte, what string, into *json.RawMessage) func(json.RawMessage, string, *faults) {
	return func(raw json.RawMessage, at string, f *faults) {
		if raw[0] != open {
			f.add(at, "must be %s", what)
			return
		}
		*into = raw
	}
}

// DecodeDecision reads the config of a decision node.
func DecodeDecision(config json.RawMessage) (DecisionConfig, error) {
	c, f := decodeDecision(config)
	return c, configError(f)
}

func decodeDecision(config json.RawMessage) (c DecisionConfig, f faults) {
	f = decode(config, &c.Common, map[string]field{
		"default_edge_id": {into: &c.DefaultEdgeID},
		"conditions": {read: func(raw json.RawMessage, at string, f *faults) {
			var list []json.RawMessage
			if json.Unmarshal(raw, &list) != nil {
				f.add(at, "must be a list of {edge_id, expression}")
				return
			}
			c.Conditions = make([]ConditionConfig, len(list))
			for i, item := range list {
				members(item, indexed(at, i), map[string]field{
					"edge_id": {into: &c.Conditions[i].EdgeID}, "expression": {into: &c.Conditions[i].Expression},
				}, f)
			}
		}},
	})
	return c, f
}

// DecodeHTTP reads the config of an http node.
func DecodeHTTP(config json.RawMessage) (HTTPConfig, error) {
	c, f := decodeHTTP(config)
	return c, configError(f)
}

func decodeHTTP(config json.RawMessage) (c HTTPConfig, f faults) {
	f = decode(config, &c.Common, map[string]field{
		"method": {into: &c.Method}, "url": {into: &c.URL}, "headers": {into: &c.Headers}, "body": {into: &c.Body},
		"expect_status": {read: func(raw json.RawMessage, at string, f *faults) {
			var one int
			if json.Unmarshal(raw, &one) == nil {
				c.ExpectStatus = []int{one}
			} else if json.Unmarshal(raw, &c.ExpectStatus) != nil {
				f.add(at, "must be a status or a list of statuses")
				return
			}
			if slices.ContainsFunc(c.ExpectStatus, func(s int) bool { return s < 100 || s > 599 }) {
				f.add(at, "must lie between 100 and 599")
			}
		}},
	})
	return c, f
}

// DecodeScript reads the config of a script node.
func DecodeScript(config json.RawMessage) (ScriptConfig, error) {
	c, f := decodeScript(config)
	return c, configError(f)
}

func decodeScript(config json.RawMessage) (c ScriptConfig, f faults) {
	f = decode(config, &c.Common, map[string]field{
		"command": {into: &c.Command}, "script": {into: &c.Script}, "shell": {into: &c.Shell},
		"env": {into: &c.Env}, "stdin": {into: &c.Stdin},
	})
	return c, f
}

// DecodeRAG reads the config of a rag node.
func DecodeRAG(config json.RawMessage) (RAGConfig, error) {
	c, f := decodeRAG(config)
	return c, configError(f)
}

func decodeRAG(config json.RawMessage) (c RAGConfig, f faults) {
	f = decode(config, &c.Common, map[string]field{
		"mode": {into: &c.Mode}, "source_ids": {into: &c.SourceIDs}, "question": {into: &c.Question}, "top_k": {into: &c.TopK},
		"model_id": {into: &c.ModelID},
	})
	return c, f
}
