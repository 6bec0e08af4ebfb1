// Package chaos starts the whole Studio as a team would (a web process, workers,
// schedulers, a database server of its own) and harms it while it works: processes
// are killed and frozen, the database is restarted and its connections are cut. What
// must hold afterwards is read from the database itself: every run that was accepted
// has ended, no finished node was worked again, no stream has a gap.
//
// CI harms for seconds; LLMCTL_TEST_CHAOS=full makes it the five minutes and 500 runs
// of the promise.
package chaos
