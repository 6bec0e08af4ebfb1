package flowchart_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
)

const sound = `{"nodes":[
 {"id":"start","kind":"start","title":"Start","position":{"x":0,"y":0},"config":{}},
 {"id":"ask","kind":"task","title":"Summarise","position":{"x":200,"y":0.5},"config":{"prompt":"Summarise: {{ input.text }}","model_id":1}},
 {"id":"good","kind":"decision","title":"Long?","position":{"x":400,"y":0},
  "config":{"conditions":[{"edge_id":"e3","expression":"size(upstream.text) > 100"}],"default_edge_id":"e4"}},
 {"id":"more","kind":"task","config":{"prompt":"Shorten {{ nodes.ask.text }}","model_id":1}},
 {"id":"end","kind":"end","title":"End","position":{"x":600,"y":0}}],
"edges":[
 {"id":"e1","source":"start","target":"ask","mode":"solid"},
 {"id":"e2","source":"ask","target":"good","mode":"solid","label":"<next>","points":[{"x":1,"y":2}]},
 {"id":"e3","source":"good","target":"more","mode":"solid","source_handle":"right","target_handle":"left"},
 {"id":"e4","source":"good","target":"end","mode":"solid"},
 {"id":"e5","source":"more","target":"end","mode":"solid"},
 {"id":"e6","source":"start","target":"end","mode":"dotted"},
 {"id":"e7","source":"start","target":"more","mode":"dashed"}]}`

func TestParseKeepsTheGraph(t *testing.T) {
	t.Parallel()
	g, err := flowchart.Parse([]byte(sound))
	require.NoError(t, err)
	require.Len(t, g.Nodes, 5)
	require.Equal(t, flowchart.Node{
		ID: "ask", Kind: flowchart.KindTask, Title: "Summarise", Position: flowchart.Position{X: 200, Y: 0.5},
		Config: json.RawMessage(`{"prompt":"Summarise: {{ input.text }}","model_id":1}`),
	}, g.Nodes[1])
	require.JSONEq(t, `{}`, string(g.Nodes[4].Config), "an absent config is empty")
	require.Equal(t, "start", g.StartID())
	require.Equal(t, flowchart.Edge{
		ID: "e2", Source: "ask", Target: "good", Mode: flowchart.Solid,
		Extra: map[string]json.RawMessage{"label": json.RawMessage(`"<next>"`), "points": json.RawMessage(`[{"x":1,"y":2}]`)},
	}, g.Edges[1])

	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	require.NoError(t, enc.Encode(g))
	raw := b.Bytes()
	again, err := flowchart.Parse(raw)
	require.NoError(t, err)
	require.Equal(t, g, again)
	var stored flowchart.Graph
	require.NoError(t, json.Unmarshal(raw, &stored))
	require.Equal(t, *g, stored)
	require.Error(t, json.Unmarshal([]byte(`{"edges":[1]}`), &stored))
}

