// Package search answers a question with the passages of indexes that fit it best.
//
// A search makes up to two lists, one of passages that share words with the question (full text, with trigrams for
// names that nobody spells right) and one of those whose vectors are near, joins them by reciprocal ranks, drops
// what says the same twice, and cuts a snippet out of each passage with the words that matched marked.
//
// Invariants (ADR 14). All of a search reads one snapshot, and of each source the revision that is the visible one in
// it. The same question on the same index gives the same answer in the same order. A question never fails for what is
// written in it: it is words and phrases, not a language. Every search is bounded in time; a list
// that cannot be made in time is missing, and the answer says so.
//
// The package asks no provider: the caller brings the vector of the question. It knows nothing of threads, nodes or
// transports.
package search
