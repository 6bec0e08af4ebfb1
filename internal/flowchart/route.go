package flowchart

import (
	"slices"

	"github.com/llmctl/studio/internal/errs"
)

// Activation asks the caller to run a node once.
type Activation struct {
	NodeID   string    `json:"node_id"`
	Triggers []Trigger `json:"triggers"` // in order of arrival; none for the entry node
}

// Latest gives the trigger that arrived last, whose output is `upstream`.
func (a Activation) Latest() (Trigger, bool) {
	if len(a.Triggers) == 0 {
		return Trigger{}, false
	}
	return a.Triggers[len(a.Triggers)-1], true
}

// Trigger is a token that made a node fire, or that was absorbed.
type Trigger struct {
	EdgeID       string `json:"edge_id"`
	SourceNodeID string `json:"source_node_id"`
	Ref          int64  `json:"ref"` // the finished node run of the source
}

// Step is what one change of a marking leads to. Activations come in
// topological order of their nodes, so equal steps are equal to the letter.
type Step struct {
	Activations []Activation `json:"activations"`
	Skipped     []string     `json:"skipped"`  // nodes that can no longer run, reported once
	Absorbed    []Trigger    `json:"absorbed"` // late tokens of rounds that fired without them
	Done        bool         `json:"done"`
}

// Start begins a run at a node, usually the start node. Nodes that cannot be
// reached from there are skipped at once.
func Start(c *Compiled, nodeID string) (Marking, Step, error) {
	var m Marking
	m.init()
	i, ok := c.index[nodeID]
	if !ok {
		return m, Step{}, errs.Ef(errs.Invalid, "flow.unknown_node", "The flowchart has no node %q.", nodeID)
	}
	s := stepper{c: c, m: &m}
	s.activate(i, nil)
	s.settle()
	return m, s.step, nil
}

// Complete ends one live activation of a node and moves the tokens. taken lists
// the solid out-edges to follow: nil for all of them, empty for none. ref is the
// finished node run, handed back as the Ref of the triggers it causes.
//
// An error leaves the marking as it was.
func (m *Marking) Complete(c *Compiled, nodeID string, taken []string, ref int64) (Step, error) {
	m.init()
	if err := m.fits(c); err != nil {
		return Step{}, err
	}
	i, ok := c.index[nodeID]
	if !ok {
		return Step{}, errs.Ef(errs.Invalid, "flow.unknown_node", "The flowchart has no node %q.", nodeID)
	}
	if m.live[nodeID] == 0 {
		return Step{}, errs.Ef(errs.Conflict, "flow.not_live", "Node %q has no live activation.", nodeID)
	}
	edges, err := c.takes(i, taken)
	if err != nil {
		return Step{}, err
	}
	if m.tokenCount()+len(edges) > MaxTokens {
		return Step{}, errs.Ef(errs.TooLarge, "flow.too_many_tokens",
			"More than %d results wait at joins of this run; a loop probably feeds a join whose other parents do not follow.", MaxTokens)
	}
	if m.live[nodeID]--; m.live[nodeID] == 0 {
		delete(m.live, nodeID)
	}
	s := stepper{c: c, m: m}
	for _, e := range edges {
		s.deliver(e, ref)
	}
	s.settle()
	return s.step, nil
}

// fits guards against a marking of another version of the graph.
func (m *Marking) fits(c *Compiled) error {
	bad := func(what, id string) error {
		return errs.Ef(errs.Internal, "flow.marking_mismatch", "The run's state names %s %q, which its flowchart version does not have.", what, id)
	}
	for id := range m.live {
		if _, ok := c.index[id]; !ok {
			return bad("node", id)
		}
	}
	for id := range m.seen {
		if _, ok := c.index[id]; !ok {
			return bad("node", id)
		}
	}
	for id := range m.tokens {
		if e, ok := c.eids[id]; !ok || c.edges[e].back {
			return bad("edge", id)
		}
	}
	for id := range m.owed {
		if e, ok := c.eids[id]; !ok || c.edges[e].back {
			return bad("edge", id)
		}
	}
	return nil
}

// takes resolves the edges to follow, in the order of the graph.
func (c *Compiled) takes(node int, taken []string) ([]int, error) {
	if taken == nil {
		return c.nodes[node].out, nil
	}
	edges := make([]int, 0, len(taken))
	for _, id := range taken {
		e, ok := c.eids[id]
		if !ok || c.edges[e].src != node {
			return nil, errs.Ef(errs.Invalid, "flow.unknown_edge", "Node %q has no solid out-edge %q.", c.nodes[node].id, id)
		}
		edges = append(edges, e)
	}
	slices.Sort(edges)
	return slices.Compact(edges), nil
}

// stepper makes one step of a marking.
type stepper struct {
	c      *Compiled
	m      *Marking
	step   Step
	fired  []firing
	active bitset // nodes with live activations, and pending joins
}

