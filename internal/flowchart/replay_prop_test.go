package flowchart_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/llmctl/studio/internal/flowchart"
)

// played is a run of deterministic nodes: what one gives depends on which
// execution it is and on what it was given, in no order.
type played struct {
	t       *rapid.T
	c       *flowchart.Compiled
	plan    map[string][]string // the choices of a decision, execution by execution
	m       flowchart.Marking
	open    []flowchart.Activation
	ref     int64
	runs    map[string]int    // executions by node, reused ones included
	outputs map[int64]string  // by ref
	results map[string]string // by node and execution
	past    []flowchart.Past
	started map[int64]bool // executed here, not reused
}

func newPlayed(t *rapid.T, c *flowchart.Compiled, plan map[string][]string) *played {
	return &played{
		t: t, c: c, plan: plan, runs: map[string]int{}, outputs: map[int64]string{}, results: map[string]string{}, started: map[int64]bool{},
	}
}

// finish ends open activations in a drawn order, at most limit of them.
func (p *played) finish(limit int) {
	for ; len(p.open) > 0 && limit > 0; limit-- {
		i := rapid.IntRange(0, len(p.open)-1).Draw(p.t, "ends")
		a := p.open[i]
		p.open = slices.Delete(p.open, i, i+1)
		p.ref++
		past := flowchart.Past{Ref: p.ref, NodeID: a.NodeID, Triggers: a.Triggers}
		if choices := p.plan[a.NodeID]; len(choices) > 0 {
			past.Taken = choices[p.runs[a.NodeID]:][:1]
		}
		p.note(past, p.outputOf(a))
		p.started[p.ref] = true
		p.m = roundTrip(p.t, p.m)
		step, err := p.m.Complete(p.c, a.NodeID, past.Taken, p.ref)
		require.NoError(p.t, err)
		p.open = append(p.open, step.Activations...)
	}
}

func (p *played) outputOf(a flowchart.Activation) string {
	var got []string
	for _, t := range a.Triggers {
		got = append(got, p.outputs[t.Ref])
	}
	slices.Sort(got)
	// Only the number of a deep history, to keep the text short.
	return fmt.Sprintf("%s#%d(%x)", a.NodeID, p.runs[a.NodeID], hash(strings.Join(got, ",")))
}

func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range []byte(s) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

func (p *played) note(past flowchart.Past, output string) {
	p.outputs[past.Ref] = output
	p.results[fmt.Sprintf("%s#%d", past.NodeID, p.runs[past.NodeID])] = output
	p.runs[past.NodeID]++
	p.past = append(p.past, past)
}

// retry begins a new run from a node run of an old one.
func retry(old *played, from int64) (*played, flowchart.Replayed) {
	past := slices.Clone(old.past)
	for i := range past {
		past[i].Redo = past[i].Ref == from
	}
	r, err := flowchart.Replay(old.c, old.c.StartID(), past)
	require.NoError(old.t, err)
	p := newPlayed(old.t, old.c, old.plan)
	renamed := map[int64]int64{}
	for _, ref := range r.Kept {
		p.ref++
		renamed[ref] = 1000 + p.ref
	}
	p.ref += 1000
	for _, was := range old.past {
		if to, kept := renamed[was.Ref]; kept {
			triggers := renamedTriggers(old.t, was.Triggers, renamed)
			p.note(flowchart.Past{Ref: to, NodeID: was.NodeID, Triggers: triggers, Taken: was.Taken}, old.outputs[was.Ref])
		}
	}
	p.m = r.Marking
	p.m.Rename(renamed)
	for _, a := range r.Open {
		p.open = append(p.open, flowchart.Activation{NodeID: a.NodeID, Triggers: renamedTriggers(old.t, a.Triggers, renamed)})
	}
	return p, r
}

