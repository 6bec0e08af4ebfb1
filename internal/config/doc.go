// Package config is the only reader of the environment. It turns variables, an
// optional env file and command line flags into one typed, checked Config, and
// renders what is in effect and the reference for people.
//
// It must not know any domain: a package that needs settings gets its own small
// Options from internal/app.
//
// Invariants: every variable is declared once, as a tagged field, and the
// reference is generated from the tags; all problems of an environment are
// reported together; a secret never appears in anything this package renders.
package config
