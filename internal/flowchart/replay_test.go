package flowchart_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/flowchart"
)

func compiled(t *testing.T, graph string) *flowchart.Compiled {
	t.Helper()
	g, err := flowchart.Parse([]byte(graph))
	require.NoError(t, err)
	c, err := flowchart.Compile(g)
	require.NoError(t, err)
	return c
}

const twoBranches = `{"nodes":[
	{"id":"start","kind":"start"},{"id":"a","kind":"script","config":{"script":"true"}},
	{"id":"b","kind":"script","config":{"script":"true","stdin":"{{ nodes.a.stdout }}"}},{"id":"c","kind":"script","config":{"script":"true"}}],
	"edges":[{"id":"e1","source":"start","target":"a","mode":"solid"},{"id":"e2","source":"start","target":"b","mode":"solid"},
	{"id":"e3","source":"start","target":"c","mode":"solid"}]}`

func TestNodeThatReadWhatIsDoneAgainIsDoneAgain(t *testing.T) {
	t.Parallel()
	c := compiled(t, twoBranches)
	at := func(edge string) []flowchart.Trigger {
		return []flowchart.Trigger{{EdgeID: edge, SourceNodeID: "start", Ref: 1}}
	}
	past := []flowchart.Past{
		{Ref: 1, NodeID: "start"},
		{Ref: 2, NodeID: "a", Triggers: at("e1"), Redo: true},
		{Ref: 3, NodeID: "b", Triggers: at("e2")},
		{Ref: 4, NodeID: "c", Triggers: at("e3")},
	}
	r, err := flowchart.Replay(c, "start", past)
	require.NoError(t, err)
	require.Equal(t, []int64{1, 4}, r.Kept, "b read the output of a, c did not")
	// If b had ended before a, it could not have read it.
	past[1], past[2] = past[2], past[1]
	r, err = flowchart.Replay(c, "start", past)
	require.NoError(t, err)
	require.Equal(t, []int64{1, 3, 4}, r.Kept)
}

func TestDifferencesAreThoseThatDecideOverTheResult(t *testing.T) {
	t.Parallel()
	before := compiled(t, twoBranches)
	var g map[string]any
	require.NoError(t, json.Unmarshal([]byte(twoBranches), &g))
	change := func(f func(nodes, edges []any)) []flowchart.Difference {
		var g struct{ Nodes, Edges []any }
		require.NoError(t, json.Unmarshal([]byte(twoBranches), &g))
		f(g.Nodes, g.Edges)
		raw, err := json.Marshal(map[string]any{"nodes": g.Nodes, "edges": g.Edges})
		require.NoError(t, err)
		return flowchart.Differences(before, compiled(t, string(raw)), []string{"start", "a", "b", "c"})
	}
	require.Empty(t, change(func(nodes, _ []any) {
		nodes[1].(map[string]any)["title"] = "Another title"
		nodes[1].(map[string]any)["position"] = map[string]any{"x": 9, "y": 9}
	}))
	require.Equal(t, []flowchart.Difference{{NodeID: "a", What: "config"}}, change(func(nodes, _ []any) {
		nodes[1].(map[string]any)["config"] = map[string]any{"script": "false"}
	}))
	require.Equal(t, []flowchart.Difference{{NodeID: "a", What: "kind"}}, change(func(nodes, _ []any) {
		nodes[1].(map[string]any)["kind"] = "task"
	}))
	require.Equal(t, []flowchart.Difference{{NodeID: "a", What: "missing"}, {NodeID: "c", What: "edges"}}, change(func(nodes, edges []any) {
		nodes[1].(map[string]any)["id"] = "z"
		edges[0].(map[string]any)["target"] = "z"
		edges[2].(map[string]any)["source"] = "b"
	}))
}
