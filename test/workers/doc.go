// Package workers tests llmctl worker as real processes: that work of a killed one
// goes on, that a frozen one changes nothing when it thaws, and how one stops.
package workers
