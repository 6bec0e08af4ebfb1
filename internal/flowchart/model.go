package flowchart

import (
	"encoding/json"
	"maps"
	"slices"
)

// Limits of a graph.
const (
	MaxNodes       = 1000
	MaxEdges       = 5000
	MaxGraphBytes  = 8 << 20
	MaxConfigBytes = 256 << 10
	MaxTitleLength = 200
	MaxEdgeExtra   = 16 << 10
)

// Kind is what a node does.
type Kind string

// The kinds of nodes.
const (
	KindStart     Kind = "start"
	KindEnd       Kind = "end"
	KindTask      Kind = "task"
	KindDecision  Kind = "decision"
	KindRAG       Kind = "rag"
	KindMemory    Kind = "memory"
	KindPlan      Kind = "plan"
	KindMilestone Kind = "milestone"
	KindFlowchart Kind = "flowchart"
	KindApproval  Kind = "approval"
	KindHTTP      Kind = "http"
	KindScript    Kind = "script"
)

// Known reports whether k is one of the kinds.
func (k Kind) Known() bool {
	switch k {
	case KindStart, KindEnd, KindTask, KindDecision, KindRAG, KindMemory, KindPlan,
		KindMilestone, KindFlowchart, KindApproval, KindHTTP, KindScript:
		return true
	}
	return false
}

// Mode is what an edge carries.
type Mode string

// The modes of edges.
const (
	Solid  Mode = "solid"  // trigger, context and attachments
	Dotted Mode = "dotted" // context only
	Dashed Mode = "dashed" // attachments only
)

// Known reports whether m is one of the modes.
func (m Mode) Known() bool { return m == Solid || m == Dotted || m == Dashed }

// Graph is a flowchart as it is stored. Nodes and edges keep the order in which
// they were given; the order has no meaning.
type Graph struct {
	Nodes []Node `json:"nodes"`
	Edges []Edge `json:"edges"`
}

// Node is a step of a flowchart. Config is a JSON object whose members depend
// on Kind; the Decode functions read it.
type Node struct {
	ID       string          `json:"id"`
	Kind     Kind            `json:"kind"`
	Title    string          `json:"title"`
	Position Position        `json:"position"`
	Config   json.RawMessage `json:"config"`
}

// Position is a place on the canvas.
type Position struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Edge connects two nodes. Extra holds every member that has no meaning here
// (label, points, handles and other matters of drawing); it is kept verbatim.
type Edge struct {
	ID     string
	Source string
	Target string
	Mode   Mode
	Extra  map[string]json.RawMessage
}

// MarshalJSON writes the edge with its extra members in one object.
func (e Edge) MarshalJSON() ([]byte, error) {
	m := make(map[string]any, len(e.Extra)+4)
	for k, v := range e.Extra {
		m[k] = v
	}
	m["id"], m["source"], m["target"], m["mode"] = e.ID, e.Source, e.Target, e.Mode
	return json.Marshal(m)
}

// UnmarshalJSON reads what MarshalJSON wrote, for graphs that were checked when
// they were stored. Untrusted graphs go through Parse.
func (e *Edge) UnmarshalJSON(data []byte) error {
	var known struct {
		ID     string `json:"id"`
		Source string `json:"source"`
		Target string `json:"target"`
		Mode   Mode   `json:"mode"`
	}
	var extra map[string]json.RawMessage
	if err := json.Unmarshal(data, &known); err != nil {
		return err
	}
	if err := json.Unmarshal(data, &extra); err != nil {
		return err
	}
	maps.DeleteFunc(extra, func(k string, _ json.RawMessage) bool {
		return slices.Contains([]string{"id", "source", "target", "mode"}, k)
	})
	if len(extra) == 0 {
		extra = nil
	}
	*e = Edge{ID: known.ID, Source: known.Source, Target: known.Target, Mode: known.Mode, Extra: extra}
	return nil
}

// Node gives the node with that id.
func (g *Graph) Node(id string) (Node, bool) {
	i := slices.IndexFunc(g.Nodes, func(n Node) bool { return n.ID == id })
	if i < 0 {
		return Node{}, false
	}
	return g.Nodes[i], true
}

// StartID gives the id of the graph's first start node, or "" if it has none.
func (g *Graph) StartID() string {
	for _, n := range g.Nodes {
		if n.Kind == KindStart {
			return n.ID
		}
	}
	return ""
}
