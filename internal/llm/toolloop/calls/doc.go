// Package calls keeps what tool loops do in rows: the answers that asked for tools,
// the calls in them and what people decided about those that wait.
//
// It must not know what the owners of loops are beyond a kind and an id; it is told
// how to lock one, whether it may still write, and whom to tell.
//
// Invariants: every write of a loop happens under its owner's fence, in one
// transaction with the event that announces it. Who decides about a call locks its
// owner first, then the call, as the end of an owner does. Results above 64 KiB
// are blobs.
package calls
