// Package config is the only reader of the environment: one struct with a tag for
// name, default and meaning of each variable, from which the loader, `llmctl
// config print` and the generated reference come.
//
// All problems are reported at once, each with the variable's name, what was
// given and what is accepted. Where a value came from is kept.
package config
