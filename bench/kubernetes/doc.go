// Package kubernetes measures what a node costs that runs as a Job, beside kubectl doing
// the same by hand.
package kubernetes