func TestParseNamesEveryFault(t *testing.T) {
	t.Parallel()
	start := `{"id":"s","kind":"start"}`
	node := func(members string) string { return `{"nodes":[` + start + `,{` + members + `}],"edges":[]}` }
	edge := func(members string) string {
		return `{"nodes":[` + start + `,{"id":"a","kind":"task"}],"edges":[{` + members + `}]}`
	}
	for text, want := range map[string][]string{
		`[]`:                             {"graph must be an object"},
		`null`:                           {"graph must be an object"},
		`{"nodes":{},"edges":1}`:         {"edges must be a list", "nodes must be a list"},
		`{"Nodes":[]}`:                   {"Nodes is unknown here"},
		`{"nodes":[1],"edges":[]}`:       {"nodes[0] must be an object", "nodes[0].id must consist of 1 to 64", `nodes[0].kind must be a known kind, not ""`},
		node(`"id":"s","kind":"task"`):   {"nodes[1].id repeats the id of nodes[0]"},
		node(`"id":"a b","kind":"task"`): {"nodes[1].id must consist"},
		node(`"id":"` + strings.Repeat("a", 65) + `","kind":"end"`):                                                             {"nodes[1].id must consist"},
		node(`"id":7,"kind":"task"`):                                                                                            {"nodes[1].id must be text", "nodes[1].id must consist"},
		node(`"id":"a","kind":"nope"`):                                                                                          {`nodes[1].kind must be a known kind, not "nope"`},
		node(`"id":"a","kind":"task","Title":"x"`):                                                                              {"nodes[1].Title is unknown here"},
		node(`"id":"a","kind":"task","title":"` + strings.Repeat("ä", 201) + `"`):                                               {"nodes[1].title must have at most 200"},
		node(`"id":"a","kind":"task","position":{"x":"1","z":1}`):                                                               {"nodes[1].position.x must be a number", "nodes[1].position.z is unknown here"},
		node(`"id":"a","kind":"task","position":{"y":1e10}`):                                                                    {"nodes[1].position must lie within"},
		node(`"id":"a","kind":"task","config":[]`):                                                                              {"nodes[1].config must be an object"},
		node(`"id":"a","kind":"task","config":{"x":1e999}`):                                                                     {"nodes[1].config cannot be read: the number 1e999 is out of range"},
		node(`"id":"a","kind":"task","config":{"x":"` + strings.Repeat("a", flowchart.MaxConfigBytes) + `"}`):                   {"nodes[1].config has"},
		edge(`"id":"e","source":"s","target":"a","mode":"wavy"`):                                                                {`edges[0].mode must be solid, dotted or dashed, not "wavy"`},
		edge(`"id":"e","source":"x","target":"y","mode":"solid"`):                                                               {`edges[0].source must be the id of a node, not "x"`, `edges[0].target must be the id of a node, not "y"`},
		edge(`"source":"s","target":"a","mode":"solid"`):                                                                        {"edges[0].id must consist"},
		edge(`"id":"e","source":"s","target":"a","mode":"solid","label":"` + strings.Repeat("a", flowchart.MaxEdgeExtra) + `"`): {"edges[0] has"},
		`{"nodes":[` + start + `],"edges":[5]}`:                                                                                 {"edges[0] must be an object"},
		`{"nodes":[` + start + `],"edges":[{"id":"e","source":"s","target":"s","mode":"solid"},{"id":"e","source":"s","target":"s","mode":"dotted"}]}`: {
			"edges[1].id repeats the id of edges[0]", `edges[1] connects "s" and "s" like edges[0]`,
		},
	} {
		_, err := flowchart.Parse([]byte(text))
		require.True(t, errs.HasReason(err, "flow.invalid_graph"), text)
		e, _ := errors.AsType[*errs.Error](err)
		require.Len(t, e.Details, len(want), "%s: %v", text, e.Details)
		for i, d := range e.Details {
			require.Contains(t, d.Location+" "+d.Message, want[i], text)
		}
		require.Contains(t, e.Message, e.Details[0].Location)
	}
}

func TestParseRefusesWhatCannotBeStored(t *testing.T) {
	t.Parallel()
	text := func(s string) []byte {
		return []byte(`{"nodes":[{"id":"s","kind":"start","title":"` + s + `"}],"edges":[]}`)
	}
	for _, bad := range []string{`a\u0000`, `\ud800`, `\uDc00`, `\ud800\u0041`, `\ud83dx`, `\\\u0000`, `\ud83d\ude00\u0000`} {
		_, err := flowchart.Parse(text(bad))
		require.ErrorContains(t, err, "cannot be stored", bad)
	}
	for _, good := range []string{`\u0041`, `\ud83d\ude00`, `\\u0000`, `\\\\u0000`, `\n\"`} {
		_, err := flowchart.Parse(text(good))
		require.NoError(t, err, good)
	}
	_, err := flowchart.Parse([]byte(`{`))
	require.True(t, errs.HasReason(err, "flow.invalid_graph"))
	_, err = flowchart.Parse(make([]byte, flowchart.MaxGraphBytes+1))
	require.True(t, errs.Is(err, errs.TooLarge))
}

