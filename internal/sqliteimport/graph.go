package sqliteimport

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/llmctl/studio/internal/flowchart"
)

// Reasons of the findings that an import adds to those of a save.
const (
	findingCondition = "import.condition"
	findingConfig    = "import.config"
)

// sheet is a flowchart of the original on its way to a graph.
type sheet struct {
	id       int64
	nodes    []sheetNode
	edges    []sheetEdge
	findings []flowchart.Finding
	notes    []sheetNote
	refs     references
}

// sheetNote is something that changed on the way, for the report.
type sheetNote struct{ table, text, id string }

// sheetNode is a node with its config as the original stored it.
type sheetNode struct {
	id     int64
	kind   flowchart.Kind
	title  string
	row    row
	config map[string]any
}

// sheetEdge is an edge. kept is the id of the edge that stands for it: two nodes
// are connected once only.
type sheetEdge struct {
	id, source, target int64
	mode               flowchart.Mode
	key                string
	row                row
	kept               string
}

// references answer what a graph refers to outside of itself.
type references struct {
	model       func(id int64) (int64, bool) // the model's id in the target
	fallback    int64                        // the default model, or 0
	system      func(agentID int64) string   // the instructions of an agent
	sources     func(collection string) (int64, bool)
	attachments func(nodeID int64) map[string]int // how many scripts, skills, files and servers are attached
}

func nodeID(id int64) string { return "n" + strconv.FormatInt(id, 10) }
func edgeID(id int64) string { return "e" + strconv.FormatInt(id, 10) }

func (s *sheet) note(table, text string, id int64) {
	s.notes = append(s.notes, sheetNote{table, text, strconv.FormatInt(id, 10)})
}

