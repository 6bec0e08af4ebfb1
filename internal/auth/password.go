package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost of argon2id: 19 MiB, two passes, one lane (RFC 9106's smaller profile as
// OWASP recommends it). Kept in each hash, so that it can be raised later.
const (
	argonTime    = 2
	argonMemory  = 19 * 1024
	argonThreads = 1
	argonKey     = 32
	saltBytes    = 16
)

// hasher bounds how many hashes are computed at a time: each takes 19 MiB.
type hasher struct{ slots chan struct{} }

func newHasher() *hasher { return &hasher{slots: make(chan struct{}, 4)} }

// slot runs f while one of the slots is held.
func (h *hasher) slot(ctx context.Context, f func() error) error {
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-h.slots }()
	return f()
}

// hash gives the encoded hash of a password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	var encoded string
	err := h.slot(ctx, func() error {
		salt := make([]byte, saltBytes)
		_, _ = rand.Read(salt) // never fails
		key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)
		enc := base64.RawStdEncoding
		encoded = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
			enc.EncodeToString(salt), enc.EncodeToString(key))
		return nil
	})
	return encoded, err
}

// verify compares a password with an encoded hash in constant time. The caller
// holds a slot.
func verify(password, encoded string) (bool, error) {
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errors.New("stored password hash has an unknown form")
	}
	var memory, time uint32
	var threads uint8
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &time, &threads); err != nil {
		return false, fmt.Errorf("stored password hash: %w", err)
	}
	salt, errSalt := base64.RawStdEncoding.DecodeString(parts[4])
	want, errKey := base64.RawStdEncoding.DecodeString(parts[5])
	if err := errors.Join(errSalt, errKey); err != nil {
		return false, fmt.Errorf("stored password hash: %w", err)
	}
	got := argon2.IDKey([]byte(password), salt, time, memory, threads, argonKey)
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}
