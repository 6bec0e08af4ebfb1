// Package chat holds conversations with models: threads, their messages, and the
// turns that bring answers. extract reads what is attached.
//
// It knows no transport, no queue and no provider: who enqueues, signals, resolves
// models and asks them is given to it.
//
// Invariants. A turn, its messages, its job and its events are made in one
// transaction. Messages form a tree and are never changed once they are complete; a
// branch is a run of them without a fork, so a conversation is a few ranges,
// whatever its length. A thread has one turn at a time that is worked; others wait
// in the order in which they came. Every write of an attempt carries its number and
// its worker and is a no-op when another attempt has begun. Endings are final, which
// the database holds. The text of an answer is what its last attempt streamed, to
// the byte: the last pieces and the message are written together. Compaction adds a
// summary and removes nothing.
//
// Locks are taken in this order: thread, turns by id, streams by name.
package chat
