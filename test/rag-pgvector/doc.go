// Package ragpgvector runs the searches of vectors against a PostgreSQL that has pgvector: PGlite, the server compiled to
// WebAssembly, which an npm package brings along with the extension. It works all connections off one after the
// other, so nothing here says how fast pgvector is on a server.
package ragpgvector
