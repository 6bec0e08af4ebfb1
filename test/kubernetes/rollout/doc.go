// Package rollout tests the manifests below kubernetes/ where pods really run: what the
// API server says to them, the order of a start, a run through all of the parts, an update
// from an earlier release with runs in flight, and the way back.
//
// The images are those of tools/image; PostgreSQL, Redis and nginx are this machine's. The
// rig's network knows no policies and it has no ingress controller: those manifests are
// validated, not tried.
package rollout
