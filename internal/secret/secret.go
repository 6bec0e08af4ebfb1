// Package secret keeps credentials encrypted at rest. A Box seals with its
// primary key and opens with any key it holds, so that the key-encryption key
// can be rotated while old rows are still readable.
//
// The package must not know where keys come from (that is configuration) or what
// is sealed. Invariants: the id of the key is part of the ciphertext; associated
// data binds a ciphertext to its place, so that a row cannot be moved to another
// record; neither keys nor plaintexts appear in an error.
package secret

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"

	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/llmctl/studio/internal/errs"
)

// KeySize is the length of a key-encryption key in bytes.
const KeySize = 32

// A ciphertext begins with Tink's version byte and the four bytes of the key id.
const (
	prefixVersion = 0x01
	prefixSize    = 5
)

// Box seals and opens secrets. It is safe for concurrent use.
type Box struct {
	primary uint32
	keys    map[uint32]tink.AEAD
}

// New makes a Box that seals with kek and also opens what older keys sealed.
// Every key has exactly KeySize bytes; anything else is errs.Invalid.
func New(kek []byte, older ...[]byte) (*Box, error) {
	b := &Box{primary: keyID(kek), keys: make(map[uint32]tink.AEAD, 1+len(older))}
	for _, k := range append([][]byte{kek}, older...) {
		if len(k) != KeySize {
			return nil, errs.Ef(errs.Invalid, "secret.key_size", "The secret key has %d bytes; it must be %d bytes, base64 encoded.", len(k), KeySize)
		}
		a, err := newAEAD(k)
		if err != nil {
			return nil, fmt.Errorf("build secret key: %w", err)
		}
		b.keys[keyID(k)] = a
	}
	return b, nil
}

// Seal encrypts plaintext. Open needs the same associatedData, which should name
// the record the secret belongs to.
func (b *Box) Seal(plaintext, associatedData []byte) ([]byte, error) {
	out, err := b.keys[b.primary].Encrypt(plaintext, associatedData)
	if err != nil {
		return nil, fmt.Errorf("seal secret: %w", err)
	}
	return out, nil
}

// Open decrypts what Seal made. A ciphertext of a key that the Box does not hold
// is reason secret.unknown_key; one that was damaged, or moved to another record,
// is secret.corrupt.
func (b *Box) Open(ciphertext, associatedData []byte) ([]byte, error) {
	id, err := sealedWith(ciphertext)
	if err != nil {
		return nil, err
	}
	a, ok := b.keys[id]
	if !ok {
		return nil, errs.Ef(errs.Internal, "secret.unknown_key",
			"This secret was encrypted with the key %08x, but the configured key is %08x. Restore the former key, or enter the secret again.", id, b.primary)
	}
	out, err := a.Decrypt(ciphertext, associatedData)
	if err != nil {
		return nil, errs.E(errs.Internal, "secret.corrupt", "This stored secret cannot be decrypted: it is damaged or belongs to another record. Enter it again.").With(err)
	}
	return out, nil
}

// KeyID names the key that Seal uses. It reveals nothing about the key.
func (b *Box) KeyID() string { return fmt.Sprintf("%08x", b.primary) }

// NeedsReseal reports whether ciphertext was sealed with another key than the
// primary one, so that a rotation knows which rows are left.
func (b *Box) NeedsReseal(ciphertext []byte) bool {
	id, err := sealedWith(ciphertext)
	return err == nil && id != b.primary
}

// Fingerprint is a short text by which people recognise a secret: its last
// characters when it is one long word, so that they give nothing away, and a hash. Of
// a document, such as a kubeconfig, the end may be the end of a key within.
func Fingerprint(secret string) string {
	if secret == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("llmctl secret fingerprint\x00" + secret))
	short := hex.EncodeToString(sum[:3])
	if r := []rune(secret); len(r) >= 20 && !strings.ContainsFunc(secret, unicode.IsSpace) {
		return "…" + string(r[len(r)-4:]) + " (" + short + ")"
	}
	return "(" + short + ")"
}

// ParseKey decodes a key-encryption key: base64 of KeySize bytes, standard or URL
// alphabet, with or without padding.
func ParseKey(text string) ([]byte, error) {
	trimmed := bytes.TrimRight(bytes.TrimSpace([]byte(text)), "=")
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if k, err := enc.DecodeString(string(trimmed)); err == nil && len(k) == KeySize {
			return k, nil
		}
	}
	return nil, errs.Ef(errs.Invalid, "secret.key_format", "The secret key must be base64 of %d bytes (for example the output of: openssl rand -base64 32).", KeySize)
}

// keyID derives the id from the key, so that every process that holds the key
// agrees on it without anything being stored.
func keyID(kek []byte) uint32 {
	sum := sha256.Sum256(append([]byte("llmctl secret key id\x00"), kek...))
	return binary.BigEndian.Uint32(sum[:4])
}

func newAEAD(kek []byte) (tink.AEAD, error) {
	params, err := aesgcm.NewParameters(aesgcm.ParametersOpts{
		KeySizeInBytes: KeySize, IVSizeInBytes: 12, TagSizeInBytes: 16, Variant: aesgcm.VariantTink,
	})
	if err != nil {
		return nil, err
	}
	data := secretdata.NewBytesFromData(kek, insecuresecretdataaccess.Token{})
	key, err := aesgcm.NewKey(data, keyID(kek), params)
	if err != nil {
		return nil, err
	}
	return aesgcm.NewAEAD(key)
}

func sealedWith(ciphertext []byte) (uint32, error) {
	if len(ciphertext) < prefixSize || ciphertext[0] != prefixVersion {
		return 0, errs.E(errs.Internal, "secret.corrupt", "This stored secret is not in the expected format. Enter it again.")
	}
	return binary.BigEndian.Uint32(ciphertext[1:prefixSize]), nil
}
