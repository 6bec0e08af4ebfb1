// Package chaos runs flowcharts whose nodes are Kubernetes Jobs while everything that
// has a part in it is harmed: workers are killed and frozen, web workers and the
// Kubernetes API server are killed. What must hold afterwards is read from the database,
// from the cluster and from a server that counts what the nodes have really done: every
// run has succeeded with the right output, every node did its work exactly once, no Job,
// pod or Secret is left, no stream has a gap.
//
// By default 30 runs are enough; LLMCTL_TEST_CHAOS=full makes it the 100 of the promise.
package chaos
