package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// idempotent runs f in a transaction. With a key, its answer is stored in the
// same transaction, and the same key and request give the same answer for 24
// hours; a second request that comes while the first one runs waits for it.
func idempotent[T any](ctx context.Context, s *server, operation, key string, request any, f func(ctx context.Context, tx *postgres.Tx) (T, error)) (T, error) {
	var out T
	if len(key) > 200 {
		return out, errs.E(errs.Invalid, "request.idempotency_key", "The Idempotency-Key is longer than 200 characters.")
	}
	raw, err := json.Marshal(request)
	if err != nil {
		return out, fmt.Errorf("encode request: %w", err)
	}
	hash := sha256.Sum256(append([]byte(operation+"\n"), raw...))
	principal := strconv.FormatInt(user(ctx).UserID, 10)
	err = s.deps.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		if key == "" {
			out, err = f(ctx, tx)
			return err
		}
		first, err := claimKey(ctx, tx, principal, key, hash[:])
		if err != nil {
			return err
		}
		if !first {
			return earlier(ctx, tx, principal, key, hash[:], &out)
		}
		if out, err = f(ctx, tx); err != nil {
			return err
		}
		answer, err := json.Marshal(out)
		if err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
		_, err = tx.Exec(ctx, `UPDATE idempotency_key SET response = $3 WHERE principal = $1 AND key = $2`, principal, key, answer)
		return err
	})
	return out, err
}

// claimKey inserts the key; the unique index makes a concurrent request wait.
func claimKey(ctx context.Context, tx *postgres.Tx, principal, key string, hash []byte) (bool, error) {
	if _, err := tx.Exec(ctx, `DELETE FROM idempotency_key WHERE principal = $1 AND key = $2 AND created_at < now() - interval '24 hours'`, principal, key); err != nil {
		return false, fmt.Errorf("expire idempotency key: %w", err)
	}
	tag, err := tx.Exec(ctx, `INSERT INTO idempotency_key (principal, key, request_hash, status, response) VALUES ($1, $2, $3, 0, 'null')
		ON CONFLICT DO NOTHING`, principal, key, hash)
	if err != nil {
		return false, fmt.Errorf("claim idempotency key: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

func earlier(ctx context.Context, tx *postgres.Tx, principal, key string, hash []byte, out any) error {
	var saved, answer []byte
	err := tx.QueryRow(ctx, `SELECT request_hash, response FROM idempotency_key WHERE principal = $1 AND key = $2`, principal, key).Scan(&saved, &answer)
	if err != nil {
		return fmt.Errorf("load earlier answer: %w", err)
	}
	if !bytes.Equal(saved, hash) {
		return errs.E(errs.Conflict, "idempotency.mismatch", "This Idempotency-Key was used for another request. Use a new key.")
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read earlier answer: %w", err)
	}
	return nil
}

// answered tells whether a key has an answer that idempotent would give. Operations
// with costs before their transaction look here first.
func (s *server) answered(ctx context.Context, key string) (bool, error) {
	if key == "" {
		return false, nil
	}
	var there bool
	err := s.deps.DB.QueryRow(ctx, `SELECT EXISTS (SELECT FROM idempotency_key WHERE principal = $1 AND key = $2
		AND created_at > now() - interval '23 hours 59 minutes')`, strconv.FormatInt(user(ctx).UserID, 10), key).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("look for an earlier answer: %w", err)
	}
	return there, nil
}
