package backup

import (
	"crypto/rand"
	"fmt"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/llmctl/studio/internal/errs"
)

const (
	minPassphrase = 12
	saltSize      = 16
	kdfName       = "argon2id"

	// RFC 9106's second recommendation, and what a restore accepts at most: the
	// numbers come from the file.
	kdfTime, maxTime       = 3, 16
	kdfMemory, maxMemory   = 64 << 10, 1 << 20 // KiB
	kdfThreads, maxThreads = 4, 16
)

// SealedKey is the installation's key, encrypted with a passphrase.
type SealedKey struct {
	KDF        string `json:"kdf"`
	Salt       []byte `json:"salt"`
	Time       uint32 `json:"time"`
	MemoryKiB  uint32 `json:"memory_kib"`
	Threads    uint8  `json:"threads"`
	Nonce      []byte `json:"nonce"`
	Ciphertext []byte `json:"ciphertext"`
}

// sealKey encrypts the key so that the passphrase and only it gives it back.
func sealKey(key []byte, passphrase string) (*SealedKey, error) {
	if len(passphrase) < minPassphrase {
		return nil, errs.Ef(errs.Invalid, ReasonKey, "The passphrase has %d characters; it needs at least %d.", len(passphrase), minPassphrase)
	}
	s := &SealedKey{
		KDF: kdfName, Salt: make([]byte, saltSize), Time: kdfTime, MemoryKiB: kdfMemory, Threads: kdfThreads,
		Nonce: make([]byte, chacha20poly1305.NonceSizeX),
	}
	_, _ = rand.Read(s.Salt) // never fails, by its documentation
	_, _ = rand.Read(s.Nonce)
	aead, err := chacha20poly1305.NewX(s.derive(passphrase))
	if err != nil {
		return nil, fmt.Errorf("encrypt the key: %w", err)
	}
	s.Ciphertext = aead.Seal(nil, s.Nonce, key, []byte(markEntry))
	return s, nil
}

func (s *SealedKey) derive(passphrase string) []byte {
	return argon2.IDKey([]byte(passphrase), s.Salt, s.Time, s.MemoryKiB, s.Threads, chacha20poly1305.KeySize)
}

// Open decrypts the key.
func (s *SealedKey) Open(passphrase string) ([]byte, error) {
	ok := s.KDF == kdfName && s.Time >= 1 && s.Time <= maxTime && s.MemoryKiB >= 8 && s.MemoryKiB <= maxMemory &&
		s.Threads >= 1 && s.Threads <= maxThreads && len(s.Nonce) == chacha20poly1305.NonceSizeX
	if !ok {
		return nil, errs.E(errs.Invalid, ReasonDamaged, "The key in the backup is encrypted in a way that this release does not know.")
	}
	aead, err := chacha20poly1305.NewX(s.derive(passphrase))
	if err != nil {
		return nil, fmt.Errorf("decrypt the key: %w", err)
	}
	key, err := aead.Open(nil, s.Nonce, s.Ciphertext, []byte(markEntry))
	if err != nil {
		return nil, errs.E(errs.Invalid, ReasonKey, "The passphrase does not fit the key in the backup.")
	}
	return key, nil
}