func renamedTriggers(t *rapid.T, in []flowchart.Trigger, renamed map[int64]int64) []flowchart.Trigger {
	out := slices.Clone(in)
	for i := range out {
		to, ok := renamed[out[i].Ref]
		require.True(t, ok, "a trigger of a node run that is not reused")
		out[i].Ref = to
	}
	return out
}

// TestRetryFromAnyNodeGivesTheSameRun plays programs to their end or part of the
// way, begins again at any of their node runs, and expects the result of the
// whole run with every node run either reused or executed, never both.
func TestRetryFromAnyNodeGivesTheSameRun(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		prog := &program{t: t, g: &flowchart.Graph{}, count: map[string]int{}, plan: map[string][]string{}, joins: map[string]int{}}
		start := prog.node("start")
		prog.g.Nodes[0].Kind = flowchart.KindStart
		body := prog.block(3)
		prog.edge(start, body.in)
		prog.count[start]++
		body.run()
		c, err := flowchart.Compile(prog.g)
		require.NoError(t, err)
		begin := func() *played {
			p := newPlayed(t, c, prog.plan)
			m, step, err := flowchart.Start(c, start)
			require.NoError(t, err)
			p.m, p.open = m, step.Activations
			return p
		}
		whole := begin()
		whole.finish(1 << 20)
		require.True(t, whole.m.Done())

		cut := begin()
		cut.finish(rapid.IntRange(1, len(whole.past)).Draw(t, "cut short after"))
		for range 2 { // a retry can be retried
			from := rapid.SampledFrom(cut.past).Draw(t, "from").Ref
			again, r := retry(cut, from)
			require.NotContains(t, r.Kept, from)
			kept := len(again.past)
			again.finish(1 << 20)
			require.True(t, again.m.Done())
			require.Equal(t, whole.results, again.results)
			require.Equal(t, prog.count, again.runs)
			require.Len(t, again.started, len(whole.past)-kept, "what is reused is not executed")
			cut = again
		}
	})
}

// TestReplayKeepsWhatDidNotFollowFromTheNode holds for any graph, loops and any
// fan-in included.
func TestReplayKeepsWhatDidNotFollowFromTheNode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, true)
		c, err := flowchart.Compile(w.g)
		require.NoError(t, err)
		p := newPlayed(t, c, nil)
		m, step, err := flowchart.Start(c, w.g.StartID())
		require.NoError(t, err)
		p.m, p.open = m, step.Activations
		p.finish(60)
		all, err := flowchart.Replay(c, w.g.StartID(), p.past)
		require.NoError(t, err)
		require.Len(t, all.Kept, len(p.past), "a history replays to itself")
		require.Equal(t, p.m.Live(), all.Marking.Live())

		from := rapid.SampledFrom(p.past).Draw(t, "from").Ref
		_, r := retry(p, from)
		followed := map[int64]bool{from: true}
		for _, past := range p.past {
			for _, trigger := range past.Triggers {
				if followed[trigger.Ref] {
					followed[past.Ref] = true
				}
			}
		}
		for _, ref := range r.Kept {
			require.False(t, followed[ref], "%d followed from %d", ref, from)
		}
		require.True(t, slices.ContainsFunc(r.Open, func(a flowchart.Activation) bool {
			return a.NodeID == p.past[from-1].NodeID && slices.Equal(a.Triggers, p.past[from-1].Triggers)
		}), "the node run itself is what begins")
		live := map[string]int{}
		for _, a := range r.Open {
			live[a.NodeID]++
		}
		require.Equal(t, r.Marking.Live(), live)
		require.ElementsMatch(t, r.Marking.Skipped(), r.Skipped)
		require.Subset(t, slices.Collect(maps.Keys(p.runs)), keptNodes(p.past, r.Kept))
	})
}

func keptNodes(past []flowchart.Past, kept []int64) []string {
	out := []string{}
	for _, p := range past {
		if slices.Contains(kept, p.Ref) {
			out = append(out, p.NodeID)
		}
	}
	return out
}
