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

type world struct {
	g    *flowchart.Graph
	need map[string]int
}

// drawWorld draws a graph in which anything may be connected to anything. Loops
// come from edges that point back; ids are shuffled so that neither the id order
// nor the listing order follows the flow.
func drawWorld(t *rapid.T, loops bool) world {
	n := rapid.IntRange(1, 11).Draw(t, "nodes")
	names := make([]int, n)
	for i := range names {
		names[i] = i
	}
	names = rapid.Permutation(names).Draw(t, "names")
	w := world{g: &flowchart.Graph{}, need: map[string]int{}}
	for i := range n {
		id, kind, config := fmt.Sprintf("n%02d", names[i]), flowchart.KindTask, "{}"
		if i == 0 {
			kind = flowchart.KindStart
		}
		if k := rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3}).Draw(t, "fan-in"); k > 0 {
			w.need[id], config = k, fmt.Sprintf(`{"fan_in":%d}`, k)
		}
		w.g.Nodes = append(w.g.Nodes, flowchart.Node{ID: id, Kind: kind, Config: json.RawMessage(config)})
	}
	density := rapid.SampledFrom([]int{15, 30, 50}).Draw(t, "density")
	for i := range n {
		for j := range n {
			percent := density
			if j <= i {
				percent = 0
				if loops {
					percent = density / 4
				}
			}
			if rapid.IntRange(0, 99).Draw(t, "edge") >= percent {
				continue
			}
			mode := flowchart.Solid
			if rapid.IntRange(0, 19).Draw(t, "mode") == 0 {
				mode = flowchart.Dotted
			}
			w.g.Edges = append(w.g.Edges, flowchart.Edge{
				ID: fmt.Sprintf("e%d-%d", i, j), Source: w.g.Nodes[i].ID, Target: w.g.Nodes[j].ID, Mode: mode,
			})
		}
	}
	w.g.Nodes = rapid.Permutation(w.g.Nodes).Draw(t, "node order")
	if len(w.g.Edges) > 0 {
		w.g.Edges = rapid.Permutation(w.g.Edges).Draw(t, "edge order")
	}
	return w
}

func roundTrip(t require.TestingT, m flowchart.Marking) flowchart.Marking {
	first, err := json.Marshal(m)
	require.NoError(t, err)
	var back flowchart.Marking
	require.NoError(t, json.Unmarshal(first, &back))
	second, err := json.Marshal(back)
	require.NoError(t, err)
	require.Equal(t, string(first), string(second))
	return back
}

func requireSame(t require.TestingT, want refStep, got flowchart.Step) {
	activations := map[string][][]flowchart.Trigger{}
	for _, a := range got.Activations {
		activations[a.NodeID] = append(activations[a.NodeID], a.Triggers)
	}
	require.Len(t, activations, len(want.activations))
	for id, list := range want.activations {
		require.Len(t, activations[id], len(list), id)
		for i := range list {
			require.ElementsMatch(t, list[i], activations[id][i], id)
			if len(list[i]) > 0 {
				require.Equal(t, list[i][len(list[i])-1], activations[id][i][len(list[i])-1], "latest trigger of "+id)
			}
		}
	}
	require.ElementsMatch(t, want.skipped, got.Skipped)
	require.ElementsMatch(t, want.absorbed, got.Absorbed)
}

