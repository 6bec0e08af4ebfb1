package flowchart_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/flowchart"
)

// layers makes the largest graph: 100 layers of 10 nodes, about 5000 edges, the
// last layer leading back to the first.
func layers() *flowchart.Graph {
	const depth, width = 100, 10
	g := &flowchart.Graph{}
	edge := func(from, to string) {
		if len(g.Edges) < flowchart.MaxEdges {
			g.Edges = append(g.Edges, flowchart.Edge{ID: fmt.Sprintf("e%d", len(g.Edges)), Source: from, Target: to, Mode: flowchart.Solid})
		}
	}
	id := func(layer, i int) string { return fmt.Sprintf("n%03d_%d", layer, i) }
	for l := range depth {
		for i := range width {
			kind := flowchart.KindTask
			if l == 0 && i == 0 {
				kind = flowchart.KindStart
			}
			g.Nodes = append(g.Nodes, flowchart.Node{ID: id(l, i), Kind: kind, Config: json.RawMessage("{}")})
			if l == 0 && i > 0 {
				edge(id(0, 0), id(0, i))
			}
		}
	}
	edge(id(depth-1, 0), id(1, 0))
	for l := 1; l < depth; l++ {
		for i := range width {
			for k := range width / 2 {
				edge(id(l-1, (i+k)%width), id(l, i))
			}
		}
	}
	return g
}

func BenchmarkCompile(b *testing.B) {
	g := layers()
	for b.Loop() {
		_, err := flowchart.Compile(g)
		require.NoError(b, err)
	}
}

// BenchmarkComplete measures one step in the middle of a run, with and without
// the round trip through the run's row.
func BenchmarkComplete(b *testing.B) {
	c, err := flowchart.Compile(layers())
	require.NoError(b, err)
	m, step, err := flowchart.Start(c, c.StartID())
	require.NoError(b, err)
	queue := step.Activations
	for range 500 {
		step, err = m.Complete(c, queue[0].NodeID, nil, 1)
		require.NoError(b, err)
		queue = append(queue[1:], step.Activations...)
	}
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
			next := m.Clone()
			_, err := next.Complete(c, queue[0].NodeID, nil, 1)
			require.NoError(b, err)
		}
	})
	b.Run("json", func(b *testing.B) {
		raw, err := json.Marshal(m)
		require.NoError(b, err)
		b.ReportMetric(float64(len(raw)), "bytes")
		for b.Loop() {
			var next flowchart.Marking
			require.NoError(b, json.Unmarshal(raw, &next))
			_, err := next.Complete(c, queue[0].NodeID, nil, 1)
			require.NoError(b, err)
			_, err = json.Marshal(next)
			require.NoError(b, err)
		}
	})
}

func BenchmarkCondition(b *testing.B) {
	cond, err := flowchart.CompileCondition(`size(upstream.text) > 100 && nodes["a"].score >= 3`)
	require.NoError(b, err)
	scope, err := flowchart.NewScope(nil, json.RawMessage(`{"text":"short"}`), map[string]json.RawMessage{"a": json.RawMessage(`{"score":4}`)}, nil)
	require.NoError(b, err)
	for b.Loop() {
		_, err := cond.Eval(b.Context(), scope)
		require.NoError(b, err)
	}
}
