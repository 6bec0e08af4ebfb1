package flowchart

import (
	"cmp"
	"slices"

	"github.com/llmctl/studio/internal/errs"
)

// Compiled is the plan of a graph: its order, its back edges and what can reach
// what. It is immutable and safe for concurrent use.
type Compiled struct {
	graph *Graph
	start string
	nodes []cnode // in topological order of the forward edges
	edges []cedge // the solid edges
	index map[string]int
	eids  map[string]int
	joins []int // nodes with forward in-edges, ascending
}

type cnode struct {
	id   string
	node Node
	out  []int  // solid out-edges, in the order of the graph
	in   []int  // forward in-edges, in the order of the graph
	need int    // tokens that make it fire without a dead edge
	all  bitset // what it reaches over solid edges, back edges included
	lazy *lazyNode
}

type cedge struct {
	id       string
	src, dst int
	back     bool
	hold     bitset // nodes that keep a forward edge from being dead
}

// Compile makes the plan of a graph. It needs exactly one start node and
// readable fan_in members; everything else is Validate's business. The graph
// must not be changed afterwards.
func Compile(g *Graph) (*Compiled, error) {
	start := g.StartID()
	if start == "" {
		return nil, errs.E(errs.Invalid, "flow.invalid_graph", "The flowchart has no start node.")
	}
	c := &Compiled{graph: g, start: start}
	order, back := walk(g, start)
	c.number(g, order)
	if err := c.connect(g, back); err != nil {
		return nil, err
	}
	c.reach()
	c.holders()
	return c, nil
}

// walk gives the node ids in topological order of the forward edges, and the
// ids of the solid edges that close a cycle. Targets are visited by id, so the
// answer depends on the graph alone and not on the order in which it is listed.
func walk(g *Graph, start string) (order []string, back map[string]bool) {
	out := make(map[string][]Edge, len(g.Nodes))
	for _, e := range g.Edges {
		if e.Mode == Solid {
			out[e.Source] = append(out[e.Source], e)
		}
	}
	for _, es := range out {
		slices.SortFunc(es, func(a, b Edge) int { return cmp.Compare(a.Target, b.Target) })
	}
	roots := make([]string, 0, len(g.Nodes)+1)
	for _, n := range g.Nodes {
		roots = append(roots, n.ID)
	}
	slices.Sort(roots)
	roots = slices.Insert(roots, 0, start)

	const open, closed = 1, 2
	back = map[string]bool{}
	state := make(map[string]int, len(g.Nodes))
	var visit func(id string)
	visit = func(id string) {
		state[id] = open
		for _, e := range out[id] {
			switch state[e.Target] {
			case open:
				back[e.ID] = true
			case 0:
				visit(e.Target)
			}
		}
		state[id] = closed
		order = append(order, id)
	}
	for _, id := range roots {
		if state[id] == 0 {
			visit(id)
		}
	}
	slices.Reverse(order)
	return order, back
}

func (c *Compiled) number(g *Graph, order []string) {
	byID := make(map[string]Node, len(g.Nodes))
	for _, n := range g.Nodes {
		byID[n.ID] = n
	}
	c.index = make(map[string]int, len(order))
	c.nodes = make([]cnode, len(order))
	for i, id := range order {
		c.index[id] = i
		c.nodes[i] = cnode{id: id, node: byID[id], lazy: new(lazyNode)}
	}
}

func (c *Compiled) connect(g *Graph, back map[string]bool) error {
	c.eids = make(map[string]int, len(g.Edges))
	for _, e := range g.Edges {
		if e.Mode != Solid {
			continue
		}
		i := len(c.edges)
		ce := cedge{id: e.ID, src: c.index[e.Source], dst: c.index[e.Target], back: back[e.ID]}
		c.edges = append(c.edges, ce)
		c.eids[e.ID] = i
		c.nodes[ce.src].out = append(c.nodes[ce.src].out, i)
		if !ce.back {
			c.nodes[ce.dst].in = append(c.nodes[ce.dst].in, i)
		}
	}
	for i := range c.nodes {
		n := &c.nodes[i]
		common, err := DecodeCommon(n.node.Config)
		if err != nil {
			return err
		}
		n.need = common.FanIn.Need(len(n.in))
		if len(n.in) > 0 {
			c.joins = append(c.joins, i)
		}
	}
	return nil
}

// reach fills every node's set of nodes that it reaches over solid edges.
func (c *Compiled) reach() {
	stack := make([]int, 0, len(c.nodes))
	for i := range c.nodes {
		set := newBitset(len(c.nodes))
		stack = append(stack[:0], i)
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			for _, e := range c.nodes[at].out {
				if to := c.edges[e].dst; !set.has(to) {
					set.add(to)
					stack = append(stack, to)
				}
			}
		}
		c.nodes[i].all = set
	}
}

// holders fills every forward edge's set of nodes that can still lead to a token
// on it: those that reach its source without passing the join that waits for it
// or anything downstream of that join.
func (c *Compiled) holders() {
	rev := make([][]int, len(c.nodes))
	for _, e := range c.edges {
		rev[e.dst] = append(rev[e.dst], e.src)
	}
	down := make([]bitset, len(c.nodes))
	for i := len(c.nodes) - 1; i >= 0; i-- {
		down[i] = newBitset(len(c.nodes))
		down[i].add(i)
		for _, e := range c.nodes[i].out {
			if !c.edges[e].back {
				down[i].union(down[c.edges[e].dst])
			}
		}
	}
	stack := make([]int, 0, len(c.nodes))
	for _, j := range c.joins {
		for _, e := range c.nodes[j].in {
			set := newBitset(len(c.nodes))
			set.add(c.edges[e].src)
			stack = append(stack[:0], c.edges[e].src)
			for len(stack) > 0 {
				at := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				for _, from := range rev[at] {
					if !set.has(from) && !down[j].has(from) {
						set.add(from)
						stack = append(stack, from)
					}
				}
			}
			c.edges[e].hold = set
		}
	}
}

// Graph gives the graph the plan was made of.
func (c *Compiled) Graph() *Graph { return c.graph }

// StartID gives the id of the start node.
func (c *Compiled) StartID() string { return c.start }

// Node gives the node with that id.
func (c *Compiled) Node(id string) (Node, bool) {
	i, ok := c.index[id]
	if !ok {
		return Node{}, false
	}
	return c.nodes[i].node, true
}

// BackEdges gives the ids of the solid edges that close a cycle, in the order
// of the graph.
func (c *Compiled) BackEdges() []string {
	var ids []string
	for _, e := range c.edges {
		if e.back {
			ids = append(ids, e.id)
		}
	}
	return ids
}
