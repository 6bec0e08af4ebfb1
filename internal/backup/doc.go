// Package backup writes everything that an installation keeps into one file, and
// puts it back: the database, the files of the data folder, and the secret key,
// which goes in encrypted with a passphrase or not at all.
//
// It must not know where addresses, keys and passphrases come from, nor what the
// tables mean. docs/adr/0005-backup.md says why it copies tables itself.
//
// # The file
//
// A gzipped tar. First an entry "llmctl-backup" with the format's number; then the
// content of each item in pieces of at most 4 MiB ("tables/event/000001",
// "files/attachments/a.txt/000001"), so that neither side needs memory or disk for
// a whole table; last "manifest.json" with versions, sizes, counts and hashes. A
// file that was cut short has no manifest and is refused.
//
// # Invariants
//
//   - A backup is one REPEATABLE READ snapshot. Its file appears under its name only
//     when it is whole.
//   - A restore reads and checks the whole file before it touches the target. The
//     database changes in one transaction at the very end: until then everything is
//     built in a schema of its own beside the living one.
//   - Transaction ids belong to one server: columns of type xid8 are not copied but
//     set to the restoring transaction's.
//   - No secret is written in the clear, and none appears in an error.
package backup
