// Package vector finds the chunks whose vectors are nearest to the vector of a question.
//
// There are two ways. Exact compares with every vector of a source, in copies of one byte a dimension that lie in
// the memory of the process, and measures the best ones again with the stored numbers. Pgvector leaves the search
// to an HNSW index of the database's extension of that name. Auto takes the second where it is ready and the first
// otherwise. One conformance suite holds for all.
//
// Invariants: a search sees one revision of each source, whole. What is kept in memory carries the revision in its
// key, and is built only from a snapshot in which that revision is the visible one. Vectors of different embedders
// are never compared; the caller asks for each embedder on its own.
//
// The package does not know questions, embedding providers or how lists are joined.
package vector
