package flowchart_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
)

// draw makes a graph of "a>b c" lines: solid edges from a to b and c, with ids
// a_b and a_c. The first node named is the start node. "b=any" or "b=2" after
// the lines sets a fan-in.
func draw(lines string, fanIn ...string) *flowchart.Graph {
	g := &flowchart.Graph{}
	add := func(id string) {
		if _, ok := g.Node(id); ok {
			return
		}
		kind := flowchart.KindTask
		if len(g.Nodes) == 0 {
			kind = flowchart.KindStart
		}
		g.Nodes = append(g.Nodes, flowchart.Node{ID: id, Kind: kind, Config: json.RawMessage("{}")})
	}
	for line := range strings.Lines(lines) {
		source, targets, ok := strings.Cut(strings.TrimSpace(line), ">")
		if !ok {
			continue
		}
		add(source)
		for target := range strings.FieldsSeq(targets) {
			add(target)
			g.Edges = append(g.Edges, flowchart.Edge{ID: source + "_" + target, Source: source, Target: target, Mode: flowchart.Solid})
		}
	}
	for _, f := range fanIn {
		id, count, _ := strings.Cut(f, "=")
		if count == "any" || count == "all" {
			count = `"` + count + `"`
		}
		for i := range g.Nodes {
			if g.Nodes[i].ID == id {
				g.Nodes[i].Config = json.RawMessage(fmt.Sprintf(`{"fan_in":%s}`, count))
			}
		}
	}
	return g
}

// told writes a step as text: "j(a b)" for an activation of j triggered by a and
// b in order of arrival, sorted by node, "-x" for a skipped node, "~a_j" for an absorbed token,
// "done" at the end.
func told(s flowchart.Step) string {
	var words []string
	activations := slices.SortedStableFunc(slices.Values(s.Activations), func(a, b flowchart.Activation) int { return strings.Compare(a.NodeID, b.NodeID) })
	for _, a := range activations {
		var from []string
		for _, t := range a.Triggers {
			from = append(from, t.SourceNodeID)
		}
		words = append(words, fmt.Sprintf("%s(%s)", a.NodeID, strings.Join(from, " ")))
	}
	skipped := slices.Sorted(slices.Values(s.Skipped))
	for _, id := range skipped {
		words = append(words, "-"+id)
	}
	for _, t := range s.Absorbed {
		words = append(words, "~"+t.EdgeID)
	}
	if s.Done {
		words = append(words, "done")
	}
	return strings.Join(words, " ")
}

// play completes nodes one after the other and compares what follows. A move is
// "node" or "node:target target", the latter for the edges that are taken.
func play(t *testing.T, g *flowchart.Graph, first string, moves ...[2]string) flowchart.Marking {
	t.Helper()
	c, err := flowchart.Compile(g)
	require.NoError(t, err)
	m, step, err := flowchart.Start(c, c.StartID())
	require.NoError(t, err)
	require.Equal(t, first, told(step), "start")
	for i, move := range moves {
		node, targets, decides := strings.Cut(move[0], ":")
		var taken []string
		if decides {
			taken = []string{}
			for target := range strings.FieldsSeq(targets) {
				taken = append(taken, node+"_"+target)
			}
		}
		step, err := m.Complete(c, node, taken, int64(i+1))
		require.NoError(t, err, move[0])
		require.Equal(t, move[1], told(step), "move %d: %s", i+1, move[0])
		m = roundTrip(t, m)
	}
	return m
}

type moves = [][2]string

