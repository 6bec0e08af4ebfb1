// Package idempotency makes writes repeatable: a request that carries a key gets,
// for 24 hours, the answer that its first arrival got, and the write happens once.
//
// It must not know transports: who asks, which operation and which request are
// values. Every transport that offers keys uses it, so that one principal's key
// means the same everywhere.
//
// Invariants. The answer is stored in the transaction of the write, so there is
// never one without the other. A second arrival that comes while the first one
// runs waits for it at the unique index. The same key with another request is
// refused, not answered.
package idempotency
