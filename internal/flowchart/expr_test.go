package flowchart_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
)

func scope(t testing.TB) flowchart.Scope {
	t.Helper()
	s, err := flowchart.NewScope(
		json.RawMessage(`{"text":"héllo <b>","n":3,"f":5.5,"whole":4.0,"big":9223372036854775807,"huge":1e20,"list":[1,"a",null,{"k":true}],"none":null}`),
		json.RawMessage(`{"text":"short","json":{"score":4,"rate":0.25}}`),
		map[string]json.RawMessage{"a": json.RawMessage(`{"text":"from a"}`), "my-node": json.RawMessage(`{"v":1}`)},
		map[string]any{"id": int64(7), "version": 2},
	)
	require.NoError(t, err)
	return s
}

func TestConditions(t *testing.T) {
	t.Parallel()
	s := scope(t)
	for text, want := range map[string]bool{
		`upstream.json.score > 3`:                        true,
		`upstream.json.score > 3.5`:                      true,
		`upstream.json.rate < 1`:                         true,
		`input.f == 5.5 && input.f > 5`:                  true,
		`input.whole == 4`:                               true,
		`input.n + 1 == 4`:                               true,
		`input.f * 2.0 == 11.0`:                          true,
		`double(input.n) * 0.5 == 1.5`:                   true,
		`input.big > 1`:                                  true,
		`input.huge > input.big`:                         true,
		`size(upstream.text) > 100`:                      false,
		`size(input.text) == 9`:                          true,
		`input.none == null`:                             true,
		`has(nodes.a)`:                                   true,
		`has(nodes.gone)`:                                false,
		`has(nodes.gone) && nodes.gone.text == ""`:       false,
		`"a" in nodes`:                                   true,
		`nodes["my-node"].v == 1`:                        true,
		`run.id == 7 && run.version == 2`:                true,
		`input.list.exists(x, x == "a")`:                 true,
		`[1, 2].all(input, input > 0)`:                   true,
		`input.text.upperAscii().startsWith("H")`:        true,
		`input.text.replace("l", "L", 1).contains("Ll")`: true,
		`["a", "b"].join("-") == "a-b"`:                  true,
		`["a", "b"].join() == "ab"`:                      true,
		`"a,b".split(",").size() == 2`:                   true,
		`"aaa".replace("", "-") == "-a-a-a-"`:            true,
	} {
		c, err := flowchart.CompileCondition(text)
		require.NoError(t, err, text)
		require.Equal(t, text, c.String())
		got, err := c.Eval(t.Context(), s)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestConditionsFailAloud(t *testing.T) {
	t.Parallel()
	s := scope(t)
	for text, want := range map[string]string{
		`upstream.missing == 1`:                       "`upstream.missing == 1` failed: no such key: missing",
		`nodes.gone.text == "x"`:                      "no such key: gone",
		`upstream.text`:                               "gave string, not true or false",
		`input.none`:                                  "gave null_type, not true or false",
		`input.f * 2 > 1`:                             "write 2.0",
		`input.text > 3`:                              "no such overload",
		`input.n / 0 == 1`:                            "divi",
		`input.text.replace(input.n, "x") == ""`:      "no such overload",
		`input.text.replace("a", "x", input.f) == ""`: "no such overload",
		`input.list.join("-") == ""`:                  "join: int is not text",
		`input.n.join("-") == ""`:                     "no such overload",
	} {
		c, err := flowchart.CompileCondition(text)
		require.NoError(t, err, text)
		_, err = c.Eval(t.Context(), s)
		require.ErrorContains(t, err, want, text)
		require.True(t, errs.HasReason(err, "flow.expression_failed"), text)
		require.True(t, errs.Is(err, errs.Invalid), text)
	}
	c, err := flowchart.CompileCondition(`upstream.text == "x"`)
	require.NoError(t, err)
	_, err = c.Eval(t.Context(), flowchart.Scope{})
	require.ErrorContains(t, err, "no such key: text", "the entry node has no upstream")
}

func TestExpressionsThatDoNotCompile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		``:                             {"flow.invalid_expression", "is empty"},
		"  ":                           {"flow.invalid_expression", "is empty"},
		`input.n >`:                    {"flow.invalid_expression", "`input.n >` does not parse: Syntax error: mismatched input '<EOF>' (line 1, column 10)"},
		`inputs.n > 1`:                 {"flow.unknown_name", `unknown name "inputs"`},
		`[1].all(x, y > x)`:            {"flow.unknown_name", `unknown name "y"`},
		`nope(1)`:                      {"flow.invalid_expression", "undeclared reference to 'nope'"},
		`1 + "a" == 2`:                 {"flow.invalid_expression", "found no matching overload"},
		`size(input.text)`:             {"flow.invalid_expression", "gives int, not true or false"},
		`"text"`:                       {"flow.invalid_expression", "gives string, not true or false"},
		`input.text.matches("[")`:      {"flow.invalid_expression", "invalid matches argument"},
		strings.Repeat("(", 500) + "1": {"flow.invalid_expression", "does not parse"},
		"true || " + strings.Repeat(" ", flowchart.MaxExpressionLength) + "true": {"flow.invalid_expression", "longer than"},
	} {
		_, err := flowchart.CompileCondition(text)
		require.ErrorContains(t, err, want[1], text)
		require.True(t, errs.HasReason(err, want[0]), "%s: %v", text, err)
	}
}

func TestExpressionsAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	s := flowchart.Scope{Input: map[string]any{"t": long}}
	for text, want := range map[string]string{
		`input.t.replace("", input.t) == ""`:    "the limit is",
		`input.t.split("").join(input.t) == ""`: "the limit is",
		`[1,2,3,4,5,6,7,8].all(a, [1,2,3,4,5,6,7,8].all(b, [1,2,3,4,5,6,7,8].all(c, [1,2,3,4,5,6,7,8].all(d, [1,2,3,4,5,6,7,8].all(e, [1,2,3,4,5,6,7,8].all(f, [1,2,3,4,5,6,7,8].all(g, a + b + c + d + e + f + g > 0)))))))`: "too many operations",
	} {
		c, err := flowchart.CompileCondition(text)
		require.NoError(t, err)
		_, err = c.Eval(t.Context(), s)
		require.ErrorContains(t, err, want, text)
	}
	c, err := flowchart.CompileCondition(`true`)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Eval(ctx, s)
	require.True(t, errs.HasReason(err, "flow.expression_timeout"))
	require.True(t, errs.Is(err, errs.Timeout))
	require.ErrorIs(t, err, context.Canceled)
}

// lateContext ends after it has been asked some times, as a deadline does that
// passes in the midst of an evaluation.
type lateContext struct {
	context.Context
	cancel context.CancelFunc
	asked  int
}

func (c *lateContext) Done() <-chan struct{} {
	c.cancel()
	return c.Context.Done()
}

func (c *lateContext) Err() error {
	if c.asked++; c.asked == 1 {
		return nil
	}
	return c.Context.Err()
}

func TestDeadlineStopsALoop(t *testing.T) {
	t.Parallel()
	c, err := flowchart.CompileCondition(`input.all(x, x >= 0)`)
	require.NoError(t, err)
	list := make([]any, 100_000)
	for i := range list {
		list[i] = int64(i)
	}
	inner, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = c.Eval(&lateContext{Context: inner, cancel: cancel}, flowchart.Scope{Input: list})
	require.True(t, errs.HasReason(err, "flow.expression_timeout"), "%v", err)
}

func TestNodeRefs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]flowchart.Refs{
		`1 == 1`:                                     {},
		`upstream.nodes.a == 1`:                      {},
		`nodes.b.x + nodes["a"].y + nodes.b.z`:       {Nodes: []string{"a", "b"}},
		`has(nodes.a.x)`:                             {Nodes: []string{"a"}},
		`"c" in nodes`:                               {Nodes: []string{"c"}},
		`input.k in nodes`:                           {All: true},
		`nodes[input.k].x`:                           {All: true},
		`nodes.a.x == nodes[run.id]`:                 {All: true, Nodes: []string{"a"}},
		`size(nodes) > 0`:                            {All: true},
		`nodes.exists(id, id == "a")`:                {All: true},
		`[{"a": 1}].exists(nodes, nodes.a == 1)`:     {},
		`{"k": nodes.a.x, nodes.b.y: 1}.size() == 2`: {Nodes: []string{"a", "b"}},
		`nodes.a.list.map(x, x + nodes.b.y)`:         {Nodes: []string{"a", "b"}},
		`nodes.a["x"][0].y`:                          {Nodes: []string{"a"}},
		`nodes.a.text.replace(nodes.b.x, "").size()`: {Nodes: []string{"a", "b"}},
		`[nodes.a][0].x`:                             {Nodes: []string{"a"}},
	} {
		e, err := flowchart.CompileExpr(text)
		require.NoError(t, err, text)
		require.Equal(t, text, e.String())
		require.Equal(t, want, e.NodeRefs(), text)
	}
	c, err := flowchart.CompileCondition(`nodes.a.ok`)
	require.NoError(t, err)
	require.Equal(t, flowchart.Refs{Nodes: []string{"a"}}, c.NodeRefs())
}

