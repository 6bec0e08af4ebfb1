// Package executor is the contract between the engine that decides that a node
// runs and whatever runs it: the executor protocol v1. A Payload goes in, numbered
// Events come out while it runs, and one Result ends it.
//
// The package must not know flowcharts, databases or kinds of nodes; it carries
// bytes and outcomes. Sub-packages implement Executor: inline (a goroutine of the
// worker) and process (a child process in a private workspace). RunChild is the
// other side of process, the body of the executor command. RunPod is that body where
// nobody is on the other side: the attempt reports through an Uplink (sub-package
// uplink), and the executor that had it started is a Remote.
//
// Invariants. Execute always returns, at the latest one grace period after its
// context ended. Every attempt has exactly one Result; one whose runner vanished
// gets a failed one with code CodeInfra. Events of one attempt are numbered
// 1, 2, 3, ... without a gap. The result travels as the return value of Execute,
// never as an event to the Sink. Nothing that an attempt started outlives it.
package executor
