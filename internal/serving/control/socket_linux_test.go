package control

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSocketIsNeverMoreOpenThanItsMode(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "ctl") //nolint:usetesting // the test's own folder has too long a path for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, mode := range []fs.FileMode{0o600, 0o400, 0} {
		path := filepath.Join(dir, mode.String())
		l, err := bind(t.Context(), path, mode) // before the mode is set on the file
		require.NoError(t, err)
		info, err := os.Lstat(path)
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&^mode, "%s is not within %s", info.Mode(), mode)
		require.NoError(t, l.Close())
	}
}
