// Package beat holds tests of `llmctl beat` as an installation has it: the built
// program in several processes on one real database, killed at random.
package beat
