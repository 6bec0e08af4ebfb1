package flowchart

import "slices"

// Source is a node that feeds another one over an edge.
type Source struct {
	EdgeID string `json:"edge_id"`
	NodeID string `json:"node_id"`
}

// Sources lists what feeds a node, by the mode of the edges and in the order of
// the graph.
type Sources struct {
	Solid  []Source `json:"solid"`  // trigger, context and attachments
	Dotted []Source `json:"dotted"` // context only
	Dashed []Source `json:"dashed"` // attachments only
}

// Context gives the sources whose latest output belongs to the node's context.
func (s Sources) Context() []Source { return append(slices.Clip(s.Solid), s.Dotted...) }

// Attachments gives the sources whose latest attachments reach the node.
func (s Sources) Attachments() []Source {
	return append(slices.Clip(s.Solid), s.Dashed...)
}

// Sources gives what feeds a node. A source that has not run yet is listed all
// the same; an input that is absent is no error.
func (c *Compiled) Sources(nodeID string) Sources {
	var s Sources
	for _, e := range c.graph.Edges {
		if e.Target != nodeID {
			continue
		}
		src := Source{EdgeID: e.ID, NodeID: e.Source}
		switch e.Mode {
		case Solid:
			s.Solid = append(s.Solid, src)
		case Dotted:
			s.Dotted = append(s.Dotted, src)
		case Dashed:
			s.Dashed = append(s.Dashed, src)
		}
	}
	return s
}
