// Package embedded runs a PostgreSQL server that belongs to this process alone,
// for installations that have no database of their own.
//
// It knows how to find the programs, make a cluster, start it, stop it and clean
// up after a predecessor that died. It knows nothing of schemas and of the rest
// of the Studio.
//
// # Who runs it
//
// PostgreSQL refuses to run as root. Under root the server runs as the owner of
// the existing data, else as the account postgres, else as nobody. Where that
// account cannot pass through to the data folder (a folder in root's home), the
// data lies in Options.FallbackDir, and a file "moved-to" in the data folder says
// where; the file is the truth from then on. Programs the account cannot reach
// are copied there as well.
//
// # Who reaches it
//
// It listens on a unix socket in a folder of mode 0700, with a generated password
// (scram) on top, because a mode alone protects nothing from root's other
// services. Only where a socket cannot be used, it listens on a free port of
// 127.0.0.1.
//
// # Life and death
//
//   - One process per data folder: LockDataDir takes a lock (flock) that the
//     kernel drops when its holder dies, however it dies.
//   - The server dies with its parent: the kernel sends it SIGINT, a fast and
//     clean shutdown, when the thread that started it ends. A thread may end long
//     before its process, so the starting goroutine is locked to its thread and
//     stays on it until the server is gone.
//   - A server may still outlive a killed parent (it is busy with its last
//     checkpoint, or the system has no such signal). The next Start holds the
//     lock, so a live server on this data can only be an orphan: it is stopped. A
//     postmaster.pid whose process is not the postmaster of this data is stale
//     (process ids are soon reused in containers) and removed.
//   - Stop asks for a fast shutdown; when its context ends first, for an immediate
//     one (SIGQUIT, recovery at the next start), and then kills.
//   - A cluster is made beside its place and renamed into it, so that an
//     interrupted initdb is never taken for data.
package embedded
