// Package cluster gives tests databases of their own, on a server of their own.
// It knows no schema: who uses it says how a database is migrated.
//
// The server comes from LLMCTL_TEST_DATABASE_URI, else every test binary starts
// one for itself:
//
//   - A cluster with a migrated template database is made once per server version
//     and migration key, and kept in a cache in the temporary folder.
//   - A test binary copies that cluster (some ten megabytes, a fraction of a
//     second) and runs a server on the copy, without fsync. Binaries share
//     nothing at run time, so they cannot disturb each other.
//   - The server's parent is a shell that waits for the end of a pipe whose other
//     end this process holds. However the process ends, the kernel closes it; the
//     shell then stops the server and removes the copy. No goroutine is needed for
//     that, so a package's leak check stays quiet.
//   - Should the shell be killed as well, the next binary finds the copy unlocked
//     and removes it; a server whose folder is gone ends by itself.
//
// Each test gets a copy of the template, made by the server in some tens of
// milliseconds and dropped when the test ends.
package cluster
