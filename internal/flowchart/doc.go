// Package flowchart is the graph model of a flowchart and the rules by which a
// run moves through it: parsing and validation, CEL conditions and {{ }}
// templates, routing, fan-in and loops.
//
// The package is pure. It knows nothing of databases, queues, clocks, models or
// users; every function is a calculation over its arguments, so the run engine
// can call it inside a transaction and tests can explore it without set-up.
//
// # From text to plan
//
// [Parse] accepts a graph whose structure is sound (ids, known kinds and modes,
// existing endpoints, limits). [Validate] lists everything that keeps such a
// graph from running; drafts with findings may be stored. [Compile] turns a
// graph into a [Compiled] plan, which is immutable and safe for concurrent use.
//
// # Tokens
//
// A [Marking] is the whole routing state of one run. It survives a JSON round
// trip at every step, so it lives in the run's row and any worker may make the
// next step.
//
//   - An activation is live from the step that returns it until [Marking.Complete].
//   - Every solid edge that is no back edge holds a first-in-first-out queue of
//     tokens. Completing a node puts one token on each edge that was taken.
//   - A back edge closes a cycle in a depth-first walk from the graph's start
//     node (targets in id order, so the drawing order has no say). What remains
//     is a directed acyclic graph, whose topological order numbers the nodes. A
//     token that arrives over a back edge activates its target at once and
//     alone: it opens a new round of the loop and takes no part in fan-in.
//   - A join needs tokens on all, any or k of its forward in-edges. It fires
//     when enough of them have one, or when it has at least one and each edge
//     without a token is dead. Firing consumes one token from each edge that
//     has one. A node with a single parent therefore fires once per token.
//   - After a firing that did not wait for an edge (any, k), that edge owes one
//     token: the late token of the same round is absorbed when it comes. The
//     debt is cancelled when the edge goes dead.
//
// Explicit generation numbers would have to be carried through decisions, joins
// and nested loops, and a parent that fires less often than another would leave
// a generation open for ever. Queues with liveness need no numbers: what a join
// still waits for follows from what can still happen.
//
// # Dead edges
//
// An in-edge of join J is dead when nothing that is under way can still put a
// token on it. Under way are the live activations and the other pending joins
// (those that hold a token and have not fired). One of them holds the edge open
// if it is the edge's source or can reach it on solid edges without passing J
// or anything downstream of J.
//
// Back edges count on these paths, because the exit of a loop is still to come
// while a node of its body runs. Paths through J's own downstream do not: what
// comes back that way belongs to a later round, which must not hold this one
// up. Without that exception a join inside a loop would wait for its successors.
//
// Within a step the order of firing does not matter: a join that fires stays
// under way as a live activation, so it holds open what it held before.
//
// No join starves. Live activations end, and when none is left while joins are
// pending, no pending join can wait for itself, but two may wait for each other
// around a loop; then the topologically first fires with what it has. Hence a
// run is done exactly when nothing is live, and then nothing is pending either.
//
// A node is reported as skipped, once, when it has never been activated and
// nothing under way can reach it over any solid edges.
//
// # Bounds
//
// Graphs, expressions, templates and rendered values are limited by the
// constants of this package; a marking holds at most [MaxTokens] tokens. How
// many activations a run may have is for the caller to limit.
package flowchart
