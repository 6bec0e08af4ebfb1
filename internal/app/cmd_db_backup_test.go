package app_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

var keyText = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))

// withProvider is a database with one provider whose key is sealed.
func withProvider(t *testing.T) string {
	t.Helper()
	db := pgtest.DB(t)
	raw, err := secret.ParseKey(keyText)
	require.NoError(t, err)
	box, err := secret.New(raw)
	require.NoError(t, err)
	sealed, err := box.Seal([]byte("sk-very-secret"), []byte("provider:1"))
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), `INSERT INTO provider (name, kind, api_key_ciphertext) VALUES ('p', 'openai', $1)`, sealed)
	require.NoError(t, err)
	return db.Pool.Config().ConnString()
}

func providerKey(t *testing.T, uri, keyFile string) string {
	t.Helper()
	raw, err := secret.LoadKeyFile(keyFile)
	require.NoError(t, err)
	box, err := secret.New(raw)
	require.NoError(t, err)
	db, err := postgres.Open(t.Context(), postgres.Options{URI: uri})
	require.NoError(t, err)
	defer db.Close()
	all := catalog.New(db, nil, box, secret.Fingerprint)
	p, err := all.GetProvider(t.Context(), 1)
	require.NoError(t, err)
	key, err := all.Key(p)
	require.NoError(t, err)
	return key
}

func TestBackupWithKeyIsVerifiedAndRestored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, pass := filepath.Join(dir, "b"), filepath.Join(dir, "pass")
	require.NoError(t, os.WriteFile(pass, []byte("correct horse battery\n"), 0o600))
	uri := withProvider(t)
	environ := []string{"LLMCTL_STUDIO_SECRET_KEY=" + keyText, "LLMCTL_STUDIO_DATA_DIR=" + filepath.Join(dir, "data")}
	code, stdout, stderr := run(t, environ, "db", "backup", "--output", file, "--database-uri", uri, "--passphrase-file", pass, "--verify")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "encrypted")
	require.Contains(t, stderr, "verify: whole")
	require.Contains(t, stderr, "1 stored secret opened")
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotContains(t, string(raw), keyText)

	to := filepath.Join(dir, "new")
	target := pgtest.URI(t)
	args := []string{"db", "restore", "--input", file, "--database-uri", target, "--data-dir", to}
	code, _, stderr = run(t, nil, args...)
	require.Equal(t, 2, code, "the key needs a passphrase")
	require.Contains(t, stderr, "--passphrase-file")
	code, _, stderr = run(t, []string{"LLMCTL_STUDIO_BACKUP_PASSPHRASE=wrong horse battery"}, args...)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "passphrase does not fit")
	code, _, stderr = run(t, nil, append(args, "--passphrase-file", pass)...)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, "sk-very-secret", providerKey(t, target, filepath.Join(to, "secret.key")))
	info, err := os.Stat(filepath.Join(to, "secret.key"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
}

func TestBackupNeverLeavesTheKeyOutByOversight(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "b")
	uri := withProvider(t)
	data := "LLMCTL_STUDIO_DATA_DIR=" + filepath.Join(dir, "data")
	key := "LLMCTL_STUDIO_SECRET_KEY=" + keyText
	args := []string{"db", "backup", "--output", file, "--database-uri", uri}
	code, _, stderr := run(t, []string{data, key}, args...)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "--without-key")
	code, _, stderr = run(t, []string{data, "LLMCTL_STUDIO_BACKUP_PASSPHRASE=correct horse battery"}, args...)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "There is no secret key to back up")
	require.NoFileExists(t, file)
	code, _, stderr = run(t, []string{data, key}, append(args, "--without-key")...)
	require.Equal(t, 0, code)
	require.Contains(t, stderr, "WITHOUT THE SECRET KEY")

	restore := []string{"db", "restore", "--input", file, "--database-uri", pgtest.URI(t)}
	code, _, stderr = run(t, []string{data}, restore...)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "there is none here")
	code, _, stderr = run(t, []string{data, key}, restore...)
	require.Equal(t, 0, code, stderr)
	code, _, stderr = run(t, nil, "db", "restore", "--input", file, "--dry-run")
	require.Equal(t, 0, code)
	require.Contains(t, stderr, "without the key")
}

func TestBackupAndRestoreOfTheDatabaseOfUp(t *testing.T) {
	t.Parallel()
	// As root the server's account must reach the folder.
	base, err := os.MkdirTemp("/tmp", "llmctl-backup-test-") //nolint:usetesting // see above
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	require.NoError(t, os.Chmod(base, 0o755))
	file := filepath.Join(base, "b")
	seeded := filepath.Join(base, "seed")
	code, _, stderr := run(t, nil, "db", "backup", "--output", file, "--data-dir", filepath.Join(base, "none"), "--without-key")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "There is no database in")

	code, _, stderr = run(t, []string{"LLMCTL_STUDIO_SECRET_KEY=" + keyText}, "db", "backup", "--output", seeded, "--database-uri", withProvider(t), "--without-key", "--data-dir", filepath.Join(base, "none"))
	require.Equal(t, 0, code, stderr)
	data := filepath.Join(base, "data")
	environ := []string{"LLMCTL_STUDIO_SECRET_KEY=" + keyText, "LLMCTL_STUDIO_DATA_DIR=" + data}
	code, _, stderr = run(t, environ, "db", "restore", "--input", seeded)
	require.Equal(t, 0, code, stderr)
	code, _, stderr = run(t, environ, "db", "restore", "--input", seeded)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "not empty (provider)")
	code, stdout, stderr := run(t, environ, "db", "backup", "--output", file, "--without-key", "--verify")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "without the key")
	require.Contains(t, stderr, "1 stored secret opened")
}

func TestBackupCommandsSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"backup"}, 2, "--output is missing"},
		{[]string{"restore"}, 2, "--input is missing"},
		{[]string{"restore", "--input", "/does/not/exist"}, 1, "/does/not/exist cannot be read"},
		{[]string{"backup", "--output", "x", "--passphrase-file", "/does/not/exist"}, 2, "--passphrase-file cannot be read"},
		{[]string{"backup", "--output", "x", "--without-key", "--passphrase-file", "/etc/hostname"}, 2, "exclude each other"},
	} {
		code, _, stderr := run(t, nil, append([]string{"db"}, c.args...)...)
		require.Equal(t, c.code, code, stderr)
		require.Contains(t, stderr, c.want)
	}
}
