// Package toolloop lets a model use tools: it asks the model, calls the tools that
// the model asks for, tells it what they gave, and asks again, until the model
// answers without asking for a tool.
//
// It must not know nodes, threads or MCP. It is given a conversation, a Toolset and
// a Recorder, and tells what happens through Emit.
//
// Invariants: what the model asked for is recorded before anything is called, that
// a call begins is recorded before it begins, and its result before the model is
// told; so a loop whose process died, or that waits for a person, goes on in any
// other process from what is recorded. A call that had begun when its process died
// is not repeated unless its tool says that repeating does no harm; the model is
// told that its outcome is unknown. Whatever goes wrong with a call (an unknown
// tool, arguments that do not satisfy the schema, a failure, a time-out) goes back
// to the model as an error; only the model's own failures and those of the recorder
// end the loop.
package toolloop