type firing struct {
	node     int
	triggers []Trigger
}

func (s *stepper) activate(node int, triggers []Trigger) {
	id := s.c.nodes[node].id
	s.m.live[id]++
	s.m.seen[id] = true
	s.fired = append(s.fired, firing{node, triggers})
}

func (s *stepper) trigger(e int, ref int64) Trigger {
	ce := s.c.edges[e]
	return Trigger{EdgeID: ce.id, SourceNodeID: s.c.nodes[ce.src].id, Ref: ref}
}

// deliver puts a token on an edge, or to its other use.
func (s *stepper) deliver(e int, ref int64) {
	ce := s.c.edges[e]
	switch {
	case ce.back:
		s.activate(ce.dst, []Trigger{s.trigger(e, ref)})
	case s.m.owed[ce.id] > 0:
		if s.m.owed[ce.id]--; s.m.owed[ce.id] == 0 {
			delete(s.m.owed, ce.id)
		}
		s.step.Absorbed = append(s.step.Absorbed, s.trigger(e, ref))
	default:
		s.m.seq++
		s.m.tokens[ce.id] = append(s.m.tokens[ce.id], token{Ref: ref, Seq: s.m.seq})
	}
}

// settle fires what can fire, forgets what is dead and reports the step. One
// pass suffices: a join that fires stays active, so no firing changes what is
// dead for another.
func (s *stepper) settle() {
	pending := s.pending()
	s.active = newBitset(len(s.c.nodes))
	for id := range s.m.live {
		s.active.add(s.c.index[id])
	}
	for _, j := range pending {
		s.active.add(j)
	}
	for _, j := range pending {
		for s.ready(j) {
			s.fire(j, false)
		}
	}
	if len(s.m.live) == 0 {
		// Only joins are left, each waiting for another around a loop.
		if pending = s.pending(); len(pending) > 0 {
			s.fire(pending[0], true)
		}
	}
	s.forgive()
	s.skip()
	s.report()
}

// pending gives the joins that hold a token, in topological order.
func (s *stepper) pending() []int {
	nodes := make([]int, 0, len(s.m.tokens))
	for id := range s.m.tokens {
		nodes = append(nodes, s.c.edges[s.c.eids[id]].dst)
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

func (s *stepper) dead(e int) bool { return !s.c.edges[e].hold.intersects(s.active) }

func (s *stepper) ready(join int) bool {
	n := s.c.nodes[join]
	have, open := 0, false
	for _, e := range n.in {
		switch {
		case len(s.m.tokens[s.c.edges[e].id]) > 0:
			have++
		case !open:
			open = !s.dead(e)
		}
	}
	return have > 0 && (have >= n.need || !open)
}

// fire consumes one token from each edge that has one and lets the others owe
// theirs. A forced firing gives up on the others instead.
func (s *stepper) fire(join int, forced bool) {
	type arrival struct {
		seq int64
		t   Trigger
	}
	var got []arrival
	for _, e := range s.c.nodes[join].in {
		id := s.c.edges[e].id
		q := s.m.tokens[id]
		if len(q) == 0 {
			if !forced && !s.dead(e) {
				s.m.owed[id]++
			}
			continue
		}
		got = append(got, arrival{q[0].Seq, s.trigger(e, q[0].Ref)})
		if len(q) == 1 {
			delete(s.m.tokens, id)
		} else {
			s.m.tokens[id] = q[1:]
		}
	}
	slices.SortFunc(got, func(a, b arrival) int { return int(a.seq - b.seq) })
	triggers := make([]Trigger, len(got))
	for i, a := range got {
		triggers[i] = a.t
	}
	s.activate(join, triggers)
}

// forgive cancels debts that nothing can pay any more; a token that comes in a
// later round is a new one.
func (s *stepper) forgive() {
	for id := range s.m.owed {
		if s.dead(s.c.eids[id]) {
			delete(s.m.owed, id)
		}
	}
}

// skip marks the nodes that never ran and that nothing active can reach.
func (s *stepper) skip() {
	hope := newBitset(len(s.c.nodes))
	s.active.each(func(i int) {
		hope.add(i)
		hope.union(s.c.nodes[i].all)
	})
	for i := range s.c.nodes {
		id := s.c.nodes[i].id
		if _, seen := s.m.seen[id]; !seen && !hope.has(i) {
			s.m.seen[id] = false
			s.step.Skipped = append(s.step.Skipped, id)
		}
	}
}

func (s *stepper) report() {
	slices.SortStableFunc(s.fired, func(a, b firing) int { return a.node - b.node })
	for _, f := range s.fired {
		s.step.Activations = append(s.step.Activations, Activation{NodeID: s.c.nodes[f.node].id, Triggers: f.triggers})
	}
	s.step.Done = s.m.Done()
}
