package secret

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/llmctl/studio/internal/errs"
)

// GenerateKeyFile writes a new random key to path with mode 0600. It never
// replaces a file: an existing one is an error that wraps fs.ErrExist, because
// overwriting the key would make every stored secret unreadable.
func GenerateKeyFile(path string) error {
	key := make([]byte, KeySize)
	_, _ = rand.Read(key) // never fails, by its documentation
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-*")
	if err != nil {
		return fmt.Errorf("create key file: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, werr := tmp.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err := errors.Join(werr, tmp.Chmod(0o600), tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	// A link fails if the name is taken, so of two processes that start together
	// one wins and neither ever sees half a key.
	if err := os.Link(tmp.Name(), path); err != nil {
		return fmt.Errorf("create key file: %w", err)
	}
	return nil
}

// LoadKeyFile reads a key that GenerateKeyFile or an operator wrote. A file that
// others may read is refused, reason secret.key_file_mode.
func LoadKeyFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.Ef(errs.NotFound, "secret.key_file_missing", "The key file %s does not exist.", path).With(err)
	}
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	// Mounted Kubernetes secrets are group readable by fsGroup; others never need it.
	if info.Mode().Perm()&0o007 != 0 {
		return nil, errs.Ef(errs.Invalid, "secret.key_file_mode", "The key file %s may be read by other users (mode %04o). Run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	return ParseKey(string(data))
}
