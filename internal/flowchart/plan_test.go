package flowchart_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
)

func compile(t testing.TB, g *flowchart.Graph) *flowchart.Compiled {
	t.Helper()
	c, err := flowchart.Compile(g)
	require.NoError(t, err)
	return c
}

func TestDecide(t *testing.T) {
	t.Parallel()
	graph := func(config string) *flowchart.Compiled {
		g := draw("s>d\nd>a b")
		g.Nodes[1].Kind, g.Nodes[1].Config = flowchart.KindDecision, json.RawMessage(config)
		return compile(t, g)
	}
	const both = `{"conditions":[{"edge_id":"d_a","expression":"input.n > 1"},{"edge_id":"d_b","expression":"input.n > 2"}]`
	for n, want := range map[string]flowchart.Decision{
		`{"n":3}`: {
			MatchedEdgeIDs: []string{"d_a", "d_b"},
			Evaluations:    []flowchart.Evaluation{{EdgeID: "d_a", Expression: "input.n > 1", Result: true}, {EdgeID: "d_b", Expression: "input.n > 2", Result: true}},
		},
		`{"n":2}`: {
			MatchedEdgeIDs: []string{"d_a"},
			Evaluations:    []flowchart.Evaluation{{EdgeID: "d_a", Expression: "input.n > 1", Result: true}, {EdgeID: "d_b", Expression: "input.n > 2"}},
		},
		`{"n":0}`: {
			MatchedEdgeIDs: []string{"d_b"},
			Evaluations:    []flowchart.Evaluation{{EdgeID: "d_a", Expression: "input.n > 1"}, {EdgeID: "d_b", Expression: "input.n > 2"}},
		},
	} {
		s, err := flowchart.NewScope(json.RawMessage(n), nil, nil, nil)
		require.NoError(t, err)
		got, err := graph(both+`,"default_edge_id":"d_b"}`).Decide(t.Context(), "d", s)
		require.NoError(t, err)
		require.Equal(t, want, got, n)
	}
	s, err := flowchart.NewScope(json.RawMessage(`{"n":0}`), nil, nil, nil)
	require.NoError(t, err)
	d, err := graph(both+`}`).Decide(t.Context(), "d", s)
	require.True(t, errs.HasReason(err, "flow.no_branch"))
	require.Len(t, d.Evaluations, 2, "the evaluations come along")
	raw, err := json.Marshal(d)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"matched_edge_ids":[]`)

	_, err = graph(both+`}`).Decide(t.Context(), "d", flowchart.Scope{})
	require.True(t, errs.HasReason(err, "flow.expression_failed"))
	_, err = graph(both+`}`).Decide(t.Context(), "zz", s)
	require.True(t, errs.HasReason(err, "flow.unknown_node"))
	for config, reason := range map[string]string{
		`{"conditions":[{"edge_id":"d_a","expression":"x"}]}`:  "flow.unknown_name",
		`{"conditions":[{"edge_id":"d_a","expression":"1+"}]}`: "flow.invalid_expression",
		`{"conditions":7}`: "flow.invalid_config",
	} {
		_, err = graph(config).Decide(t.Context(), "d", s)
		require.True(t, errs.HasReason(err, reason), config)
	}
	same, err := graph(`{"conditions":[{"edge_id":"d_a","expression":"true"},{"edge_id":"d_a","expression":"true"}]}`).Decide(t.Context(), "d", s)
	require.NoError(t, err)
	require.Equal(t, []string{"d_a"}, same.MatchedEdgeIDs)
}

func TestRenderConfig(t *testing.T) {
	t.Parallel()
	s := scope(t)
	for _, tc := range []struct{ kind, config, want string }{
		{
			"task", `{"prompt":"{{ input.text }}!","system":"{{ input.n }}","model_id":12345678901234567,"params":{"top_p":1.0,"x":"{{ kept }}"}}`,
			`{"prompt":"héllo <b>!","system":"3","model_id":12345678901234567,"params":{"top_p":1.0,"x":"{{ kept }}"}}`,
		},
		{
			"http", `{"method":"{{ kept }}","url":"http://x/{{ upstream.text }}","headers":{"A":"{{ run.id }}"},"body":"{{ input.n }}"}`,
			`{"method":"{{ kept }}","url":"http://x/short","headers":{"A":"7"},"body":"3"}`,
		},
		{
			"http", `{"body":{"n":"{{ input.n }}","t":"n={{ input.n }}","l":["{{ input.list }}",1,true,null],"o":{"x":" {{ input.n }}"}}}`,
			`{"body":{"n":3,"t":"n=3","l":[[1,"a",null,{"k":true}],1,true,null],"o":{"x":" 3"}}}`,
		},
		{"http", `{"body":["{{ input.text }}"]}`, `{"body":["héllo <b>"]}`},
		{
			"script", `{"command":["{{ input.n }}","b"],"script":"{{ input.f }}","stdin":"{{ upstream.json }}","env":{"A":"{{ input.n }}"},"shell":"{{ kept }}"}`,
			`{"command":["3","b"],"script":"5.5","stdin":"{\"rate\":0.25,\"score\":4}","env":{"A":"3"},"shell":"{{ kept }}"}`,
		},
		{"rag", `{"question":"{{ input.n }}"}`, `{"question":"3"}`},
		{"end", `{"x":"{{ kept }}"}`, `{"x":"{{ kept }}"}`},
		{"script", `{"command":[1],"script":2,"env":3}`, `{"command":[1],"script":2,"env":3}`},
		{"script", `{"command":"x","env":[]}`, `{"command":"x","env":[]}`},
	} {
		c := compile(t, with(t, tc.kind, tc.config))
		for range 2 {
			got, err := c.RenderConfig(t.Context(), "x", s)
			require.NoError(t, err, tc.config)
			require.JSONEq(t, tc.want, string(got))
			if tc.kind == "task" {
				require.Contains(t, string(got), "12345678901234567", "numbers are kept to the digit")
			}
		}
	}
}

func TestRenderConfigTellsWhere(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ kind, config, location string }{
		{"task", `{"prompt":"{{ input.zz }}"}`, "config.prompt"},
		{"http", `{"body":{"a":["{{ input.zz }}"]}}`, "config.body.a[0]"},
		{"http", `{"body":"{{ input.zz }}"}`, "config.body"},
		{"http", `{"headers":{"A":"{{ input.zz }}"}}`, "config.headers.A"},
		{"script", `{"command":["x {{ input.zz }}"]}`, "config.command[0]"},
	} {
		c := compile(t, with(t, tc.kind, tc.config))
		_, err := c.RenderConfig(t.Context(), "x", scope(t))
		require.ErrorContains(t, err, `Node "x", `+tc.location+": ")
		require.ErrorContains(t, err, "no such key: zz")
		require.Equal(t, tc.location, errs.As(err).Details[0].Location)
	}
	c := compile(t, with(t, "task", `{"prompt":"{{ 1 + }}"}`))
	_, err := c.RenderConfig(t.Context(), "x", scope(t))
	require.True(t, errs.HasReason(err, "flow.invalid_expression"))
	require.ErrorContains(t, err, `Node "x", config.prompt`)
	_, err = c.NodeRefs("x")
	require.True(t, errs.HasReason(err, "flow.invalid_expression"))
	_, err = c.RenderConfig(t.Context(), "zz", scope(t))
	require.True(t, errs.HasReason(err, "flow.unknown_node"))
}

func TestRenderedConfigIsBounded(t *testing.T) {
	t.Parallel()
	s := flowchart.Scope{Input: strings.Repeat("x", flowchart.MaxRenderedBytes-10)}
	for items, fits := range map[int]bool{4: true, 5: false} {
		body := strings.TrimSuffix(strings.Repeat(`"{{ input }}",`, items), ",")
		for _, config := range []string{`{"body":[` + body + `]}`, `{"body":[` + strings.ReplaceAll(body, `"{{`, `" {{`) + `]}`} {
			_, err := compile(t, with(t, "http", config)).RenderConfig(t.Context(), "x", s)
			require.Equal(t, !fits, errs.HasReason(err, "flow.rendered_too_large"), "%d: %v", items, err)
		}
	}
}

func TestNodeRefsOfNodes(t *testing.T) {
	t.Parallel()
	c := compile(t, with(t, "script", `{"script":"{{ nodes.x.y }}","env":{"A":"{{ nodes.s.y }}"},"stdin":"{{ nodes.x.z }}"}`))
	refs, err := c.NodeRefs("x")
	require.NoError(t, err)
	require.Equal(t, flowchart.Refs{Nodes: []string{"s", "x"}}, refs)
	g := draw("s>d\nd>a")
	g.Nodes[1].Kind = flowchart.KindDecision
	g.Nodes[1].Config = json.RawMessage(`{"conditions":[{"edge_id":"d_a","expression":"nodes.a.x || size(nodes) > 1"}]}`)
	refs, err = compile(t, g).NodeRefs("d")
	require.NoError(t, err)
	require.Equal(t, flowchart.Refs{All: true, Nodes: []string{"a"}}, refs)
	_, err = c.NodeRefs("zz")
	require.True(t, errs.HasReason(err, "flow.unknown_node"))
}

func TestCompiledIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	c := compile(t, with(t, "task", `{"prompt":"{{ input.n }}"}`))
	s := scope(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := c.RenderConfig(t.Context(), "x", s)
			if err != nil || string(got) != `{"prompt":"3"}` {
				t.Errorf("rendered %s, %v", got, err)
			}
		})
	}
	wg.Wait()
}
