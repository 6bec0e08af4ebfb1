package flowchart_test

import (
	"maps"
	"slices"

	"github.com/llmctl/studio/internal/flowchart"
)

// reference is the token game played slowly: plain maps, a path search for every
// question, and firing to a fixpoint in an order of its own. It shares no code
// with the engine beyond the graph types.
type reference struct {
	g       *flowchart.Graph
	need    map[string]int // fan-in count by node, 0 for all
	back    map[string]bool
	order   []string // topological order of the forward edges
	live    map[string]int
	queue   map[string][]arrived
	owed    map[string]int
	ran     map[string]bool
	skipped map[string]bool
	clock   int
}

type arrived struct {
	ref int64
	at  int
}

type refStep struct {
	activations map[string][][]flowchart.Trigger // by node, in order
	skipped     []string
	absorbed    []flowchart.Trigger
}

func newReference(g *flowchart.Graph, need map[string]int) *reference {
	r := &reference{
		g: g, need: need, back: map[string]bool{}, live: map[string]int{}, queue: map[string][]arrived{},
		owed: map[string]int{}, ran: map[string]bool{}, skipped: map[string]bool{},
	}
	r.walk()
	return r
}

func (r *reference) walk() {
	path, done := map[string]bool{}, map[string]bool{}
	var visit func(id string)
	visit = func(id string) {
		path[id] = true
		targets := map[string]string{}
		for _, e := range r.out(id) {
			targets[e.Target] = e.ID
		}
		for _, t := range slices.Sorted(maps.Keys(targets)) {
			if path[t] {
				r.back[targets[t]] = true
			} else if !done[t] {
				visit(t)
			}
		}
		path[id], done[id] = false, true
		r.order = append([]string{id}, r.order...)
	}
	ids := []string{}
	for _, n := range r.g.Nodes {
		ids = append(ids, n.ID)
	}
	slices.Sort(ids)
	for _, id := range append([]string{r.g.StartID()}, ids...) {
		if !done[id] {
			visit(id)
		}
	}
}

func (r *reference) out(id string) []flowchart.Edge {
	var es []flowchart.Edge
	for _, e := range r.g.Edges {
		if e.Source == id && e.Mode == flowchart.Solid {
			es = append(es, e)
		}
	}
	return es
}

func (r *reference) in(id string) []flowchart.Edge {
	var es []flowchart.Edge
	for _, e := range r.g.Edges {
		if e.Target == id && e.Mode == flowchart.Solid && !r.back[e.ID] {
			es = append(es, e)
		}
	}
	return es
}

// path reports whether from is to, or leads there on solid edges without
// touching a node of avoid.
func (r *reference) path(from, to string, avoid map[string]bool, forwardOnly bool) bool {
	seen := map[string]bool{}
	var try func(id string) bool
	try = func(id string) bool {
		if avoid[id] || seen[id] {
			return false
		}
		seen[id] = true
		return id == to || slices.ContainsFunc(r.out(id), func(e flowchart.Edge) bool {
			return (!forwardOnly || !r.back[e.ID]) && try(e.Target)
		})
	}
	return try(from)
}

func (r *reference) pending() []string {
	var ids []string
	for _, n := range r.g.Nodes {
		if slices.ContainsFunc(r.in(n.ID), func(e flowchart.Edge) bool { return len(r.queue[e.ID]) > 0 }) {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

// dead reports whether nothing under way can put a token on e.
func (r *reference) dead(e flowchart.Edge) bool {
	downstream := map[string]bool{}
	for _, n := range r.g.Nodes {
		downstream[n.ID] = r.path(e.Target, n.ID, nil, true)
	}
	for _, x := range append(slices.Collect(maps.Keys(r.live)), r.pending()...) {
		if r.path(x, e.Source, downstream, false) {
			return false
		}
	}
	return true
}

func (r *reference) start(id string) refStep {
	s := refStep{activations: map[string][][]flowchart.Trigger{}}
	r.activate(&s, id, nil)
	r.settle(&s)
	return s
}

func (r *reference) complete(id string, taken []string, ref int64) refStep {
	s := refStep{activations: map[string][][]flowchart.Trigger{}}
	if r.live[id]--; r.live[id] == 0 {
		delete(r.live, id)
	}
	for _, e := range r.out(id) {
		if !slices.Contains(taken, e.ID) {
			continue
		}
		t := flowchart.Trigger{EdgeID: e.ID, SourceNodeID: id, Ref: ref}
		switch {
		case r.back[e.ID]:
			r.activate(&s, e.Target, []flowchart.Trigger{t})
		case r.owed[e.ID] > 0:
			r.owed[e.ID]--
			s.absorbed = append(s.absorbed, t)
		default:
			r.clock++
			r.queue[e.ID] = append(r.queue[e.ID], arrived{ref, r.clock})
		}
	}
	r.settle(&s)
	return s
}

func (r *reference) activate(s *refStep, id string, triggers []flowchart.Trigger) {
	r.live[id]++
	r.ran[id] = true
	s.activations[id] = append(s.activations[id], triggers)
}

func (r *reference) settle(s *refStep) {
	for changed := true; changed; {
		changed = false
		for _, id := range r.pending() { // in the order of the graph, not topological
			if r.ready(id) {
				r.fire(s, id, false)
				changed = true
				break
			}
		}
	}
	if len(r.live) == 0 {
		for _, id := range r.order {
			if slices.Contains(r.pending(), id) {
				r.fire(s, id, true)
				break
			}
		}
	}
	for _, e := range r.g.Edges {
		if r.owed[e.ID] > 0 && r.dead(e) {
			r.owed[e.ID] = 0
		}
	}
	for _, n := range r.g.Nodes {
		if r.ran[n.ID] || r.skipped[n.ID] {
			continue
		}
		hope := false
		for _, x := range append(slices.Collect(maps.Keys(r.live)), r.pending()...) {
			hope = hope || r.path(x, n.ID, nil, false)
		}
		if !hope {
			r.skipped[n.ID] = true
			s.skipped = append(s.skipped, n.ID)
		}
	}
}

func (r *reference) ready(id string) bool {
	in := r.in(id)
	have, dead := 0, 0
	for _, e := range in {
		if len(r.queue[e.ID]) > 0 {
			have++
		} else if r.dead(e) {
			dead++
		}
	}
	k := r.need[id]
	if k == 0 || k > len(in) {
		k = len(in)
	}
	return have >= k || have > 0 && have+dead == len(in)
}

func (r *reference) fire(s *refStep, id string, forced bool) {
	type got struct {
		at int
		t  flowchart.Trigger
	}
	var gots []got
	for _, e := range r.in(id) {
		if q := r.queue[e.ID]; len(q) > 0 {
			gots = append(gots, got{q[0].at, flowchart.Trigger{EdgeID: e.ID, SourceNodeID: e.Source, Ref: q[0].ref}})
		}
	}
	for _, e := range r.in(id) {
		if len(r.queue[e.ID]) == 0 && !forced && !r.dead(e) {
			r.owed[e.ID]++
		}
	}
	for _, e := range r.in(id) {
		if len(r.queue[e.ID]) > 0 {
			r.queue[e.ID] = r.queue[e.ID][1:]
		}
	}
	slices.SortFunc(gots, func(a, b got) int { return a.at - b.at })
	triggers := []flowchart.Trigger{}
	for _, g := range gots {
		triggers = append(triggers, g.t)
	}
	r.activate(s, id, triggers)
}
