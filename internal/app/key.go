package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/secret"
)

// secretBox opens the key that encrypts secrets at rest: the configured one, else
// one that is made in the data dir. From then on this process is closed to others
// of the same user.
func secretBox(cfg *config.Config, dataDir string) (*secret.Box, error) {
	if err := secret.HideMemory(); err != nil {
		return nil, err
	}
	if key := cfg.Studio.SecretKey.Reveal(); key != "" {
		raw, err := secret.ParseKey(key)
		if err != nil {
			return nil, fmt.Errorf("LLMCTL_STUDIO_SECRET_KEY: %w", err)
		}
		return secret.New(raw)
	}
	file := filepath.Join(dataDir, "secret.key")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		if err := secret.GenerateKeyFile(file); err != nil {
			return nil, fmt.Errorf("make secret key: %w", err)
		}
	}
	raw, err := secret.LoadKeyFile(file)
	if err != nil {
		return nil, fmt.Errorf("read secret key: %w", err)
	}
	return secret.New(raw)
}
