package secret_test

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/secret"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, secret.KeySize) }

func box(t *testing.T, kek []byte, older ...[]byte) *secret.Box {
	t.Helper()
	b, err := secret.New(kek, older...)
	require.NoError(t, err)
	return b
}

func TestSealedSecretOpensOnlyInItsPlace(t *testing.T) {
	t.Parallel()
	b := box(t, key(1))
	sealed, err := b.Seal([]byte("sk-secret"), []byte("provider:7"))
	require.NoError(t, err)
	require.NotContains(t, string(sealed), "sk-secret")

	plain, err := b.Open(sealed, []byte("provider:7"))
	require.NoError(t, err)
	require.Equal(t, "sk-secret", string(plain))

	_, err = b.Open(sealed, []byte("provider:8"))
	require.True(t, errs.HasReason(err, "secret.corrupt"), "moved to another record: %v", err)

	again, err := b.Seal([]byte("sk-secret"), []byte("provider:7"))
	require.NoError(t, err)
	require.NotEqual(t, sealed, again, "equal secrets must not look equal")
}

func TestDamagedCiphertextsAreRefused(t *testing.T) {
	t.Parallel()
	b := box(t, key(1))
	sealed, err := b.Seal([]byte("value"), nil)
	require.NoError(t, err)
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 0x40
		_, err := b.Open(bad, nil)
		require.Error(t, err, "flipped byte %d", i)
	}
	for n := range sealed {
		_, err := b.Open(sealed[:n], nil)
		require.Error(t, err, "cut to %d bytes", n)
	}
}

func TestRotationReadsOldAndSealsWithNew(t *testing.T) {
	t.Parallel()
	before := box(t, key(1))
	sealed, err := before.Seal([]byte("value"), nil)
	require.NoError(t, err)

	after := box(t, key(2), key(1))
	require.NotEqual(t, before.KeyID(), after.KeyID())
	require.True(t, after.NeedsReseal(sealed))
	plain, err := after.Open(sealed, nil)
	require.NoError(t, err)
	require.Equal(t, "value", string(plain))

	fresh, err := after.Seal(plain, nil)
	require.NoError(t, err)
	require.False(t, after.NeedsReseal(fresh))
	_, err = before.Open(fresh, nil)
	require.True(t, errs.HasReason(err, "secret.unknown_key"))
	require.Contains(t, errs.As(err).Message, after.KeyID())
	require.Contains(t, errs.As(err).Message, before.KeyID())
}

func TestKeysOfWrongSizeAreRefused(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 16, 31, 33} {
		_, err := secret.New(make([]byte, n))
		require.True(t, errs.HasReason(err, "secret.key_size"), "%d bytes: %v", n, err)
		_, err = secret.New(key(1), make([]byte, n))
		require.True(t, errs.HasReason(err, "secret.key_size"), "older, %d bytes: %v", n, err)
	}
}

func TestParseKeyAcceptsTheUsualEncodings(t *testing.T) {
	t.Parallel()
	want := bytes.Repeat([]byte{0xfb}, 32)
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		got, err := secret.ParseKey(" " + enc.EncodeToString(want) + "\n")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{"", "hello", base64.StdEncoding.EncodeToString(make([]byte, 16)), strings.Repeat("!", 44)} {
		_, err := secret.ParseKey(bad)
		require.True(t, errs.HasReason(err, "secret.key_format"), "%q", bad)
	}
}

func TestFingerprintHidesTheSecret(t *testing.T) {
	t.Parallel()
	long := "sk-proj-0123456789abcdefWXYZ"
	require.Contains(t, secret.Fingerprint(long), "WXYZ")
	require.NotContains(t, secret.Fingerprint(long), "abcdef")
	require.NotContains(t, secret.Fingerprint("hunter2"), "ter2", "short secrets show no characters")
	require.NotEqual(t, secret.Fingerprint("hunter2"), secret.Fingerprint("hunter3"))
	document := "users:\n- user:\n    token: abcdefghijklmnopqrstuvWXYZ"
	require.NotContains(t, secret.Fingerprint(document), "WXYZ", "the end of a document may be the end of a key")
	require.Empty(t, secret.Fingerprint(""))
}

func TestKeyFileIsPrivateAndNeverReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret.key")
	_, err := secret.LoadKeyFile(path)
	require.True(t, errs.HasReason(err, "secret.key_file_missing"))

	var wg sync.WaitGroup
	results := make(chan error, 8)
	for range 8 {
		wg.Go(func() { results <- secret.GenerateKeyFile(path) })
	}
	wg.Wait()
	close(results)
	made := 0
	for err := range results {
		if err == nil {
			made++
			continue
		}
		require.ErrorIs(t, err, fs.ErrExist)
	}
	require.Equal(t, 1, made, "exactly one of several starters makes the key")

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	k, err := secret.LoadKeyFile(path)
	require.NoError(t, err)
	require.Len(t, k, secret.KeySize)
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file stays behind")

	require.NoError(t, os.Chmod(path, 0o644))
	_, err = secret.LoadKeyFile(path)
	require.True(t, errs.HasReason(err, "secret.key_file_mode"))
}