func TestRouting(t *testing.T) {
	t.Parallel()
	const (
		diamond = "s>d\nd>a b\na>j\nb>j\nj>e"
		exit    = "s>h x\nh>d\nd>h c\nc>j\nx>j" // do-while: d decides, c leaves the loop
		while   = "s>h x\nh>m c\nm>h\nc>j\nx>j" // while: h decides, m is the body
	)
	cases := map[string]struct {
		g     *flowchart.Graph
		first string
		moves moves
	}{
		"a chain runs node by node": {draw("s>a\na>b"), "s()", moves{{"s", "a(s)"}, {"a", "b(a)"}, {"b", "done"}}},
		"a fork and join waits for both": {draw(diamond), "s()", moves{
			{"s", "d(s)"}, {"d", "a(d) b(d)"}, {"b", ""}, {"a", "j(b a)"}, {"j", "e(j)"}, {"e", "done"},
		}},
		"a diamond with a decision joins what was taken": {draw(diamond), "s()", moves{
			{"s", "d(s)"}, {"d:b", "b(d) -a"}, {"b", "j(b)"}, {"j", "e(j)"}, {"e", "done"},
		}},
		"a decision that takes nothing skips the rest": {draw(diamond), "s()", moves{
			{"s", "d(s)"}, {"d:", "-a -b -e -j done"},
		}},
		"an untaken branch does not hold up the other parents": {draw("s>d x\nd>a b\na>j\nx>j\nb>e"), "s()", moves{
			{"s", "d(s) x(s)"}, {"x", ""}, {"d:b", "b(d) j(x) -a"}, {"b", "e(b)"}, {"e", ""}, {"j", "done"},
		}},
		"nested diamonds": {draw("s>d1\nd1>d2 x\nd2>a b\na>j2\nb>j2\nj2>j1\nx>j1"), "s()", moves{
			{"s", "d1(s)"}, {"d1", "d2(d1) x(d1)"}, {"x", ""}, {"d2:a", "a(d2) -b"}, {"a", "j2(a)"}, {"j2", "j1(x j2)"}, {"j1", "done"},
		}},
		"nested diamonds, inner one untaken as a whole": {draw("s>d1\nd1>d2 x\nd2>a b\na>j2\nb>j2\nj2>j1\nx>j1"), "s()", moves{
			{"s", "d1(s)"}, {"d1", "d2(d1) x(d1)"}, {"x", ""}, {"d2:", "j1(x) -a -b -j2"}, {"j1", "done"},
		}},
		"a join after a loop waits for its exit": {draw(exit), "s()", moves{
			{"s", "h(s) x(s)"}, {"x", ""}, {"h", "d(h)"}, {"d:h", "h(d)"}, {"h", "d(h)"}, {"d:c", "c(d)"}, {"c", "j(x c)"}, {"j", "done"},
		}},
		"a join after a loop whose head decides waits while the body runs": {draw(while), "s()", moves{
			{"s", "h(s) x(s)"}, {"h:m", "m(h)"}, {"x", ""}, {"m", "h(m)"}, {"h:c", "c(h)"}, {"c", "j(x c)"}, {"j", "done"},
		}},
		"a join after a loop that ends without its exit": {draw(while), "s()", moves{
			{"s", "h(s) x(s)"}, {"h:m", "m(h)"}, {"x", ""}, {"m:", "j(x) -c"}, {"j", "done"},
		}},
		"two sibling loops joined": {draw("s>a b\na>a c\nb>b d\nc>j\nd>j"), "s()", moves{
			{"s", "a(s) b(s)"}, {"a:a", "a(a)"}, {"b:d", "d(b)"}, {"d", ""}, {"a:a", "a(a)"}, {"a:c", "c(a)"}, {"c", "j(d c)"}, {"j", "done"},
		}},
		"an edge out of a loop fires each time round": {draw("s>h\nh>m\nm>d k\nd>h e"), "s()", moves{
			{"s", "h(s)"},
			{"h", "m(h)"},
			{"m", "d(m) k(m)"},
			{"d:h", "h(d)"},
			{"k", ""},
			{"h", "m(h)"},
			{"m", "d(m) k(m)"},
			{"d:e", "e(d)"},
			{"k", ""},
			{"e", "done"},
		}},
		"an edge out of a loop into a join pairs once, then fires alone": {draw("s>h x\nh>m\nm>d j\nd>h e\nx>j"), "s()", moves{
			{"s", "h(s) x(s)"},
			{"h", "m(h)"},
			{"m", "d(m)"},
			{"x", "j(m x)"},
			{"j", ""},
			{"d:h", "h(d)"},
			{"h", "m(h)"},
			{"m", "d(m) j(m)"},
			{"j", ""},
			{"d:e", "e(d)"},
			{"e", "done"},
		}},
		"tokens of a loop queue up for a join that waits for its exit": {draw("s>h\nh>d\nd>h k c\nk>j\nc>j"), "s()", moves{
			{"s", "h(s)"},
			{"h", "d(h)"},
			{"d:h k", "h(d) k(d)"},
			{"k", ""},
			{"h", "d(h)"},
			{"d:h k", "h(d) k(d)"},
			{"k", ""},
			{"h", "d(h)"},
			{"d:c", "c(d)"},
			{"c", "j(k c) j(k)"},
			{"j", ""},
			{"j", "done"},
		}},
		"a join within a loop does not wait for the next round": {draw("s>h\nh>d q\nd>a b\na>j\nb>j\nj>k\nq>k\nk>h e"), "s()", moves{
			{"s", "h(s)"},
			{"h", "d(h) q(h)"},
			{"d:a", "a(d)"},
			{"a", "j(a)"},
			{"j", ""},
			{"q", "k(j q)"},
			{"k:h", "h(k)"},
			{"h", "d(h) q(h)"},
			{"q", ""},
			{"d:b", "b(d)"},
			{"b", "j(b)"},
			{"j", "k(q j)"},
			{"k:e", "e(k)"},
			{"e", "done"},
		}},
		"the first token fires a join of any, the rest is absorbed": {draw("s>a b c\na>j\nb>j\nc>j", "j=any"), "s()", moves{
			{"s", "a(s) b(s) c(s)"}, {"b", "j(b)"}, {"a", "~a_j"}, {"j", ""}, {"c", "~c_j done"},
		}},
		"k tokens fire a join of k, the rest is absorbed": {draw("s>a b c\na>j\nb>j\nc>j", "j=2"), "s()", moves{
			{"s", "a(s) b(s) c(s)"}, {"b", ""}, {"a", "j(b a)"}, {"j", ""}, {"c", "~c_j done"},
		}},
		"fewer than k suffice when the others cannot come": {draw("s>a b c\na>j\nb>j\nc>j", "j=2"), "s()", moves{
			{"s:a b", "a(s) b(s) -c"}, {"b", ""}, {"a:", "j(b)"}, {"j", "done"},
		}},
		"k above the number of parents means all": {draw("s>a b\na>j\nb>j", "j=5"), "s()", moves{
			{"s", "a(s) b(s)"}, {"b", ""}, {"a", "j(b a)"}, {"j", "done"},
		}},
		"a debt ends with the round that owes it": {draw("s>h\nh>a d\na>j\nd>c k\nc>j\nj>h e", "j=any"), "s()", moves{
			{"s", "h(s)"},
			{"h", "a(h) d(h)"},
			{"a", "j(a)"},
			{"d:k", "k(d)"},
			{"k", ""},
			{"j:h", "h(j)"},
			{"h:d", "d(h)"},
			{"d:c", "c(d)"},
			{"c", "j(c)"},
			{"j:e", "e(j)"},
			{"e", "done"},
		}},
		"late tokens of a loop's first round are absorbed in the second": {draw("s>h\nh>a b\na>j\nb>j\nj>h e", "j=any"), "s()", moves{
			{"s", "h(s)"},
			{"h", "a(h) b(h)"},
			{"a", "j(a)"},
			{"j:h", "h(j)"},
			{"h:a", "a(h)"},
			{"b", "~b_j"},
			{"a", "j(a)"},
			{"j:e", "e(j)"},
			{"e", "done"},
		}},
		"a token over a back edge fires a join alone": {draw("s>a b\na>j\nb>j\nj>j e"), "s()", moves{
			{"s", "a(s) b(s)"}, {"a", ""}, {"b", "j(a b)"}, {"j:j", "j(j)"}, {"j:e", "e(j)"}, {"e", "done"},
		}},
		"the start node may head a loop": {draw("s>a\na>s e"), "s()", moves{
			{"s", "a(s)"}, {"a:s", "s(a)"}, {"s", "a(s)"}, {"a:e", "e(a)"}, {"e", "done"},
		}},
		"what the start does not reach is skipped at once": {draw("s>a\ny>z\nz>a"), "s() -y -z", moves{{"s", "a(s)"}, {"a", "done"}}},
		"joins that wait for each other around a loop fire in order": {
			// q leads back to h1 and so to x1, for which p waits; p leads back to h2
			// and so to x2, for which q waits.
			draw("s>h1\nh1>h2 x1\nh2>p q x2\nx1>p\nx2>q\np>h2 e\nq>h1 f"), "s()",
			moves{{"s", "h1(s)"}, {"h1:h2", "h2(h1)"}, {"h2:p q", "q(h2)"}, {"q:f", "f(q) p(h2)"}, {"f", ""}, {"p:e", "e(p) -x1 -x2"}, {"e", "done"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, tc.g, tc.first, tc.moves...)
		})
	}
}

