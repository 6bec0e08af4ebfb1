package control_test

import (
	"bytes"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/serving/control"
)

func listen(t *testing.T, o control.SocketOptions) (s *control.Socket, ok bool, log string) {
	t.Helper()
	var out bytes.Buffer
	o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	if o.Mode == 0 {
		o.Mode = 0o600
	}
	s, ok = control.Listen(t.Context(), o)
	if ok {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, ok, out.String()
}

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	return info.Mode()
}

func TestSocketHasItsModeWhateverTheUmask(t *testing.T) {
	t.Parallel()
	for _, mode := range []fs.FileMode{0o600, 0o660, 0o777, 0o400} { // the umask of a test is mostly 022
		path := filepath.Join(shortDir(t), "made", "gunicorn.ctl")
		s, ok, log := listen(t, control.SocketOptions{Path: path, Mode: mode})
		require.True(t, ok, log)
		require.Equal(t, fs.ModeSocket|mode, modeOf(t, path))
		require.Equal(t, fs.FileMode(0o700), modeOf(t, filepath.Dir(path)).Perm(), "a folder that is made is private")
		require.Equal(t, path, s.Path())
	}
}

func TestLeftOverSocketIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "gunicorn.ctl")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	old.SetUnlinkOnClose(false)
	require.NoError(t, old.Close())
	_, ok, log := listen(t, control.SocketOptions{Path: path})
	require.True(t, ok, log)
	_, err = control.Dial(t.Context(), path)
	require.NoError(t, err)
}

func TestWhatMustStayStays(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	file, link, folder, used := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "folder"), filepath.Join(dir, "used")
	require.NoError(t, os.WriteFile(file, []byte("mine"), 0o600))
	require.NoError(t, os.Symlink(file, link))
	require.NoError(t, os.Mkdir(folder, 0o700))
	_, ok, _ := listen(t, control.SocketOptions{Path: used})
	require.True(t, ok)
	for path, want := range map[string]string{
		file: "is a file, which stays as it is", link: "is a symbolic link", folder: "is a folder", used: "answers on the control socket",
	} {
		before := modeOf(t, path)
		_, ok, log := listen(t, control.SocketOptions{Path: path})
		require.False(t, ok, path)
		require.Contains(t, log, want)
		require.Contains(t, log, "control socket is disabled")
		require.Equal(t, before, modeOf(t, path))
	}
	_, err := control.Dial(t.Context(), used)
	require.NoError(t, err)
}

func TestUnusablePathFallsBack(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for path, want := range map[string]string{
		filepath.Join(file, "gunicorn.ctl"):            "folder of the control socket",
		"/proc/no/gunicorn.ctl":                        "cannot be made",
		filepath.Join(dir, strings.Repeat("long", 40)): "the system takes at most 107",
	} {
		fallback := filepath.Join(shortDir(t), "fallback.ctl")
		s, ok, log := listen(t, control.SocketOptions{Path: path, Fallback: fallback})
		require.True(t, ok)
		require.Equal(t, fallback, s.Path())
		require.Contains(t, log, want)
	}
}

func TestUpgradeTakesThePathOverAndTheOldOneLeavesItAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "gunicorn.ctl")
	old, ok, _ := listen(t, control.SocketOptions{Path: path})
	require.True(t, ok)
	fresh, ok, log := listen(t, control.SocketOptions{Path: path, Replace: true})
	require.True(t, ok, log)
	require.NoError(t, old.Close())
	_, err := control.Dial(t.Context(), path)
	require.NoError(t, err, "it is the new one's")
	require.NoError(t, fresh.Close())
	_, err = os.Lstat(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
}
