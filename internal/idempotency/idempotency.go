package idempotency

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

// MaxKey is how many characters a key may have.
const MaxKey = 200

// Request is one arrival of a write.
type Request struct {
	UserID    int64  // whose key it is
	Key       string // empty: not repeatable, the write simply runs
	Operation string // keys are not shared between operations
	Body      any    // what is asked for; the same key with another body is refused
}

func (r Request) principal() string { return strconv.FormatInt(r.UserID, 10) }

func (r Request) hash() ([]byte, error) {
	raw, err := json.Marshal(r.Body)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	sum := sha256.Sum256(append([]byte(r.Operation+"\n"), raw...))
	return sum[:], nil
}

// Do runs f in a transaction, or gives the answer of an earlier arrival. T must
// survive encoding as JSON. Errors: invalid (the key), conflict (the key was used
// for another request), and those of f, which are not kept.
func Do[T any](ctx context.Context, db *postgres.DB, r Request, f func(ctx context.Context, tx *postgres.Tx) (T, error)) (T, error) {
	var out T
	if len(r.Key) > MaxKey {
		return out, errs.Ef(errs.Invalid, "request.idempotency_key", "The Idempotency-Key is longer than %d characters.", MaxKey)
	}
	hash, err := r.hash()
	if err != nil {
		return out, err
	}
	err = db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		if r.Key == "" {
			out, err = f(ctx, tx)
			return err
		}
		first, err := claim(ctx, tx, r, hash)
		if err != nil {
			return err
		}
		if !first {
			return earlier(ctx, tx, r, hash, &out)
		}
		if out, err = f(ctx, tx); err != nil {
			return err
		}
		answer, err := json.Marshal(out)
		if err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
		_, err = tx.Exec(ctx, `UPDATE idempotency_key SET response = $3 WHERE principal = $1 AND key = $2`, r.principal(), r.Key, answer)
		return err
	})
	return out, err
}

// claim inserts the key; the unique index makes a concurrent arrival wait.
func claim(ctx context.Context, tx *postgres.Tx, r Request, hash []byte) (bool, error) {
	if _, err := tx.Exec(ctx, `DELETE FROM idempotency_key WHERE principal = $1 AND key = $2 AND created_at < now() - interval '24 hours'`, r.principal(), r.Key); err != nil {
		return false, fmt.Errorf("expire idempotency key: %w", err)
	}
	tag, err := tx.Exec(ctx, `INSERT INTO idempotency_key (principal, key, request_hash, status, response) VALUES ($1, $2, $3, 0, 'null')
		ON CONFLICT DO NOTHING`, r.principal(), r.Key, hash)
	if err != nil {
		return false, fmt.Errorf("claim idempotency key: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

func earlier(ctx context.Context, tx *postgres.Tx, r Request, hash []byte, out any) error {
	var saved, answer []byte
	err := tx.QueryRow(ctx, `SELECT request_hash, response FROM idempotency_key WHERE principal = $1 AND key = $2`, r.principal(), r.Key).Scan(&saved, &answer)
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

// Answered tells whether a key has an answer that Do would give. Operations with
// costs before their transaction look here first.
func Answered(ctx context.Context, db *postgres.DB, userID int64, key string) (bool, error) {
	if key == "" {
		return false, nil
	}
	var there bool
	err := db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM idempotency_key WHERE principal = $1 AND key = $2
		AND created_at > now() - interval '23 hours 59 minutes')`, strconv.FormatInt(userID, 10), key).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("look for an earlier answer: %w", err)
	}
	return there, nil
}

// ErrExpired is for an answer that expired between Answered and Do.
func ErrExpired() error {
	return errs.E(errs.Unavailable, "idempotency.expired", "The answer to this Idempotency-Key has just expired. Use a new key.")
}
