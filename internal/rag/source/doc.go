// Package source keeps what is indexed: from where, with which secret, which files of
// it, and when. It gives the fetcher that reads a source.
//
// It must not know how files are indexed and searched. Of index runs it reads how
// they stand, as index shows it, and of the visible index what its row says; both are
// written elsewhere.
//
// Invariants. A secret is encrypted at rest, bound to its row, never shown, and belongs to
// the place that it was entered for: when a source moves to another server, it is
// removed. A change, its event and the change of its schedule are one transaction. A
// source that is being indexed is not deleted. What was deleted can be restored for
// [UndoTime]; then its rows go, in pieces.
//
// Lock order: the node run, its index runs, the source, the source's schedule, event
// streams by name. Who edits a source, starts, ends or deletes begins at that point of it
// where its first row is.
package source