func solidOut(g *flowchart.Graph, id string) []string {
	ids := []string{}
	for _, e := range g.Edges {
		if e.Source == id && e.Mode == flowchart.Solid {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// run plays a whole run with random routes and a random interleaving against the
// reference. After a while it stops following back edges so that it ends.
type run struct {
	t        *rapid.T
	w        world
	c        *flowchart.Compiled
	m        flowchart.Marking
	ref      *reference
	started  map[string]int      // activations by node
	triggers map[string][]string // edges that fired a node
	taken    map[string]int      // tokens by edge
	used     map[string]int      // tokens consumed or absorbed by edge
	skipped  []string
}

const loopLimit = 40

func playRun(t *rapid.T, w world) *run {
	c, err := flowchart.Compile(w.g)
	require.NoError(t, err)
	r := &run{
		t: t, w: w, c: c, ref: newReference(w.g, w.need),
		started: map[string]int{}, triggers: map[string][]string{}, taken: map[string]int{}, used: map[string]int{},
	}
	entry := w.g.StartID()
	if rapid.IntRange(0, 9).Draw(t, "entry elsewhere") == 0 {
		entry = rapid.SampledFrom(w.g.Nodes).Draw(t, "entry").ID
	}
	m, step, err := flowchart.Start(c, entry)
	require.NoError(t, err)
	r.m = m
	requireSame(t, r.ref.start(entry), step)
	r.note(step)
	for n := 1; !r.m.Done(); n++ {
		require.Less(t, n, 20_000, "the run does not end")
		r.complete(int64(n))
	}
	return r
}

func (r *run) complete(n int64) {
	live := slices.Sorted(maps.Keys(r.m.Live()))
	id := rapid.SampledFrom(live).Draw(r.t, "complete")
	taken := solidOut(r.w.g, id)
	if rapid.Bool().Draw(r.t, "decides") {
		taken = slices.DeleteFunc(taken, func(string) bool { return rapid.Bool().Draw(r.t, "drop") })
	}
	if n > loopLimit {
		taken = slices.DeleteFunc(taken, func(e string) bool { return slices.Contains(r.c.BackEdges(), e) })
	}
	for _, e := range taken {
		r.taken[e]++
	}
	r.m = roundTrip(r.t, r.m)
	step, err := r.m.Complete(r.c, id, taken, n)
	require.NoError(r.t, err)
	requireSame(r.t, r.ref.complete(id, taken, n), step)
	require.Equal(r.t, r.m.Done(), step.Done)
	r.note(step)
}

func (r *run) note(s flowchart.Step) {
	for _, a := range s.Activations {
		r.started[a.NodeID]++
		for _, t := range a.Triggers {
			r.triggers[a.NodeID] = append(r.triggers[a.NodeID], t.EdgeID)
			r.used[t.EdgeID]++
		}
	}
	for _, t := range s.Absorbed {
		r.used[t.EdgeID]++
	}
	r.skipped = append(r.skipped, s.Skipped...)
}

// TestRoutingMatchesReference also holds what must be true of any run.
func TestRoutingMatchesReference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := playRun(t, drawWorld(t, true))
		require.Empty(t, r.m.Waiting(), "tokens are left although nothing is live")
		require.Equal(t, r.taken, r.used, "every token is consumed or absorbed, once")
		var never []string
		for _, n := range r.w.g.Nodes {
			if r.started[n.ID] == 0 {
				never = append(never, n.ID)
			}
		}
		require.ElementsMatch(t, never, r.skipped, "skipped are exactly those that never ran, each told once")
		require.ElementsMatch(t, never, r.m.Skipped())
		require.ElementsMatch(t, slices.Collect(maps.Keys(r.started)), r.m.Activated())
	})
}

// TestAcyclicNodesRunAtMostOnce needs no reference: without loops, whatever the
// fan-in modes and routes, a node runs once if one of its in-edges was taken, and
// never otherwise. With fan-in all it sees every edge that was taken.
func TestAcyclicNodesRunAtMostOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, false)
		r := playRun(t, w)
		require.Empty(t, r.c.BackEdges())
		reached := map[string][]string{}
		for _, e := range w.g.Edges {
			if r.taken[e.ID] > 0 {
				reached[e.Target] = append(reached[e.Target], e.ID)
			}
		}
		for _, n := range w.g.Nodes {
			in := reached[n.ID]
			if len(in) > 0 {
				require.Equal(t, 1, r.started[n.ID], n.ID)
			}
			if k := w.need[n.ID]; k == 0 {
				require.ElementsMatch(t, in, r.triggers[n.ID], n.ID)
			} else {
				require.GreaterOrEqual(t, len(r.triggers[n.ID]), min(k, len(in)), n.ID)
				require.Subset(t, in, r.triggers[n.ID])
			}
		}
	})
}

// TestBackEdgesCloseCycles checks the split of edges itself: forward edges form
// no cycle, and a back edge leads to where its source came from.
func TestBackEdgesCloseCycles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, true)
		c, err := flowchart.Compile(w.g)
		require.NoError(t, err)
		ref := newReference(w.g, nil)
		for _, e := range w.g.Edges {
			switch {
			case e.Mode != flowchart.Solid:
			case slices.Contains(c.BackEdges(), e.ID):
				require.True(t, ref.path(e.Target, e.Source, nil, true), e.ID)
			default:
				require.False(t, ref.path(e.Target, e.Source, nil, true), e.ID)
			}
		}
		shuffled := &flowchart.Graph{Nodes: slices.Clone(w.g.Nodes), Edges: slices.Clone(w.g.Edges)}
		slices.Reverse(shuffled.Nodes)
		slices.Reverse(shuffled.Edges)
		again, err := flowchart.Compile(shuffled)
		require.NoError(t, err)
		require.ElementsMatch(t, c.BackEdges(), again.BackEdges(), "listing order has no say")
	})
}
