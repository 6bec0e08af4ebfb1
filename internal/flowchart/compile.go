package flowchart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/llmctl/studio/internal/errs"
)

// Compiled is a graph made ready to run. It is immutable and safe for concurrent
// use.
type Compiled struct {
	graph     *Graph
	topo      *topology
	edges     map[string]int // index by id
	fanIn     []fanIn
	policies  []Policy
	configs   []*configTemplates
	decisions map[string]*Decision
	start     string
	schema    *jsonschema.Schema // of the input; nil: anything
}

// Compile prepares a graph that Validate found nothing wrong with.
func Compile(g *Graph) (*Compiled, error) {
	c, findings, err := compile(g, Options{})
	if err != nil {
		return nil, err
	}
	if len(findings) > 0 {
		f := findings[0]
		return nil, fmt.Errorf("graph is not valid: %s%s: %s", f.NodeID, f.EdgeID, f.Message)
	}
	return c, nil
}

// Node gives a node by its id.
func (c *Compiled) Node(id string) (*Node, bool) {
	i, ok := c.topo.index[id]
	if !ok {
		return nil, false
	}
	return &c.graph.Nodes[i], true
}

// StartNode is the id of the graph's start node.
func (c *Compiled) StartNode() string { return c.start }

// Policy is how attempts of a node are made.
func (c *Compiled) Policy(id string) Policy { return c.policies[c.topo.index[id]] }

// Decision gives the compiled conditions of a decision node.
func (c *Compiled) Decision(id string) (*Decision, error) {
	d, ok := c.decisions[id]
	if !ok {
		return nil, fmt.Errorf("node %q is not a decision", id)
	}
	return d, nil
}

// ConfigRefs says which nodes' outputs a node's templates read.
func (c *Compiled) ConfigRefs(id string) Refs { return c.configs[c.topo.index[id]].refs }

// RenderConfig gives a node's config with its templates rendered. The error is
// for the flowchart's author.
func (c *Compiled) RenderConfig(ctx context.Context, id string, s Scope) (json.RawMessage, error) {
	return c.configs[c.topo.index[id]].render(ctx, s)
}

// ContextSources lists the nodes that give a node context without triggering it.
func (c *Compiled) ContextSources(id string) []string { return c.sources(id, Dotted) }

// AttachmentSources lists the nodes that give a node attachments only.
func (c *Compiled) AttachmentSources(id string) []string { return c.sources(id, Dashed) }

func (c *Compiled) sources(id string, mode Mode) []string {
	var out []string
	for i := range c.graph.Edges {
		if e := &c.graph.Edges[i]; e.Target == id && e.Mode == mode {
			out = append(out, e.Source)
		}
	}
	return out
}

// ValidateInput checks a run's input: an object that fits the start node's
// input_schema. The errs.Invalid (flow.invalid_input) lists what does not.
func (c *Compiled) ValidateInput(raw json.RawMessage) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return errs.E(errs.Invalid, "flow.invalid_input", "The input is not JSON.", errs.Detail{Location: "body.input", Message: err.Error()})
	}
	if _, ok := v.(map[string]any); !ok {
		return errs.E(errs.Invalid, "flow.invalid_input", "The input is not an object.",
			errs.Detail{Location: "body.input", Message: "an object is accepted, for example {\"text\": \"…\"}"})
	}
	if c.schema == nil {
		return nil
	}
	err = c.schema.Validate(v)
	if err == nil {
		return nil
	}
	out := errs.E(errs.Invalid, "flow.invalid_input", "The input does not fit the flowchart's input schema.")
	if ve, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		for _, u := range ve.BasicOutput().Errors {
			if u.Error != nil {
				out.Details = append(out.Details, errs.Detail{Location: "body.input" + u.InstanceLocation, Message: u.Error.String()})
			}
		}
	}
	return out.With(err)
}

// noLoader refuses references out of a schema: a graph must not make the server
// fetch or read anything.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("refers to %s; references to other documents are not accepted", url)
}

// CompileSchema compiles a JSON Schema that stands for itself.
func CompileSchema(raw json.RawMessage) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	const name = "urn:schema"
	if err := compiler.AddResource(name, doc); err != nil {
		return nil, fmt.Errorf("is not a JSON Schema: %w", err)
	}
	schema, err := compiler.Compile(name)
	if err != nil {
		return nil, fmt.Errorf("is not a JSON Schema: %w", err)
	}
	return schema, nil
}

// Decision is a decision node's conditions.
type Decision struct {
	conditions []condition
	fallback   string
}

type condition struct {
	edge string
	expr *Expr
}

// Evaluation is how one condition came out.
type Evaluation struct {
	EdgeID     string `json:"edge_id"`
	Expression string `json:"expression"`
	Result     bool   `json:"result"`
}

// Verdict is which edges a decision takes and why.
type Verdict struct {
	Edges       []string
	Evaluations []Evaluation
}

// Refs says which nodes' outputs the conditions read.
func (d *Decision) Refs() Refs {
	var r Refs
	for _, c := range d.conditions {
		r = r.and(c.expr.refs)
	}
	return r
}

// Decide evaluates all conditions: every true one is taken; if none is, the
// default edge. No edge at all means that nothing matched.
func (d *Decision) Decide(ctx context.Context, s Scope) (Verdict, error) {
	v := Verdict{Edges: []string{}, Evaluations: make([]Evaluation, 0, len(d.conditions))}
	vars := s.vars()
	for _, c := range d.conditions {
		out, err := c.expr.eval(ctx, vars)
		if err != nil {
			return v, fmt.Errorf("the condition could not be evaluated: %w", err)
		}
		yes, ok := out.(bool)
		if !ok {
			return v, fmt.Errorf("the condition %q gave %v, not true or false", c.expr.source, out)
		}
		v.Evaluations = append(v.Evaluations, Evaluation{EdgeID: c.edge, Expression: c.expr.source, Result: yes})
		if yes && !slices.Contains(v.Edges, c.edge) {
			v.Edges = append(v.Edges, c.edge)
		}
	}
	if len(v.Edges) == 0 && d.fallback != "" {
		v.Edges = append(v.Edges, d.fallback)
	}
	return v, nil
}
