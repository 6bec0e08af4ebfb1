package flowchart

// bits is a set of node indexes.
type bits []uint64

func newBits(n int) bits { return make(bits, (n+63)/64) }

func (b bits) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bits) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

func (b bits) or(o bits) {
	for i := range b {
		b[i] |= o[i]
	}
}

// topology is the solid part of a graph, prepared for routing.
type topology struct {
	index   map[string]int
	ids     []string
	out     [][]int // edge indexes by source, in the order of the graph
	in      [][]int // forward edge indexes by target
	source  []int   // of an edge; -1: not solid
	target  []int
	back    []bool
	order   []int  // nodes, topologically
	forward []bits // nodes reachable over forward edges, itself included
	full    []bits // over all solid edges, itself included
}

func newTopology(g *Graph, start int) *topology {
	n := len(g.Nodes)
	t := &topology{
		index: make(map[string]int, n), ids: make([]string, n), out: make([][]int, n), in: make([][]int, n),
		source: make([]int, len(g.Edges)), target: make([]int, len(g.Edges)), back: make([]bool, len(g.Edges)),
	}
	for i := range g.Nodes {
		t.index[g.Nodes[i].ID], t.ids[i] = i, g.Nodes[i].ID
	}
	for i := range g.Edges {
		t.source[i], t.target[i] = -1, -1
		if g.Edges[i].Mode == Solid {
			t.source[i], t.target[i] = t.index[g.Edges[i].Source], t.index[g.Edges[i].Target]
			t.out[t.source[i]] = append(t.out[t.source[i]], i)
		}
	}
	t.walk(start)
	for i := range g.Edges {
		if t.source[i] >= 0 && !t.back[i] {
			t.in[t.target[i]] = append(t.in[t.target[i]], i)
		}
	}
	t.reach()
	return t
}

// walk goes depth first from the start and then from every node that was not
// met; an edge to a node that is still open closes a cycle. The reverse of the
// order in which nodes are left is topological. It keeps its own stack: a path of
// a thousand nodes is legal.
func (t *topology) walk(start int) {
	const (
		unseen = iota
		open
		done
	)
	n := len(t.ids)
	state, next := make([]int, n), make([]int, n)
	left := make([]int, 0, n)
	visit := func(root int) {
		if state[root] != unseen {
			return
		}
		stack := []int{root}
		state[root] = open
		for len(stack) > 0 {
			v := stack[len(stack)-1]
			if next[v] == len(t.out[v]) {
				state[v] = done
				left = append(left, v)
				stack = stack[:len(stack)-1]
				continue
			}
			e := t.out[v][next[v]]
			next[v]++
			switch to := t.target[e]; state[to] {
			case open:
				t.back[e] = true
			case unseen:
				state[to] = open
				stack = append(stack, to)
			}
		}
	}
	if start >= 0 {
		visit(start)
	}
	for i := range n {
		visit(i)
	}
	t.order = make([]int, n)
	for i, v := range left {
		t.order[n-1-i] = v
	}
}

// reach computes both reachabilities; the full one by going over the graph until
// nothing is added, which back edges make necessary.
func (t *topology) reach() {
	n := len(t.ids)
	t.forward, t.full = make([]bits, n), make([]bits, n)
	for i := n - 1; i >= 0; i-- {
		v := t.order[i]
		t.forward[v] = newBits(n)
		t.forward[v].set(v)
		for _, e := range t.out[v] {
			if !t.back[e] {
				t.forward[v].or(t.forward[t.target[e]])
			}
		}
	}
	for v := range n {
		t.full[v] = append(bits(nil), t.forward[v]...)
	}
	for changed := true; changed; {
		changed = false
		for i := n - 1; i >= 0; i-- {
			v := t.order[i]
			before := append(bits(nil), t.full[v]...)
			for _, e := range t.out[v] {
				t.full[v].or(t.full[t.target[e]])
			}
			for w := range before {
				changed = changed || before[w] != t.full[v][w]
			}
		}
	}
}
