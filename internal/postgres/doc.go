// Package postgres is the way to the database: the pool, transactions with
// before-commit and after-commit hooks, migrations, the start-up preflight, and
// the translation of Postgres errors into errs codes.
//
// It knows nothing of the domains. What leaves the process because of a change
// (bus hints, wake-ups) is registered with Tx.AfterCommit, so it can never
// announce what was rolled back. What must be written last (the event log, so
// that stream rows stay locked only for the end of a transaction) is registered
// with Tx.BeforeCommit.
package postgres
