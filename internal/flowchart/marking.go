package flowchart

import (
	"fmt"
	"slices"
)

// Marking is the state of a run in its graph; see the package comment. It holds
// only what is outstanding, so it stays small in loops.
type Marking struct {
	Start  string             `json:"start"`
	Tokens map[string][]int64 `json:"tokens,omitempty"` // by edge: the node runs that sent them, oldest first
	Owed   map[string]int     `json:"owed,omitempty"`   // by edge: tokens that will be absorbed
	Live   map[string]int     `json:"live,omitempty"`   // by node: activations that have not been completed
	Seen   map[string]bool    `json:"seen,omitempty"`   // nodes that were activated or reported as skipped
}

// Trigger is a token that an activation consumed.
type Trigger struct {
	EdgeID       string
	SourceNodeID string
	Ref          int64 // the node run that sent it
}

// Activation says that a node is to run now.
type Activation struct {
	NodeID   string
	Triggers []Trigger // in the order of the graph's edges; none for the entry node
}

// Step is what follows from a change.
type Step struct {
	Activations []Activation
	Skipped     []string // nodes that cannot run any more, each reported once
	Done        bool     // nothing is live and nothing will be
}

// Start gives the marking of a new run and its first step.
func (c *Compiled) Start(nodeID string) (Marking, Step) {
	m := Marking{
		Start: nodeID, Tokens: map[string][]int64{}, Owed: map[string]int{},
		Live: map[string]int{nodeID: 1}, Seen: map[string]bool{nodeID: true},
	}
	return m, Step{Activations: []Activation{{NodeID: nodeID}}, Skipped: m.skipped(c)}
}

// Complete ends an activation of a node by sending a token over each edge taken
// (nil: all solid out-edges) in the name of ref, and gives what follows.
func (m *Marking) Complete(c *Compiled, nodeID string, taken []string, ref int64) (Step, error) {
	m.init()
	if m.Live[nodeID] == 0 {
		return Step{}, fmt.Errorf("node %q is not live", nodeID)
	}
	if m.Live[nodeID]--; m.Live[nodeID] == 0 {
		delete(m.Live, nodeID)
	}
	var step Step
	sent := 0
	for _, e := range c.topo.out[c.topo.index[nodeID]] {
		id := c.graph.Edges[e].ID
		if taken != nil && !slices.Contains(taken, id) {
			continue
		}
		sent++
		m.send(c, e, ref, &step)
	}
	if taken != nil && sent != len(taken) {
		return Step{}, fmt.Errorf("node %q does not have all of the edges %v", nodeID, taken)
	}
	m.fire(c, &step)
	step.Skipped = m.skipped(c)
	step.Done = len(m.Live) == 0
	return step, nil
}

// init makes the maps that JSON leaves out when they are empty.
func (m *Marking) init() {
	if m.Tokens == nil {
		m.Tokens = map[string][]int64{}
	}
	if m.Owed == nil {
		m.Owed = map[string]int{}
	}
	if m.Live == nil {
		m.Live = map[string]int{}
	}
	if m.Seen == nil {
		m.Seen = map[string]bool{}
	}
}

// send puts a token on an edge; over a back edge it activates the target at
// once, on an edge that owes one it is absorbed.
func (m *Marking) send(c *Compiled, e int, ref int64, step *Step) {
	edge := &c.graph.Edges[e]
	switch {
	case c.topo.back[e]:
		m.activate(edge.Target, []Trigger{{EdgeID: edge.ID, SourceNodeID: edge.Source, Ref: ref}}, step)
	case m.Owed[edge.ID] > 0:
		if m.Owed[edge.ID]--; m.Owed[edge.ID] == 0 {
			delete(m.Owed, edge.ID)
		}
	default:
		m.Tokens[edge.ID] = append(m.Tokens[edge.ID], ref)
	}
}

func (m *Marking) activate(node string, triggers []Trigger, step *Step) {
	m.Live[node]++
	m.Seen[node] = true
	step.Activations = append(step.Activations, Activation{NodeID: node, Triggers: triggers})
}

// fire goes once through the nodes in topological order. What an earlier node
// does to a later one (it is live now, or it still waits) is known when the later
// one is looked at, so once is enough.
func (m *Marking) fire(c *Compiled, step *Step) {
	t := c.topo
	alive := newBits(len(t.ids))
	for id := range m.Live {
		alive.or(t.forward[t.index[id]])
	}
	for _, v := range t.order {
		for m.fires(c, v, alive) {
			m.consume(c, v, alive, step)
			alive.or(t.forward[v])
		}
		for _, e := range t.in[v] {
			id := c.graph.Edges[e].ID
			if len(m.Tokens[id]) > 0 {
				alive.or(t.forward[v]) // it waits, and will fire
			}
			if m.Owed[id] > 0 && !alive.has(t.source[e]) {
				delete(m.Owed, id) // what it owed cannot come any more
			}
		}
	}
}

// fires reports whether a node has what it waits for.
func (m *Marking) fires(c *Compiled, v int, alive bits) bool {
	have, open := 0, 0
	for _, e := range c.topo.in[v] {
		switch {
		case len(m.Tokens[c.graph.Edges[e].ID]) > 0:
			have++
		case alive.has(c.topo.source[e]):
			open++
		}
	}
	if have == 0 {
		return false
	}
	return open == 0 || (!c.fanIn[v].all && have >= c.fanIn[v].k)
}

// consume takes one token from each edge that has one. Of a node that did not
// wait for all, the edges that may still bring one owe it.
func (m *Marking) consume(c *Compiled, v int, alive bits, step *Step) {
	var triggers []Trigger
	for _, e := range c.topo.in[v] {
		edge := &c.graph.Edges[e]
		queue := m.Tokens[edge.ID]
		if len(queue) == 0 {
			if !c.fanIn[v].all && alive.has(c.topo.source[e]) {
				m.Owed[edge.ID]++
			}
			continue
		}
		triggers = append(triggers, Trigger{EdgeID: edge.ID, SourceNodeID: edge.Source, Ref: queue[0]})
		if len(queue) == 1 {
			delete(m.Tokens, edge.ID)
		} else {
			m.Tokens[edge.ID] = queue[1:]
		}
	}
	m.activate(c.topo.ids[v], triggers, step)
}

// skipped reports the nodes of this run that were never activated and that
// nothing live reaches any more, in topological order.
func (m *Marking) skipped(c *Compiled) []string {
	t := c.topo
	start, ok := t.index[m.Start]
	if !ok {
		return nil
	}
	alive := newBits(len(t.ids))
	for id := range m.Live {
		alive.or(t.full[t.index[id]])
	}
	for id := range m.Tokens {
		alive.or(t.full[t.target[c.edges[id]]])
	}
	var out []string
	for _, v := range t.order {
		id := t.ids[v]
		if t.full[start].has(v) && !alive.has(v) && !m.Seen[id] {
			m.Seen[id] = true
			out = append(out, id)
		}
	}
	return out
}
