// Package embed turns many texts into vectors through a provider: what is in the cache
// is not asked for, equal texts are asked for once, and the rest goes in batches within
// the provider's limits. It must not know sources, chunks or where settings are kept.
//
// Invariants:
//   - Vectors come in the order of the texts, are of one length, and have the norm 1
//     (or are zero), so that a scalar product is a cosine.
//   - What has arrived is in the cache before Documents ends, also when it ends with an
//     error: nothing that was paid for is asked for again.
//   - When a provider limits its rate, all requests of an Embedder pause together.
//   - The same text gives the same vector, whatever it was batched with: how a text that
//     is too long is cut depends on nothing but the text.
//   - All ends with the context.
package embed
