// Package retrieve answers what threads, nodes, the API and MCP clients ask of sources:
// passages, a written answer with citations, whether retrieval can be used at all, and
// what was asked before.
//
// It must not know how passages are found (search) or how sources are indexed (index).
// It holds no state but what it last learned of the embedding model, for a minute.
//
// What it adds to a search: which sources are meant, the question's vector, the order
// by a reranking model, the answer of a model. Each of the last three may fail without
// failing the search, and says so in the stats.
package retrieve
