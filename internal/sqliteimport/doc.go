// Package sqliteimport copies the SQLite file of the original system into our
// schema, once.
//
// It must not know the configuration, the command line, queues or the run
// engine; it reads a file and writes rows. Writing other domains' tables is its
// very purpose, and it does so below their packages because it writes history:
// ids and times of long ago, endings without a run. What a graph means it asks
// the pure package flowchart, as a save does.
//
// # Invariants
//
//   - The source is never changed: it is opened immutable, or, when a write-ahead
//     log or a rollback journal must be applied first, as a private copy.
//   - The target changes in one transaction, or not at all. A dry run does
//     everything and rolls back.
//   - Nothing is lost silently. A row that finds no table is kept in imported_row
//     if it can be, and every row that was not taken over is counted in the
//     report with a reason.
//   - Ids of models, flowcharts and runs are kept, so that links and the documents
//     in imported_row go on meaning the same things.
//   - Users, sessions, API keys, audit entries and the schema's own tables are
//     never touched.
//   - Credentials are written encrypted, or not at all.
//   - Nothing that is imported ever runs: runs and node runs are written in a
//     final state.
package sqliteimport
