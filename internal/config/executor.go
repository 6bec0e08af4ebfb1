package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Limits of what a dispatcher mounts for an executor.
const (
	maxMountedSecrets = 64
	maxMountedSecret  = 1 << 20
)

// LoadPayload reads what a dispatcher has set for llmctl executor, and nothing else:
// the rest of the environment is not the Studio's there.
func LoadPayload(environ []string) (Payload, error) {
	values := map[string]string{}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok && value != "" && strings.HasPrefix(name, "LLMCTL_EXECUTOR_") {
			values[name] = value
		}
	}
	var p Payload
	if err := env.ParseWithOptions(&p, env.Options{Environment: values, DefaultValueTagName: "default", FuncMap: parsers()}); err != nil {
		return p, fmt.Errorf("read the executor's environment: %w", err)
	}
	if p.Token == "" && p.TokenFile != "" {
		token, err := readMounted(p.TokenFile)
		if err != nil {
			return p, &Error{Problems: []Problem{{Variable: "LLMCTL_EXECUTOR_TOKEN_FILE", Given: p.TokenFile, Want: "a file that can be read (" + errorText(err) + ")"}}}
		}
		p.Token = Secret(strings.TrimSpace(token))
	}
	if p.Token != "" && p.APIURL == "" {
		return p, &Error{Problems: []Problem{{Variable: "LLMCTL_EXECUTOR_API_URL", Want: "the address of the Studio's API, since there is a token for it"}}}
	}
	return p, nil
}

// Secrets reads the mounted secrets by their names; nil if none are mounted.
func (p Payload) Secrets() (map[string]string, error) {
	if p.SecretsDir == "" {
		return nil, nil //nolint:nilnil // nothing is mounted
	}
	wrong := func(why string) error {
		return &Error{Problems: []Problem{{Variable: "LLMCTL_EXECUTOR_SECRETS_DIR", Given: p.SecretsDir, Want: why}}}
	}
	entries, err := os.ReadDir(p.SecretsDir)
	if err != nil {
		return nil, wrong("a folder that can be read (" + errorText(err) + ")")
	}
	out := map[string]string{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") { // the cluster's own bookkeeping
			continue
		}
		if len(out) == maxMountedSecrets {
			return nil, wrong(fmt.Sprintf("at most %d files", maxMountedSecrets))
		}
		value, err := readMounted(filepath.Join(p.SecretsDir, e.Name()))
		if err != nil {
			return nil, wrong("files that can be read (" + e.Name() + ": " + errorText(err) + ")")
		}
		out[e.Name()] = value
	}
	return out, nil
}

func readMounted(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxMountedSecret+1))
	if err == nil && len(raw) > maxMountedSecret {
		return "", errors.New("more than 1 MiB")
	}
	return string(raw), err
}
