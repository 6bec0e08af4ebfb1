package flowchart

import "slices"

// Past is the end of a node run in a run that is over.
type Past struct {
	Ref      int64
	NodeID   string
	Triggers []Trigger // what had made it fire, in order
	Taken    []string  // the solid out-edges that were followed; nil: all
	Redo     bool      // not to be reused
}

// Replayed is how far a new run is when it begins with what an old one did.
type Replayed struct {
	Marking Marking
	Kept    []int64      // what is reused, in the order of the ends
	Open    []Activation // what is to run now
	Skipped []string
}

// Replay plays the ends of an old run, in their order, on a graph: the one of the
// old run or another version. A node run is reused exactly if the game activates
// its node with the same triggers, it is not to be done again, and it read no
// output of one that is not reused. What followed from a node run that is not
// reused therefore drops out, and what had not ended is open again.
func Replay(c *Compiled, entry string, past []Past) (Replayed, error) {
	m, step, err := Start(c, entry)
	if err != nil {
		return Replayed{}, err
	}
	r := replay{c: c, out: Replayed{Marking: m}, redone: map[string]bool{}, reads: map[string]Refs{}}
	r.take(step)
	for _, p := range past {
		if !r.keep(p) {
			r.redone[p.NodeID] = true
		}
	}
	return r.out, nil
}

type replay struct {
	c      *Compiled
	out    Replayed
	redone map[string]bool // nodes of which something that ended so far is not reused
	reads  map[string]Refs // by node, as far as asked for
}

func (r *replay) take(s Step) {
	r.out.Open = append(r.out.Open, s.Activations...)
	r.out.Skipped = append(r.out.Skipped, s.Skipped...)
}

// keep reuses a node run if it may be; a marking that refuses it (another version
// without that edge) says no as well.
func (r *replay) keep(p Past) bool {
	at := slices.IndexFunc(r.out.Open, func(a Activation) bool {
		return a.NodeID == p.NodeID && slices.Equal(a.Triggers, p.Triggers)
	})
	if at < 0 || p.Redo || r.readsRedone(p.NodeID) {
		return false
	}
	step, err := r.out.Marking.Complete(r.c, p.NodeID, p.Taken, p.Ref)
	if err != nil {
		return false
	}
	r.out.Open = slices.Delete(r.out.Open, at, at+1)
	r.take(step)
	r.out.Kept = append(r.out.Kept, p.Ref)
	return true
}

// readsRedone reports whether a node reads what will be made anew.
func (r *replay) readsRedone(id string) bool {
	if len(r.redone) == 0 {
		return false
	}
	refs, ok := r.reads[id]
	if !ok {
		refs = r.c.reads(id)
		r.reads[id] = refs
	}
	return refs.All || slices.ContainsFunc(refs.Nodes, func(n string) bool { return r.redone[n] })
}

// reads gives the nodes whose latest output or files a node gets other than by
// its triggers. A node whose texts cannot be compiled may read anything.
func (c *Compiled) reads(id string) Refs {
	refs, err := c.NodeRefs(id)
	if err != nil {
		return Refs{All: true}
	}
	s := c.Sources(id)
	for _, src := range slices.Concat(s.Dotted, s.Dashed) {
		refs.Nodes = append(refs.Nodes, src.NodeID)
	}
	return refs
}

// Rename gives the node runs that tokens refer to other numbers.
func (m *Marking) Rename(refs map[int64]int64) {
	for _, queue := range m.tokens {
		for i := range queue {
			if to, ok := refs[queue[i].Ref]; ok {
				queue[i].Ref = to
			}
		}
	}
}
