// Package tooluse answers the messages of threads with a model that may use tools. It
// is the chat.Answerer over the tool loop.
//
// It must not know MCP, nor how calls are stored: what opens the tools of a turn is
// given to it.
//
// Invariants. An attempt that takes over says again what was recorded before it asks
// the model anew, so that the text of each attempt is whole. A part of a call names the
// record of the call, not the provider's id, which may come twice in a conversation.
// What the model is told of results fits the tools' share of the window; the record
// has all of it.
package tooluse
