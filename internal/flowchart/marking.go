package flowchart

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// MaxTokens is how many tokens a marking may hold. A run comes near it only if a
// loop feeds a join much faster than the join's other parents.
const MaxTokens = 10_000

// Marking is the routing state of a run: what is live, which tokens wait where,
// which are owed, and what ran or was skipped. Its JSON form is stable. The zero
// value is the marking of a run in which nothing has begun; Start makes others.
//
// A Marking is not safe for concurrent use.
type Marking struct {
	seq    int64
	live   map[string]int     // node -> activations
	tokens map[string][]token // edge -> queue
	owed   map[string]int     // edge -> tokens to absorb
	seen   map[string]bool    // node -> true: was activated, false: was skipped
}

type token struct {
	Ref int64 `json:"ref"` // finished node run
	Seq int64 `json:"seq"` // order of arrival in the run
}

type markingWire struct {
	Version int                `json:"v"`
	Seq     int64              `json:"seq"`
	Live    map[string]int     `json:"live,omitempty"`
	Tokens  map[string][]token `json:"tokens,omitempty"`
	Owed    map[string]int     `json:"owed,omitempty"`
	Ran     []string           `json:"ran,omitempty"`
	Skipped []string           `json:"skipped,omitempty"`
}

const markingVersion = 1

// MarshalJSON writes the marking; equal markings give equal bytes.
func (m Marking) MarshalJSON() ([]byte, error) {
	return json.Marshal(markingWire{
		Version: markingVersion, Seq: m.seq, Live: m.live, Tokens: m.tokens, Owed: m.owed,
		Ran: m.nodes(true), Skipped: m.nodes(false),
	})
}

// UnmarshalJSON reads what MarshalJSON wrote and refuses anything else.
func (m *Marking) UnmarshalJSON(data []byte) error {
	var w markingWire
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	if w.Version != markingVersion {
		return fmt.Errorf("marking has version %d, want %d", w.Version, markingVersion)
	}
	for id, n := range w.Live {
		if n < 1 {
			return fmt.Errorf("marking has %d activations of node %q", n, id)
		}
	}
	for id, n := range w.Owed {
		if n < 1 {
			return fmt.Errorf("marking has a debt of %d on edge %q", n, id)
		}
	}
	for id, q := range w.Tokens {
		if len(q) == 0 {
			return fmt.Errorf("marking has an empty queue on edge %q", id)
		}
	}
	*m = Marking{seq: w.Seq, live: w.Live, tokens: w.Tokens, owed: w.Owed}
	m.init()
	for _, id := range w.Skipped {
		m.seen[id] = false
	}
	for _, id := range w.Ran {
		m.seen[id] = true
	}
	return nil
}

func (m *Marking) init() {
	if m.live == nil {
		m.live = map[string]int{}
	}
	if m.tokens == nil {
		m.tokens = map[string][]token{}
	}
	if m.owed == nil {
		m.owed = map[string]int{}
	}
	if m.seen == nil {
		m.seen = map[string]bool{}
	}
}

func (m *Marking) nodes(ran bool) []string {
	var ids []string
	for id, r := range m.seen {
		if r == ran {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Clone gives an independent copy, for steps that may be given up.
func (m *Marking) Clone() Marking {
	c := Marking{
		seq: m.seq, live: maps.Clone(m.live), tokens: make(map[string][]token, len(m.tokens)),
		owed: maps.Clone(m.owed), seen: maps.Clone(m.seen),
	}
	for id, q := range m.tokens {
		c.tokens[id] = slices.Clone(q)
	}
	c.init()
	return c
}

// Done reports whether nothing is live. Nothing is pending then either.
func (m *Marking) Done() bool { return len(m.live) == 0 }

// Live gives the nodes with live activations, by id, with their number.
func (m *Marking) Live() map[string]int { return maps.Clone(m.live) }

// Activated gives the ids of the nodes that were activated, sorted.
func (m *Marking) Activated() []string { return m.nodes(true) }

// Skipped gives the ids of the nodes that can no longer run, sorted.
func (m *Marking) Skipped() []string { return m.nodes(false) }

// Waiting gives the solid edges that hold tokens, by id, with their number: the
// joins at their ends wait for other parents.
func (m *Marking) Waiting() map[string]int {
	w := make(map[string]int, len(m.tokens))
	for id, q := range m.tokens {
		w[id] = len(q)
	}
	return w
}

func (m *Marking) tokenCount() int {
	n := 0
	for _, q := range m.tokens {
		n += len(q)
	}
	return n
}
