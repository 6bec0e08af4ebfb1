// Package kubernetes runs attempts as Jobs of a Kubernetes cluster. The pod fetches
// its payload from the API and reports there (docs/adr/0011); this package makes the
// Job, watches it, ends it, and says for people what became of it.
//
// The package must not know flowcharts, databases, HTTP handlers or how settings are
// stored: it gets Settings from a function and records through Attempts.
//
// Invariants. dispatch_pending is stored before anything is created. Nothing that
// the pod reported passes through here, so the death of this process loses nothing.
// An attempt ends here only when its pod cannot end it any more: it is gone, has
// ended without a result, or was never able to start. While the cluster cannot be
// asked the attempt stays open and is marked uncertain. Watching is by informers, one
// list-watch of Jobs and one of pods in a process, whatever the number of attempts.
package kubernetes
