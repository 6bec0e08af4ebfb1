package flowchart

import (
	"bytes"
	"cmp"
	"encoding/json"
	"reflect"
	"slices"
)

// Difference is how a node of one version differs from the same node of another.
type Difference struct {
	NodeID string
	What   string // "missing", "kind", "config" or "edges"
}

// Differences compares nodes of two versions in what decides over their result:
// kind, config and the edges that lead to them. Titles and places do not matter,
// nor does what follows from a node. The answer has the order of ids.
func Differences(from, to *Compiled, ids []string) []Difference {
	var out []Difference
	for _, id := range ids {
		if what := differs(from, to, id); what != "" {
			out = append(out, Difference{NodeID: id, What: what})
		}
	}
	return out
}

func differs(from, to *Compiled, id string) string {
	a, _ := from.Node(id)
	b, ok := to.Node(id)
	switch {
	case !ok:
		return "missing"
	case a.Kind != b.Kind:
		return "kind"
	case !sameJSON(a.Config, b.Config):
		return "config"
	case !slices.Equal(from.inEdges(id), to.inEdges(id)):
		return "edges"
	}
	return ""
}

type inEdge struct {
	id, source string
	mode       Mode
}

func (c *Compiled) inEdges(id string) []inEdge {
	var out []inEdge
	for _, e := range c.graph.Edges {
		if e.Target == id {
			out = append(out, inEdge{e.ID, e.Source, e.Mode})
		}
	}
	slices.SortFunc(out, func(a, b inEdge) int { return cmp.Compare(a.id, b.id) })
	return out
}

// sameJSON compares values and not their spelling; an absent config is {}.
func sameJSON(a, b json.RawMessage) bool {
	va, okA := decodePlain(a)
	vb, okB := decodePlain(b)
	if !okA || !okB {
		return bytes.Equal(a, b)
	}
	return reflect.DeepEqual(va, vb)
}

func decodePlain(raw json.RawMessage) (any, bool) {
	if len(raw) == 0 || string(raw) == "null" {
		return map[string]any{}, true
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // 1 and 1.0 differ, which only makes a node run again
	var v any
	err := d.Decode(&v)
	return v, err == nil
}
