// Package rag starts the Studio as a team (a web process, a scheduler, workers, a database
// server of its own), has it index real files with vectors from a scripted server, and
// harms it meanwhile: the worker is killed, the database loses power, the provider goes
// away. Each index must be the one that an undisturbed run makes: the same files, chunks
// and vectors.
//
// CI does each harm once; LLMCTL_TEST_RAG=full does ten of them.
package rag
