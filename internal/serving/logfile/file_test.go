package logfile_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/serving/logfile"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func TestFileIsAppendedToAndPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	for range 2 {
		f, err := logfile.Open(path, nil)
		require.NoError(t, err)
		_, err = f.Write([]byte("line\n"))
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.NoError(t, f.Close(), "closing twice does no harm")
		_, err = f.Write([]byte("late\n"))
		require.ErrorIs(t, err, os.ErrClosed)
		require.ErrorIs(t, f.Reopen(), os.ErrClosed)
	}
	require.Equal(t, "line\nline\n", read(t, path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&^0o640)
}

func TestDashIsTheStreamAndStaysOpen(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f, err := logfile.Open("-", &out)
	require.NoError(t, err)
	require.NoError(t, f.Reopen())
	_, err = fmt.Fprintln(f, "line")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Equal(t, "line\n", out.String())
}

func TestRotationUsesTheNewFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	f, err := logfile.Open(path, nil)
	require.NoError(t, err)
	defer f.Close()
	write := func(s string) {
		_, err := fmt.Fprintln(f, s)
		require.NoError(t, err)
	}
	write("before")
	require.NoError(t, os.Rename(path, path+".1"))
	write("between")
	require.NoError(t, f.Reopen())
	write("after")
	require.Equal(t, "before\nbetween\n", read(t, path+".1"))
	require.Equal(t, "after\n", read(t, path))
}

func TestFailedRotationKeepsTheFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "logs")
	require.NoError(t, os.Mkdir(dir, 0o700))
	f, err := logfile.Open(filepath.Join(dir, "access.log"), nil)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, os.Rename(dir, dir+".gone"))
	err = f.Reopen()
	require.ErrorContains(t, err, "the log stays in the file so far")
	require.ErrorContains(t, err, "a file in a folder that exists")
	_, err = fmt.Fprintln(f, "still")
	require.NoError(t, err)
	require.Equal(t, "still\n", read(t, filepath.Join(dir+".gone", "access.log")))
}

func TestRotationUnderLoadLosesNoLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	f, err := logfile.Open(path, nil)
	require.NoError(t, err)
	defer f.Close()
	const writers, lines, rotations = 4, 500, 20
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range lines {
				if _, err := fmt.Fprintf(f, "%d:%d\n", w, i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range rotations {
		require.NoError(t, os.Rename(path, fmt.Sprintf("%s.%d", path, i)))
		require.NoError(t, f.Reopen())
	}
	group.Wait()
	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	require.Len(t, files, rotations+1)
	seen := map[string]bool{}
	for _, file := range files {
		for line := range strings.Lines(read(t, file)) {
			require.False(t, seen[line])
			seen[line] = true
		}
	}
	require.Len(t, seen, writers*lines)
}

// TestHelperProcess is not a test: it is the other process of the one below.
func TestHelperProcess(t *testing.T) { //nolint:paralleltest // it is a process of its own
	path := os.Getenv("LLMCTL_TEST_LOGFILE")
	if path == "" {
		t.Skip("runs only as a child of another test")
	}
	f, err := logfile.Open(path, nil)
	require.NoError(t, err)
	line := strings.Repeat(os.Getenv("LLMCTL_TEST_LOGFILE_LETTER"), 999) + "\n"
	for range 300 {
		_, err := f.Write([]byte(line))
		require.NoError(t, err)
	}
}

func TestLinesOfSeveralProcessesStayWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	var group sync.WaitGroup
	for _, letter := range []string{"a", "b", "c"} {
		group.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelperProcess$")
			cmd.Env = append(os.Environ(), "LLMCTL_TEST_LOGFILE="+path, "LLMCTL_TEST_LOGFILE_LETTER="+letter)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	group.Wait()
	whole := regexp.MustCompile(`^(a{999}|b{999}|c{999})\n$`)
	count := 0
	for line := range strings.Lines(read(t, path)) {
		require.Regexp(t, whole, line)
		count++
	}
	require.Equal(t, 900, count)
}

func TestUnusablePathsAreExplained(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	short, err := os.MkdirTemp("", "log") //nolint:usetesting // the test's own folder has too long a path for a socket
	require.NoError(t, err)
	defer os.RemoveAll(short)
	socket := filepath.Join(short, "socket")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	defer l.Close()
	for path, want := range map[string]string{
		dir:                               "a file, not a folder",
		filepath.Join(dir, "no", "a.log"): "a file in a folder that exists",
		filepath.Join(file, "a.log"):      "a file that can be written (not a directory)",
		pipe:                              "a pipe that somebody reads",
		socket:                            "a file, not a socket",
	} {
		_, err := logfile.Open(path, nil)
		var e *logfile.Error
		require.ErrorAs(t, err, &e, path)
		require.Contains(t, e.Want, want)
		require.Equal(t, path, e.Path)
	}
}

func TestPipeWithAReaderCanBeWritten(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	reader, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	require.NoError(t, err)
	defer reader.Close()
	f, err := logfile.Open(pipe, nil)
	require.NoError(t, err)
	defer f.Close()
	_, err = fmt.Fprint(f, "line\n")
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = reader.Read(got)
	require.NoError(t, err)
	require.Equal(t, "line\n", string(got))
}
