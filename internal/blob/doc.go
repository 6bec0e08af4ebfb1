// Package blob keeps content that is too large for a row, by its hash, in
// Postgres. It must not know what the content is or who refers to it, except
// for the list of referring columns that the clean-up asks.
//
// The protocol of a writer: Put, outside any transaction that holds a lock which
// others wait for; then refer to the hash, in the transaction that needs it. The
// reference is a foreign key, so a transaction that commits has its content. If
// the content was collected in between (the writer was slower than the age that
// Collect was given), the transaction fails with a foreign key violation, and the
// writer puts again.
//
// Invariants. Content never changes. Collect never deletes what is referred to,
// nor what a transaction under way is about to refer to: it locks the rows first,
// skipping those that a transaction holds, and then asks anew who refers to them.
package blob
