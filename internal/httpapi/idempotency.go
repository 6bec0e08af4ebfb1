package httpapi

import (
	"context"

	"github.com/llmctl/studio/internal/idempotency"
	"github.com/llmctl/studio/internal/postgres"
)

// idempotent runs f in a transaction. With a key, its answer is stored in the
// same transaction, and the same key and request give the same answer for 24
// hours; a second request that comes while the first one runs waits for it.
func idempotent[T any](ctx context.Context, s *server, operation, key string, request any, f func(ctx context.Context, tx *postgres.Tx) (T, error)) (T, error) {
	return idempotency.Do(ctx, s.deps.DB, idempotency.Request{
		UserID: user(ctx).UserID, Key: key, Operation: operation, Body: request,
	}, f)
}

// answered tells whether a key has an answer that idempotent would give. Operations
// with costs before their transaction look here first.
func (s *server) answered(ctx context.Context, key string) (bool, error) {
	return idempotency.Answered(ctx, s.deps.DB, user(ctx).UserID, key)
}
