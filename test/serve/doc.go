// Package serve holds tests of `llmctl serve` as its operators and clients see it: the
// built program, a real database, signals, steady load.
package serve
