// Package flowchart is the pure model of a flowchart: the graph and its checks,
// the expressions and templates in it, and the routing of a run through it. It
// does no I/O and has no clock; package run stores what it computes.
//
// # Routing
//
// A Marking is the state of a run in the graph. Each solid edge holds a queue of
// tokens; a token names the node run that sent it. An activation is live from the
// moment it is returned until Complete is called for it.
//
// Back edges are the edges that close a cycle in a depth-first walk from the
// start in the order of the graph; without them the graph has no cycle. A token
// that comes over a back edge activates its target at once, by itself: it never
// takes part in fan-in.
//
// A node with fan-in "all" fires when it has a token and each of its forward
// in-edges has one or is dead. An edge is dead when nothing can send a token over
// it any more: no live activation, and no earlier node that still holds tokens,
// reaches its source over forward edges. So a branch that was not taken does not
// starve a join, however deep it lies; a loop that may still leave through an edge
// keeps that edge alive; and several loops beside each other do not disturb one
// another. "Not coming" is computed from the state, not propagated with tokens of
// its own: such tokens would have to be taken back when a loop that passed an
// exit by takes it in a later round.
//
// "any" fires on the first token. "k" fires when k different edges have tokens,
// or fewer when the rest is dead. What comes later over the other edges, as long
// as it belongs to the same wave, is absorbed: each edge that did not take part
// owes one token, until it goes dead.
//
// Pending nodes are examined in topological order until nothing fires. The first
// of them cannot wait for anything once no activation is live, hence no join
// starves, and a run that has nothing live has nothing pending.
package flowchart