func (s *sheet) find(node, edge, reason, format string, args ...any) {
	s.findings = append(s.findings, flowchart.Finding{NodeID: node, EdgeID: edge, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// addNode takes a node in; it gives the reason why it cannot.
func (s *sheet) addNode(r row) (refused string) {
	id, ok := r.id("id")
	kind := flowchart.Kind(strings.ToLower(r.trimmed("node_type")))
	switch {
	case !ok:
		return "its id is no positive number"
	case !kind.Known():
		return fmt.Sprintf("its kind %q is unknown", short(r.trimmed("node_type"), 40))
	}
	n := sheetNode{id: id, kind: kind, row: r, config: map[string]any{}}
	if c, ok := r.object("config_json"); ok {
		n.config = c
	} else if text := r.trimmed("config_json"); text != "" && text != "null" {
		s.find(nodeID(id), "", findingConfig, "The node's configuration could not be read from the original's file; it began with %q. Set it anew.", short(text, 60))
		s.note("flowchart_nodes", "its configuration is no JSON object; the node has an empty one and a finding", id)
	}
	n.title = cmp.Or(r.trimmed("title"), textOf(n.config["task_name"]), strings.ToUpper(string(kind[:1]))+string(kind[1:]))
	n.title = short(n.title, flowchart.MaxTitleLength)
	s.nodes = append(s.nodes, n)
	return ""
}

func textOf(v any) string {
	s, _ := v.(string)
	return strings.TrimSpace(s)
}

func (s *sheet) node(id int64) *sheetNode {
	i := slices.IndexFunc(s.nodes, func(n sheetNode) bool { return n.id == id })
	if i < 0 {
		return nil
	}
	return &s.nodes[i]
}

// addEdge takes an edge in; it gives the reason why it cannot.
func (s *sheet) addEdge(r row) (refused string) {
	e := sheetEdge{row: r, key: r.trimmed("condition_key"), mode: flowchart.Mode(strings.ToLower(r.trimmed("edge_mode")))}
	var ok [3]bool
	e.id, ok[0] = r.id("id")
	e.source, ok[1] = r.id("source_node_id")
	e.target, ok[2] = r.id("target_node_id")
	switch {
	case !ok[0]:
		return "its id is no positive number"
	case !ok[1] || !ok[2] || s.node(e.source) == nil || s.node(e.target) == nil:
		return "it does not connect two nodes that were taken over"
	}
	if !e.mode.Known() {
		if e.mode != "" {
			s.note("flowchart_edges", "its mode is unknown and became solid", e.id)
		}
		e.mode = flowchart.Solid
	}
	e.kept = edgeID(e.id)
	if i := slices.IndexFunc(s.edges, func(o sheetEdge) bool { return o.source == e.source && o.target == e.target }); i >= 0 {
		e.kept = s.edges[i].kept
		s.note("flowchart_edges", "a second edge between the same nodes was joined with the first", e.id)
	}
	s.edges = append(s.edges, e)
	return ""
}

// graph builds what is stored as version 1.
func (s *sheet) graph() (*flowchart.Graph, error) {
	g := &flowchart.Graph{Nodes: make([]flowchart.Node, 0, len(s.nodes)), Edges: make([]flowchart.Edge, 0, len(s.edges))}
	for i := range s.nodes {
		n := &s.nodes[i]
		raw, err := encode(s.translate(n))
		if err != nil {
			return nil, fmt.Errorf("encode the config of node %d: %w", n.id, err)
		}
		if len(raw) > flowchart.MaxConfigBytes {
			s.find(nodeID(n.id), "", findingConfig, "The node's configuration has %d bytes, more than the %d that a node may have. It was left out; its row is kept in imported_row.", len(raw), flowchart.MaxConfigBytes)
			raw = json.RawMessage("{}")
		}
		g.Nodes = append(g.Nodes, flowchart.Node{ID: nodeID(n.id), Kind: n.kind, Title: n.title, Position: position(n.row), Config: raw})
	}
	for _, e := range s.edges {
		if e.kept == edgeID(e.id) {
			g.Edges = append(g.Edges, flowchart.Edge{ID: e.kept, Source: nodeID(e.source), Target: nodeID(e.target), Mode: e.mode, Extra: drawing(e.row)})
		}
	}
	raw, err := encode(g)
	if err != nil {
		return nil, fmt.Errorf("encode the graph of flowchart %d: %w", s.id, err)
	}
	return flowchart.Parse(raw) // the same door as a save
}

func position(r row) flowchart.Position {
	const edge = 1e9
	return flowchart.Position{X: math.Max(-edge, math.Min(edge, r.number("x"))), Y: math.Max(-edge, math.Min(edge, r.number("y")))}
}

// drawing keeps how an edge was drawn.
func drawing(r row) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for name, v := range map[string]any{
		"label": r.trimmed("label"), "source_handle": r.trimmed("source_handle_id"), "target_handle": r.trimmed("target_handle_id"),
	} {
		if text, _ := v.(string); text != "" {
			if raw, err := encode(text); err == nil {
				out[name] = raw
			}
		}
	}
	if v, err := document(rawText(r["control_points_json"])); err == nil && v != nil {
		if raw, err := encode(v); err == nil && len(raw) < flowchart.MaxEdgeExtra/2 {
			out["control_points"] = raw
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// solidParents gives the nodes from which solid edges lead to a node, once each.
func (s *sheet) solidParents(id int64) []int64 { return s.sourcesOf(id, flowchart.Solid) }

func (s *sheet) sourcesOf(id int64, mode flowchart.Mode) []int64 {
	var out []int64
	for _, e := range s.edges {
		if e.target == id && e.mode == mode && !slices.Contains(out, e.source) {
			out = append(out, e.source)
		}
	}
	return out
}

// solidOut gives the solid edges that leave a node.
func (s *sheet) solidOut(id int64) []sheetEdge {
	var out []sheetEdge
	for _, e := range s.edges {
		if e.source == id && e.mode == flowchart.Solid {
			out = append(out, e)
		}
	}
	return out
}
