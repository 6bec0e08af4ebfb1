package serving

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRunDirIsRemovedOnlyWhenNobodyUsesIt(t *testing.T) {
	t.Parallel()
	long := time.Now().Add(-2 * time.Minute)
	folder := func() string {
		dir := filepath.Join(t.TempDir(), "llmctl-serve-1")
		require.NoError(t, os.Mkdir(dir, 0o700))
		return dir
	}
	fresh, used, left := folder(), folder(), folder()
	first, err := OpenRunDir(used)
	require.NoError(t, err)
	second, err := OpenRunDir(used) // a new master beside the old one
	require.NoError(t, err)
	for _, dir := range []string{used, left} {
		require.NoError(t, os.Chtimes(dir, long, long))
	}
	for _, dir := range []string{fresh, used, left} {
		removeUnused(dir)
	}
	require.DirExists(t, fresh)
	require.DirExists(t, used)
	require.NoDirExists(t, left)

	first.Close(false)
	removeUnused(used)
	require.DirExists(t, used, "the new master still uses it")
	second.Close(false)
	removeUnused(used)
	require.NoDirExists(t, used)
}

func TestPrivateSocketsAreFoundByName(t *testing.T) {
	t.Parallel()
	dir, name := t.TempDir(), NewName()
	require.True(t, ValidName(name))
	require.False(t, ValidName("../../etc"))
	require.False(t, HasPrivateSocket(dir, name))
	l, err := listenPrivate(dir, name)
	require.NoError(t, err)
	l.close(false)
	require.True(t, HasPrivateSocket(dir, name), "a worker that was killed leaves its socket behind")
}
