package flowchart

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/errs"
)

const reasonGraph = "flow.invalid_graph"

// idPattern is the syntax of node and edge ids.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Parse reads a graph and checks its structure: sizes, ids, kinds, modes and
// endpoints. Faults come together as flow.invalid_graph, one detail for each,
// with locations such as edges[3].target. Configs must be objects; what is in
// them, and everything else that keeps a graph from running, is for Validate.
func Parse(data []byte) (*Graph, error) {
	if len(data) > MaxGraphBytes {
		return nil, errs.Ef(errs.TooLarge, "flow.graph_too_large", "The graph has %d bytes, the limit is %d.", len(data), MaxGraphBytes)
	}
	if !json.Valid(data) {
		return nil, errs.E(errs.Invalid, reasonGraph, "The graph is no valid JSON.")
	}
	if esc, ok := storable(data); !ok {
		return nil, errs.Ef(errs.Invalid, reasonGraph, "The graph contains the character %s, which cannot be stored.", esc)
	}
	var p graphParser
	g := p.graph(data)
	if err := p.faults.error(reasonGraph, "The graph is faulty"); err != nil {
		return nil, err
	}
	return g, nil
}

type graphParser struct {
	faults faults
	nodes  map[string]string // id -> location
	edges  map[string]string
}

func (p *graphParser) graph(data []byte) *Graph {
	var nodes, edges []json.RawMessage
	members(data, "graph", map[string]field{
		"nodes": {read: p.list(&nodes, MaxNodes)},
		"edges": {read: p.list(&edges, MaxEdges)},
	}, &p.faults)
	g := &Graph{Nodes: make([]Node, len(nodes)), Edges: make([]Edge, len(edges))}
	p.nodes = make(map[string]string, len(nodes))
	p.edges = make(map[string]string, len(edges))
	for i, raw := range nodes {
		g.Nodes[i] = p.node(raw, fmt.Sprintf("nodes[%d]", i))
	}
	pairs := make(map[[2]string]string, len(edges))
	for i, raw := range edges {
		at := fmt.Sprintf("edges[%d]", i)
		e := p.edge(raw, at)
		g.Edges[i] = e
		pair := [2]string{e.Source, e.Target}
		if first, dup := pairs[pair]; dup && e.Source != "" && e.Target != "" {
			p.faults.add(at, "connects %q and %q like %s; one edge is enough", e.Source, e.Target, first)
			continue
		}
		pairs[pair] = at
	}
	return g
}

func (p *graphParser) list(into *[]json.RawMessage, limit int) func(json.RawMessage, string, *faults) {
	return func(raw json.RawMessage, at string, f *faults) {
		if json.Unmarshal(raw, into) != nil {
			f.add(at, "must be a list")
			return
		}
		if len(*into) > limit {
			f.add(at, "has %d entries, the limit is %d", len(*into), limit)
			*into = nil
		}
	}
}

func (p *graphParser) node(raw json.RawMessage, at string) Node {
	n := Node{Config: json.RawMessage("{}")}
	members(raw, at, map[string]field{
		"id": {into: &n.ID}, "kind": {into: &n.Kind}, "title": {into: &n.Title},
		"position": {read: func(raw json.RawMessage, at string, f *faults) {
			members(raw, at, map[string]field{"x": {into: &n.Position.X}, "y": {into: &n.Position.Y}}, f)
		}},
		"config": {read: func(raw json.RawMessage, at string, _ *faults) { n.Config = p.config(raw, at) }},
	}, &p.faults)
	p.id(n.ID, at, p.nodes)
	if !n.Kind.Known() {
		p.faults.add(at+".kind", "must be a known kind, not %q", n.Kind)
	}
	if utf8.RuneCountInString(n.Title) > MaxTitleLength {
		p.faults.add(at+".title", "must have at most %d characters", MaxTitleLength)
	}
	if math.Abs(n.Position.X) > 1e9 || math.Abs(n.Position.Y) > 1e9 {
		p.faults.add(at+".position", "must lie within a thousand million of the origin")
	}
	return n
}

func (p *graphParser) config(raw json.RawMessage, at string) json.RawMessage {
	if len(raw) > MaxConfigBytes {
		p.faults.add(at, "has %d bytes, the limit is %d", len(raw), MaxConfigBytes)
		return raw
	}
	if _, ok := object(raw, at, &p.faults); !ok {
		return raw
	}
	if _, err := DecodeValue(raw); err != nil {
		p.faults.add(at, "cannot be read: %s", err)
	}
	return raw
}

func (p *graphParser) edge(raw json.RawMessage, at string) Edge {
	var e Edge
	m, ok := object(raw, at, &p.faults)
	if !ok {
		return e
	}
	for name, into := range map[string]any{"id": &e.ID, "source": &e.Source, "target": &e.Target, "mode": &e.Mode} {
		if v, ok := m[name]; ok {
			value(v, at+"."+name, into, &p.faults)
			delete(m, name)
		}
	}
	size := 0
	for name, v := range m {
		size += len(name) + len(v)
	}
	if size > MaxEdgeExtra {
		p.faults.add(at, "has %d bytes of further members, the limit is %d", size, MaxEdgeExtra)
	}
	if size > 0 {
		e.Extra = m
	}
	p.id(e.ID, at, p.edges)
	if !e.Mode.Known() {
		p.faults.add(at+".mode", "must be solid, dotted or dashed, not %q", e.Mode)
	}
	p.endpoint(e.Source, at+".source")
	p.endpoint(e.Target, at+".target")
	return e
}

func (p *graphParser) endpoint(id, at string) {
	if _, ok := p.nodes[id]; !ok {
		p.faults.add(at, "must be the id of a node, not %q", id)
	}
}

func (p *graphParser) id(id, at string, seen map[string]string) {
	if !idPattern.MatchString(id) {
		p.faults.add(at+".id", "must consist of 1 to 64 letters, digits, underscores and hyphens")
		return
	}
	if first, dup := seen[id]; dup {
		p.faults.add(at+".id", "repeats the id of %s", first)
		return
	}
	seen[id] = at
}

// sortedIDs gives the ids of nodes, for messages.
func sortedIDs(nodes []Node) []string {
	ids := make([]string, len(nodes))
	for i, n := range nodes {
		ids[i] = n.ID
	}
	slices.Sort(ids)
	return ids
}