func TestParseLimits(t *testing.T) {
	t.Parallel()
	var nodes, edges []string
	for i := range flowchart.MaxNodes + 1 {
		nodes = append(nodes, fmt.Sprintf(`{"id":"n%d","kind":"task"}`, i))
	}
	for i := range flowchart.MaxEdges + 1 {
		edges = append(edges, fmt.Sprintf(`{"id":"e%d","source":"n%d","target":"n%d","mode":"solid"}`, i, i%1000, i/1000))
	}
	doc := func(n, e int) []byte {
		return []byte(`{"nodes":[` + strings.Join(nodes[:n], ",") + `],"edges":[` + strings.Join(edges[:e], ",") + `]}`)
	}
	_, err := flowchart.Parse(doc(flowchart.MaxNodes, flowchart.MaxEdges))
	require.NoError(t, err)
	_, err = flowchart.Parse(doc(flowchart.MaxNodes+1, 0))
	require.ErrorContains(t, err, "nodes has 1001 entries, the limit is 1000")
	_, err = flowchart.Parse(doc(flowchart.MaxNodes, flowchart.MaxEdges+1))
	require.ErrorContains(t, err, "edges has 5001 entries, the limit is 5000")
	_, err = flowchart.Parse(doc(0, flowchart.MaxEdges))
	e, _ := errors.AsType[*errs.Error](err)
	require.Len(t, e.Details, 100, "the list of faults is bounded")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sound))
	f.Add([]byte(`{"nodes":[{"id":"s","kind":"start","config":{"input_schema":{"type":"object"}}},{"id":"h","kind":"http","config":{"method":"GET","url":"http://x/{{ input.a }}","body":{"a":["{{ 1 }}"]}}}],"edges":[{"id":"e","source":"s","target":"h","mode":"solid"},{"id":"b","source":"h","target":"s","mode":"solid"}]}`))
	f.Add([]byte(`{"nodes":[{"id":"s","kind":"script","config":{"command":["a"],"env":{"A":"{{ nodes.s.x }}"},"retry":{"max_attempts":3},"fan_in":2}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := flowchart.Parse(data)
		if err != nil {
			require.Contains(t, []errs.Code{errs.Invalid, errs.TooLarge}, errs.As(err).Code)
			return
		}
		raw, err := json.Marshal(g)
		require.NoError(t, err)
		again, err := flowchart.Parse(raw)
		require.NoError(t, err)
		findings := flowchart.Validate(g)
		require.Equal(t, findings, flowchart.Validate(again), "findings survive the round trip")
		if len(findings) > 0 {
			return
		}
		c, err := flowchart.Compile(g)
		require.NoError(t, err, "a graph without findings compiles")
		_, step, err := flowchart.Start(c, c.StartID())
		require.NoError(t, err)
		require.Empty(t, step.Skipped)
		for _, n := range g.Nodes {
			_, err := c.NodeRefs(n.ID)
			require.NoError(t, err, "a graph without findings has texts that compile")
		}
	})
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{`a {{ input.x }} b`, `{{ "}}" }}`, `{{ {"a":{}} }}`, `{{ r'\' }}`, `{{ [1].map(x, x) }}`, `{{`, `{{ nodes["a"].b }}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tpl, err := flowchart.CompileTemplate(text)
		if err != nil {
			require.True(t, errs.Is(err, errs.Invalid))
			return
		}
		out, err := tpl.Render(t.Context(), flowchart.Scope{Input: map[string]any{"x": "y"}, Nodes: map[string]any{"a": map[string]any{"b": int64(1)}}})
		if err != nil {
			require.Contains(t, []errs.Code{errs.Invalid, errs.TooLarge}, errs.As(err).Code)
			return
		}
		require.LessOrEqual(t, len(out), flowchart.MaxRenderedBytes)
		if !strings.Contains(text, "{{") {
			require.Equal(t, text, out)
		}
	})
}

func FuzzCondition(f *testing.F) {
	for _, s := range []string{`input.x > 3`, `size(upstream.text) > 100`, `has(nodes.a) && nodes["b"].c in [1, 2.0]`, `input.l.exists(x, x.matches("a+"))`, `"a".replace("", input.x)`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := flowchart.CompileCondition(text)
		if err != nil {
			require.True(t, errs.Is(err, errs.Invalid))
			return
		}
		c.NodeRefs()
		if _, err := c.Eval(t.Context(), flowchart.Scope{Input: map[string]any{"x": "y"}}); err != nil {
			require.True(t, errs.HasReason(err, "flow.expression_failed"))
		}
	})
}