func TestEvalJSON(t *testing.T) {
	t.Parallel()
	s := scope(t)
	for text, want := range map[string]string{
		`input.list`:                          `[1,"a",null,{"k":true}]`,
		`[]`:                                  `[]`,
		`{}`:                                  `{}`,
		`{"b": 1, "a": [2.5, 1u]}`:            `{"a":[2.5,1],"b":1}`,
		`{1: "x", true: null}`:                `{"1":"x","true":null}`,
		`input.big`:                           `9223372036854775807`,
		`input.huge`:                          `100000000000000000000`,
		`input.text`:                          `"héllo <b>"`,
		`b"hi"`:                               `"aGk="`,
		`timestamp("2026-01-02T03:04:05.5Z")`: `"2026-01-02T03:04:05.5Z"`,
		`duration("90s")`:                     `"1m30s"`,
	} {
		e, err := flowchart.CompileExpr(text)
		require.NoError(t, err, text)
		got, err := e.EvalJSON(t.Context(), s, 1000)
		require.NoError(t, err, text)
		require.Equal(t, want, string(got), text)
	}
	for text, want := range map[string]string{
		`type(1)`:            "has no JSON form",
		`1.0 / 0.0`:          "has no JSON form",
		`[{"a": 0.0 / 0.0}]`: "has no JSON form",
		`nodes.gone`:         "no such key",
	} {
		e, err := flowchart.CompileExpr(text)
		require.NoError(t, err, text)
		_, err = e.EvalJSON(t.Context(), s, 1000)
		require.ErrorContains(t, err, want, text)
	}
}

func TestEvalJSONKeepsToItsLimit(t *testing.T) {
	t.Parallel()
	s := scope(t)
	for _, text := range []string{`input.list`, `{"key": [1, {}], "other": "text", "z": []}`, `"\u00e9\n"`, `true`, `12345`, `[[], {}]`} {
		e, err := flowchart.CompileExpr(text)
		require.NoError(t, err, text)
		full, err := e.EvalJSON(t.Context(), s, 1000)
		require.NoError(t, err, text)
		for limit := range full {
			_, err := e.EvalJSON(t.Context(), s, limit)
			require.True(t, errs.HasReason(err, "flow.rendered_too_large"), "%s to %d: %v", text, limit, err)
		}
		exact, err := e.EvalJSON(t.Context(), s, len(full))
		require.NoError(t, err, text)
		require.Equal(t, full, exact)
	}
}

func TestDecodeValue(t *testing.T) {
	t.Parallel()
	v, err := flowchart.DecodeValue(json.RawMessage(` {"i":1,"f":1.0,"l":[2,1e2],"o":{"x":-3}} `))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"i": int64(1), "f": 1.0, "l": []any{int64(2), 100.0}, "o": map[string]any{"x": int64(-3)}}, v)
	v, err = flowchart.DecodeValue(nil)
	require.NoError(t, err)
	require.Nil(t, v)
	for _, bad := range []string{`{`, `1 2`, `1e999`, `[1e999]`, `{"a":1e999}`} {
		_, err := flowchart.DecodeValue(json.RawMessage(bad))
		require.Error(t, err, bad)
	}
	bad := json.RawMessage(`{`)
	_, err = flowchart.NewScope(bad, nil, nil, nil)
	require.ErrorContains(t, err, "input")
	_, err = flowchart.NewScope(nil, bad, nil, nil)
	require.ErrorContains(t, err, "upstream")
	_, err = flowchart.NewScope(nil, nil, map[string]json.RawMessage{"a": bad}, nil)
	require.ErrorContains(t, err, `node "a"`)
}
