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

// secretBox opens the key that encrypts secrets at rest. generate allows making
// one in the data dir.
func secretBox(cfg *config.Config, dataDir string, generate bool) (*secret.Box, error) {
	raw, err := secretKey(cfg, dataDir, generate)
	if err != nil {
		return nil, err
	}
	return secret.New(raw)
}

func secretKey(cfg *config.Config, dataDir string, generate bool) ([]byte, error) {
	if key := cfg.Studio.SecretKey.Reveal(); key != "" {
		raw, err := secret.ParseKey(key)
		if err != nil {
			return nil, config.Problems{{Variable: "LLMCTL_STUDIO_SECRET_KEY", Message: err.Error()}}
		}
		return raw, nil
	}
	file := cfg.Studio.SecretKeyFile
	if file == "" {
		if !generate {
			return nil, config.Problems{{
				Variable: "LLMCTL_STUDIO_SECRET_KEY", Message: "is empty; base64 of 32 bytes is accepted, for example from `openssl rand -base64 32`",
			}}
		}
		file = filepath.Join(dataDir, "secret.key")
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			if err := secret.GenerateKeyFile(file); err != nil {
				return nil, fmt.Errorf("make secret key: %w", err)
			}
		}
	}
	raw, err := secret.LoadKeyFile(file)
	if err != nil {
		return nil, fmt.Errorf("read secret key: %w", err)
	}
	return raw, nil
}
