package flowchart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/llmctl/studio/internal/errs"
)

// Kind is what a node does.
type Kind string

// The kinds. Those without a handler yet are stored and found invalid.
const (
	KindStart     Kind = "start"
	KindEnd       Kind = "end"
	KindTask      Kind = "task"
	KindDecision  Kind = "decision"
	KindHTTP      Kind = "http"
	KindScript    Kind = "script"
	KindRAG       Kind = "rag"
	KindMemory    Kind = "memory"
	KindPlan      Kind = "plan"
	KindMilestone Kind = "milestone"
	KindFlowchart Kind = "flowchart"
	KindApproval  Kind = "approval"
)

// Mode is what an edge carries.
type Mode string

// The edge modes: solid triggers and carries context and attachments, dotted
// carries context only, dashed attachments only.
const (
	Solid  Mode = "solid"
	Dotted Mode = "dotted"
	Dashed Mode = "dashed"
)

// Position is where a node lies on the canvas.
type Position struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Node is a node as drawn.
type Node struct {
	ID       string          `json:"id"`
	Kind     Kind            `json:"kind"`
	Title    string          `json:"title"`
	Position Position        `json:"position"`
	Config   json.RawMessage `json:"config"`
}

// Edge is an edge as drawn. Label and handles belong to the drawing.
type Edge struct {
	ID           string `json:"id"`
	Source       string `json:"source"`
	Target       string `json:"target"`
	Mode         Mode   `json:"mode"`
	Label        string `json:"label,omitempty"`
	SourceHandle string `json:"source_handle,omitempty"`
	TargetHandle string `json:"target_handle,omitempty"`
}

// Graph is a flowchart as drawn and stored.
type Graph struct {
	Nodes []Node `json:"nodes"`
	Edges []Edge `json:"edges"`
}

// Limits of a graph.
const (
	MaxNodes = 1000
	MaxEdges = 5000
	maxTitle = 200
)

// Parse reads a graph. What would make it meaningless is an errs.Invalid
// (flow.invalid_graph) that lists every fault with its place; what only keeps it
// from running is left to Validate.
func Parse(raw []byte) (*Graph, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var g Graph
	if err := dec.Decode(&g); err != nil {
		return nil, errs.E(errs.Invalid, "flow.invalid_graph", "The graph is not of the form {nodes, edges}.",
			errs.Detail{Location: "body", Message: decodeMessage(err)})
	}
	if err := g.Check(); err != nil {
		return nil, err
	}
	return &g, nil
}

func decodeMessage(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("%s cannot be a %s", e.Field, e.Value)
	}
	return err.Error()
}

// Check finds structural faults of a graph that was built otherwise than by
// Parse, and gives missing configs their empty form.
func (g *Graph) Check() error {
	var c structure
	c.counts(g)
	c.nodes(g)
	c.edges(g)
	if len(c.details) == 0 {
		return nil
	}
	return errs.E(errs.Invalid, "flow.invalid_graph",
		fmt.Sprintf("The graph has %d structural faults; nothing was stored.", len(c.details)), c.details...)
}

type structure struct {
	details []errs.Detail
	ids     map[string]bool
}

func (c *structure) fault(where, format string, args ...any) {
	const most = 100
	if len(c.details) < most {
		c.details = append(c.details, errs.Detail{Location: where, Message: fmt.Sprintf(format, args...)})
	}
}

func (c *structure) counts(g *Graph) {
	if len(g.Nodes) > MaxNodes {
		c.fault("body.nodes", "has %d nodes; at most %d are accepted", len(g.Nodes), MaxNodes)
	}
	if len(g.Edges) > MaxEdges {
		c.fault("body.edges", "has %d edges; at most %d are accepted", len(g.Edges), MaxEdges)
	}
}

const idPattern = `^[A-Za-z0-9_-]{1,64}$`

func (c *structure) nodes(g *Graph) {
	id := regexp.MustCompile(idPattern)
	c.ids = make(map[string]bool, len(g.Nodes))
	for i := range g.Nodes {
		n := &g.Nodes[i]
		where := fmt.Sprintf("body.nodes[%d]", i)
		if !id.MatchString(n.ID) {
			c.fault(where+".id", "is %q; letters, digits, _ and -, 1 to 64 of them, are accepted", n.ID)
		}
		if c.ids[n.ID] {
			c.fault(where+".id", "%q is used twice", n.ID)
		}
		c.ids[n.ID] = true
		if !knownKind(n.Kind) {
			c.fault(where+".kind", "is %q; accepted are start, end, task, decision, rag, memory, plan, milestone, flowchart, approval, http, script", n.Kind)
		}
		if len(n.Title) > maxTitle {
			c.fault(where+".title", "has %d bytes; at most %d are accepted", len(n.Title), maxTitle)
		}
		if len(n.Config) == 0 || string(n.Config) == "null" {
			n.Config = json.RawMessage("{}")
		}
		if n.Config[0] != '{' {
			c.fault(where+".config", "is not an object")
		}
	}
}

func (c *structure) edges(g *Graph) {
	id := regexp.MustCompile(idPattern)
	ids := make(map[string]bool, len(g.Edges))
	pairs := make(map[[2]string]bool, len(g.Edges))
	for i := range g.Edges {
		e := &g.Edges[i]
		where := fmt.Sprintf("body.edges[%d]", i)
		if !id.MatchString(e.ID) {
			c.fault(where+".id", "is %q; letters, digits, _ and -, 1 to 64 of them, are accepted", e.ID)
		}
		if ids[e.ID] {
			c.fault(where+".id", "%q is used twice", e.ID)
		}
		ids[e.ID] = true
		if !c.ids[e.Source] {
			c.fault(where+".source", "names %q, which is not a node of the graph", e.Source)
		}
		if !c.ids[e.Target] {
			c.fault(where+".target", "names %q, which is not a node of the graph", e.Target)
		}
		if e.Mode == "" {
			e.Mode = Solid
		}
		if e.Mode != Solid && e.Mode != Dotted && e.Mode != Dashed {
			c.fault(where+".mode", "is %q; accepted are solid, dotted, dashed", e.Mode)
		}
		pair := [2]string{e.Source, e.Target}
		if pairs[pair] {
			c.fault(where, "is a second edge from %q to %q; one is accepted", e.Source, e.Target)
		}
		pairs[pair] = true
	}
}

func knownKind(k Kind) bool {
	switch k {
	case KindStart, KindEnd, KindTask, KindDecision, KindHTTP, KindScript,
		KindRAG, KindMemory, KindPlan, KindMilestone, KindFlowchart, KindApproval:
		return true
	}
	return false
}

func supportedKind(k Kind) bool {
	switch k {
	case KindStart, KindEnd, KindTask, KindDecision, KindHTTP, KindScript:
		return true
	default:
		return false
	}
}
