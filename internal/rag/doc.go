// Package rag is retrieval: sources whose files are indexed, and searches over them.
//
// The parts, each a package of its own:
//
//	source    the rows: what is indexed, from where, with which secret, when
//	fetch     what lies in a source now: a folder, a Git repository, a Drive folder
//	chunk     documents cut into chunks (the texts come from internal/document)
//	embed     vectors, through a provider, cached by content
//	index     index runs: plan, journal, one file after the other, swap
//	search    lexical and vector search, fusion
//	retrieve  what threads, nodes and the API ask: passages, answers, citations, health, audit
//	settings  the settings section "rag"
//
// Invariants (ADR 14). A search sees one revision of a source's index, whole: what
// an index run writes belongs to the next revision, which the transaction that ends the
// run makes the visible one. Every write of an index run is fenced by the attempt of its
// node run. A file that failed keeps what was indexed of it before.
package rag

// What an index run is asked to do.
const (
	// Fresh reads every file anew, whatever is indexed.
	Fresh = "fresh"
	// Delta reads what was added or changed since.
	Delta = "delta"
)

// Kinds of sources.
const (
	KindLocal = "local"
	KindGit   = "git"
	KindDrive = "google_drive"
)