func TestEntryElsewhereSkipsWhatLiesBefore(t *testing.T) {
	t.Parallel()
	c, err := flowchart.Compile(draw("s>a b\na>j\nb>j\nj>e"))
	require.NoError(t, err)
	m, step, err := flowchart.Start(c, "a")
	require.NoError(t, err)
	require.Equal(t, "a() -b -s", told(step))
	step, err = m.Complete(c, "a", nil, 1)
	require.NoError(t, err)
	require.Equal(t, "j(a)", told(step))
	latest, ok := step.Activations[0].Latest()
	require.True(t, ok)
	require.Equal(t, flowchart.Trigger{EdgeID: "a_j", SourceNodeID: "a", Ref: 1}, latest)
	_, ok = flowchart.Activation{}.Latest()
	require.False(t, ok)
}

func TestCompleteRefusesWithoutChange(t *testing.T) {
	t.Parallel()
	c, err := flowchart.Compile(draw("s>a b\na>j\nb>j"))
	require.NoError(t, err)
	m, _, err := flowchart.Start(c, "s")
	require.NoError(t, err)
	before, err := json.Marshal(m)
	require.NoError(t, err)
	for reason, try := range map[string]func() error{
		"flow.unknown_node": func() error { _, err := m.Complete(c, "zz", nil, 1); return err },
		"flow.not_live":     func() error { _, err := m.Complete(c, "a", nil, 1); return err },
		"flow.unknown_edge": func() error { _, err := m.Complete(c, "s", []string{"s_a", "a_j"}, 1); return err },
		"flow.marking_mismatch": func() error {
			other, err := flowchart.Compile(draw("s>x"))
			require.NoError(t, err)
			_, wanted := m.Complete(other, "s", nil, 1)
			require.NoError(t, wanted, "s is all that the marking names")
			m, _, err = flowchart.Start(c, "s")
			require.NoError(t, err)
			stranger := m.Clone()
			_, err = stranger.Complete(c, "s", nil, 1)
			require.NoError(t, err)
			_, err = stranger.Complete(other, "s", nil, 1)
			return err
		},
	} {
		require.True(t, errs.HasReason(try(), reason), reason)
		after, err := json.Marshal(m)
		require.NoError(t, err)
		require.JSONEq(t, string(before), string(after), reason)
	}
	_, _, err = flowchart.Start(c, "zz")
	require.True(t, errs.HasReason(err, "flow.unknown_node"))
}

func TestMarkingOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	c, err := flowchart.Compile(draw("s>a\na>s"))
	require.NoError(t, err)
	for _, text := range []string{
		`{"v":1,"seq":0,"live":{"zz":1}}`,
		`{"v":1,"seq":0,"live":{"s":1},"ran":["zz"]}`,
		`{"v":1,"seq":1,"live":{"s":1},"tokens":{"zz":[{"ref":1,"seq":1}]}}`,
		`{"v":1,"seq":1,"live":{"s":1},"tokens":{"a_s":[{"ref":1,"seq":1}]}}`,
		`{"v":1,"seq":1,"live":{"s":1},"owed":{"zz":1}}`,
	} {
		var m flowchart.Marking
		require.NoError(t, json.Unmarshal([]byte(text), &m), text)
		_, err := m.Complete(c, "s", nil, 1)
		require.True(t, errs.HasReason(err, "flow.marking_mismatch"), text)
	}
}

func TestMarkingRefusesDamage(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`[]`, `{}`, `{"v":2}`, `{"v":1,"live":{"a":0}}`, `{"v":1,"owed":{"e":-1}}`, `{"v":1,"tokens":{"e":[]}}`,
	} {
		var m flowchart.Marking
		require.Error(t, json.Unmarshal([]byte(text), &m), text)
	}
}

func TestMarkingTellsItsState(t *testing.T) {
	t.Parallel()
	m := play(t, draw("s>a b c\na>j\nb>j"), "s()", [2]string{"s:a b", "a(s) b(s) -c"}, [2]string{"a", ""})
	require.Equal(t, map[string]int{"b": 1}, m.Live())
	require.Equal(t, map[string]int{"a_j": 1}, m.Waiting())
	require.Equal(t, []string{"a", "b", "s"}, m.Activated())
	require.Equal(t, []string{"c"}, m.Skipped())
	require.False(t, m.Done())
	var zero flowchart.Marking
	require.True(t, zero.Done())
}

