package flowchart_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/llmctl/studio/internal/flowchart"
)

// program is a flowchart built of sequences, forks, branches and loops, nested
// at will. Whatever the interleaving, such a program must behave as the same
// program would in a language with these statements: that is the oracle here.
type program struct {
	t     *rapid.T
	g     *flowchart.Graph
	count map[string]int      // how often a node must run
	plan  map[string][]string // the choices of a decision, run by run
	joins map[string]int      // joins of forks: how many parents each firing must have
}

// block is a part of a program with one way in and one way out. run notes one
// pass through it.
type block struct {
	in, out string
	run     func()
}

func (p *program) node(kind string) string {
	// A drawn prefix keeps the id order from following the flow.
	id := fmt.Sprintf("%s%d_%s", rapid.SampledFrom([]string{"a", "m", "z"}).Draw(p.t, "prefix"), len(p.g.Nodes), kind)
	p.g.Nodes = append(p.g.Nodes, flowchart.Node{ID: id, Kind: flowchart.KindTask, Config: json.RawMessage("{}")})
	return id
}

func (p *program) edge(from, to string) string {
	id := from + ">" + to
	p.g.Edges = append(p.g.Edges, flowchart.Edge{ID: id, Source: from, Target: to, Mode: flowchart.Solid})
	return id
}

func (p *program) choose(node, edge string) {
	p.count[node]++
	p.plan[node] = append(p.plan[node], edge)
}

func (p *program) block(depth int) block {
	kinds := []string{"step"}
	if depth > 0 {
		kinds = []string{"step", "sequence", "fork", "branch", "while", "repeat"}
	}
	switch rapid.SampledFrom(kinds).Draw(p.t, "block") {
	case "sequence":
		a, b := p.block(depth-1), p.block(depth-1)
		p.edge(a.out, b.in)
		return block{a.in, b.out, func() { a.run(); b.run() }}
	case "fork":
		return p.fork(depth)
	case "branch":
		return p.branch(depth)
	case "while":
		return p.while(depth)
	case "repeat":
		return p.repeat(depth)
	default:
		id := p.node("step")
		return block{id, id, func() { p.count[id]++ }}
	}
}

func (p *program) fork(depth int) block {
	fork, join := p.node("fork"), p.node("join")
	parts := make([]block, rapid.IntRange(2, 3).Draw(p.t, "parts"))
	for i := range parts {
		parts[i] = p.block(depth - 1)
		p.edge(fork, parts[i].in)
		p.edge(parts[i].out, join)
	}
	p.joins[join] = len(parts)
	return block{fork, join, func() {
		p.count[fork]++
		for _, part := range parts {
			part.run()
		}
		p.count[join]++
	}}
}

func (p *program) branch(depth int) block {
	decide, merge := p.node("if"), p.node("fi")
	yes, no := p.block(depth-1), p.block(depth-1)
	toYes, toNo := p.edge(decide, yes.in), p.edge(decide, no.in)
	p.edge(yes.out, merge)
	p.edge(no.out, merge)
	p.joins[merge] = 1
	return block{decide, merge, func() {
		if rapid.Bool().Draw(p.t, "if") {
			p.choose(decide, toYes)
			yes.run()
		} else {
			p.choose(decide, toNo)
			no.run()
		}
		p.count[merge]++
	}}
}

func (p *program) while(depth int) block {
	head, exit := p.node("while"), p.node("done")
	body := p.block(depth - 1)
	toBody, toExit := p.edge(head, body.in), p.edge(head, exit)
	p.edge(body.out, head)
	return block{head, exit, func() {
		for range rapid.IntRange(0, 2).Draw(p.t, "rounds") {
			p.choose(head, toBody)
			body.run()
		}
		p.choose(head, toExit)
		p.count[exit]++
	}}
}

func (p *program) repeat(depth int) block {
	head, until, exit := p.node("repeat"), p.node("until"), p.node("done")
	body := p.block(depth - 1)
	p.edge(head, body.in)
	p.edge(body.out, until)
	again, toExit := p.edge(until, head), p.edge(until, exit)
	return block{head, exit, func() {
		for n := rapid.IntRange(1, 3).Draw(p.t, "rounds"); n > 0; n-- {
			p.count[head]++
			body.run()
			if n > 1 {
				p.choose(until, again)
			}
		}
		p.choose(until, toExit)
		p.count[exit]++
	}}
}

// TestProgramsRunAsWritten also finds a join that fires early, with a parent of
// another round, or twice.
func TestProgramsRunAsWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := &program{t: t, g: &flowchart.Graph{}, count: map[string]int{}, plan: map[string][]string{}, joins: map[string]int{}}
		start := p.node("start")
		p.g.Nodes[0].Kind = flowchart.KindStart
		body := p.block(3)
		p.edge(start, body.in)
		p.count[start]++
		body.run()

		c, err := flowchart.Compile(p.g)
		require.NoError(t, err)
		m, step, err := flowchart.Start(c, start)
		require.NoError(t, err)
		ran := map[string]int{}
		for n := int64(1); ; n++ {
			for _, a := range step.Activations {
				ran[a.NodeID]++
				if parents, ok := p.joins[a.NodeID]; ok {
					require.Len(t, a.Triggers, parents, "firing %d of %s", ran[a.NodeID], a.NodeID)
				}
				require.LessOrEqual(t, m.Live()[a.NodeID], 1, "two rounds of %s at once", a.NodeID)
			}
			require.Empty(t, step.Absorbed)
			if m.Done() {
				break
			}
			id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.Live()))).Draw(t, "complete")
			var taken []string
			if choices := p.plan[id]; len(choices) > 0 {
				taken, p.plan[id] = choices[:1], choices[1:]
			}
			step, err = m.Complete(c, id, taken, n)
			require.NoError(t, err)
		}
		require.Equal(t, p.count, ran)
	})
}
