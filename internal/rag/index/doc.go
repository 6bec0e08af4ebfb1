// Package index makes and keeps the indexes of sources: index runs. A run is a node run
// with a row of its own for each source. It synchronises, plans, works the files of the
// plan one after the other, and makes what it wrote the visible revision.
//
// It must not know what kinds of sources there are, how texts become vectors, nor who
// asks: fetchers, parsers and embedders are given to it.
//
// Invariants (ADR 14). What a run writes belongs to a revision that no search sees; the
// transaction that ends the run makes it the visible one. Every write holds the fence: the
// attempt of the node run is the open one and runs. A file's chunks, its row and its line
// in the journal are written in one transaction, so an attempt that follows a dead one
// goes on with the lines that are open. A file that failed keeps what was indexed of it.
// What a run that was given up wrote is never shown, and is removed in batches.
package index