func TestCloneIsIndependent(t *testing.T) {
	t.Parallel()
	c, err := flowchart.Compile(draw("s>a b\na>j\nb>j"))
	require.NoError(t, err)
	m, _, err := flowchart.Start(c, "s")
	require.NoError(t, err)
	_, err = m.Complete(c, "s", nil, 1)
	require.NoError(t, err)
	_, err = m.Complete(c, "a", nil, 2)
	require.NoError(t, err)
	before, err := json.Marshal(m)
	require.NoError(t, err)
	clone := m.Clone()
	_, err = clone.Complete(c, "b", nil, 3)
	require.NoError(t, err)
	after, err := json.Marshal(m)
	require.NoError(t, err)
	require.JSONEq(t, string(before), string(after))
}

// TestTokensAreBounded lets a loop feed a join whose other parent, the loop's
// exit, is always still to come.
func TestTokensAreBounded(t *testing.T) {
	t.Parallel()
	c, err := flowchart.Compile(draw("s>h\nh>h j c\nc>j"))
	require.NoError(t, err)
	m, _, err := flowchart.Start(c, "s")
	require.NoError(t, err)
	_, err = m.Complete(c, "s", nil, 1)
	require.NoError(t, err)
	for range flowchart.MaxTokens - 1 {
		_, err = m.Complete(c, "h", []string{"h_h", "h_j"}, 1)
		require.NoError(t, err)
	}
	_, err = m.Complete(c, "h", []string{"h_h", "h_j"}, 1)
	require.True(t, errs.HasReason(err, "flow.too_many_tokens"))
	require.Equal(t, map[string]int{"h": 1}, m.Live(), "the refused step leaves the activation live")
}

func TestLoopsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	c, err := flowchart.Compile(draw("s>h\nh>a b\na>j\nb>j\nj>h e", "j=any"))
	require.NoError(t, err)
	m, _, err := flowchart.Start(c, "s")
	require.NoError(t, err)
	_, err = m.Complete(c, "s", nil, 1)
	require.NoError(t, err)
	size := 0
	for round := range 200 {
		for _, move := range []string{"h", "a", "b", "j:h"} {
			node, target, decides := strings.Cut(move, ":")
			var taken []string
			if decides {
				taken = []string{node + "_" + target}
			}
			_, err = m.Complete(c, node, taken, int64(round))
			require.NoError(t, err)
		}
		raw, err := json.Marshal(m)
		require.NoError(t, err)
		if round == 0 {
			size = len(raw)
		}
		require.LessOrEqual(t, len(raw), size+4, "only numbers grow")
	}
}

func TestCompileNeedsAStartAndFanIn(t *testing.T) {
	t.Parallel()
	_, err := flowchart.Compile(&flowchart.Graph{})
	require.True(t, errs.HasReason(err, "flow.invalid_graph"))
	_, err = flowchart.Compile(draw("s>a", "a=0"))
	require.True(t, errs.HasReason(err, "flow.invalid_config"))
}

func TestCompiledTellsItsParts(t *testing.T) {
	t.Parallel()
	g := draw("s>a\na>s b")
	g.Edges = append(g.Edges,
		flowchart.Edge{ID: "dot", Source: "s", Target: "b", Mode: flowchart.Dotted},
		flowchart.Edge{ID: "dash", Source: "b", Target: "b", Mode: flowchart.Dashed})
	c, err := flowchart.Compile(g)
	require.NoError(t, err)
	require.Same(t, g, c.Graph())
	require.Equal(t, []string{"a_s"}, c.BackEdges())
	require.Equal(t, []flowchart.Kind{flowchart.KindStart, flowchart.KindTask}, c.Kinds())
	n, ok := c.Node("b")
	require.True(t, ok)
	require.Equal(t, "b", n.ID)
	_, ok = c.Node("zz")
	require.False(t, ok)

	s := c.Sources("b")
	require.Equal(t, flowchart.Sources{
		Solid:  []flowchart.Source{{EdgeID: "a_b", NodeID: "a"}},
		Dotted: []flowchart.Source{{EdgeID: "dot", NodeID: "s"}},
		Dashed: []flowchart.Source{{EdgeID: "dash", NodeID: "b"}},
	}, s)
	require.Equal(t, []flowchart.Source{{EdgeID: "a_b", NodeID: "a"}, {EdgeID: "dot", NodeID: "s"}}, s.Context())
	require.Equal(t, []flowchart.Source{{EdgeID: "a_b", NodeID: "a"}, {EdgeID: "dash", NodeID: "b"}}, s.Attachments())
}
