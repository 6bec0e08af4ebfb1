// Package pods holds the tests of attempts that report by themselves: the real
// executor command as a process of its own, with nothing but a token and an address,
// against the real API and engine. What is missing of a cluster is the cluster.
package pods
