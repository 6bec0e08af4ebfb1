package main

import (
	"archive/tar"
	"encoding/pem"
	"errors"
	"io"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"
)

func TestOnlyWhatReadsRepositoriesHasGit(t *testing.T) {
	t.Parallel()
	have := []string{"llmctl-studio-backend", "llmctl-celery-worker"}
	for n, i := range packed(t) {
		files := contents(t, i)
		for _, path := range []string{"usr/bin/git", "usr/bin/ssh", "usr/lib/git-core/git", "usr/lib/git-core/git-remote-http", "usr/lib/git-core/git-remote-https"} {
			_, has := files[path]
			require.Equal(t, slices.Contains(have, n), has, "%s: %s", n, path)
		}
		for path := range files {
			require.NotContains(t, path, "git-sh", n)
			require.NotContains(t, path, "git-daemon", n)
		}
	}
}

// unpack makes an image's files a folder that programs can be started in.
func unpack(t *testing.T, i v1.Image) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("changing the root takes root")
	}
	root := t.TempDir()
	layers, err := i.Layers()
	require.NoError(t, err)
	for _, l := range layers {
		content, err := l.Uncompressed()
		require.NoError(t, err)
		for r := tar.NewReader(content); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			require.NoError(t, unpackOne(filepath.Join(root, h.Name), h, r))
		}
	}
	// An engine makes the devices; git opens them.
	device(t, filepath.Join(root, "dev/null"), 3)
	device(t, filepath.Join(root, "dev/urandom"), 9)
	// The account of the image has to come in. What lies above does not matter to what has its
	// root here, and is not the test's to change.
	require.NoError(t, os.Chmod(root, 0o755))
	return root
}

// device makes one of the memory devices.
func device(t *testing.T, path string, minor int) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	if err := syscall.Mknod(path, syscall.S_IFCHR|0o666, 1<<8|minor); err != nil {
		t.Skipf("devices cannot be made here: %v", err)
	}
	require.NoError(t, os.Chmod(path, 0o666))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Skipf("devices cannot be used at %s: %v", path, err)
	}
	require.NoError(t, f.Close())
}

func unpackOne(path string, h *tar.Header, content io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return errors.Join(os.MkdirAll(path, 0o755), os.Chown(path, h.Uid, h.Gid), os.Chmod(path, h.FileInfo().Mode()))
	case tar.TypeSymlink:
		return os.Symlink(h.Linkname, path)
	}
	raw, err := io.ReadAll(content)
	return errors.Join(err, os.WriteFile(path, raw, h.FileInfo().Mode()))
}

// inside runs a program of the image as the image's account, with nothing but the image.
func inside(t *testing.T, root string, environ []string, program string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/data", "GIT_CONFIG_NOSYSTEM=1"}, environ...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// repository has one commit, and gives it.
func repository(t *testing.T, dir string) string {
	t.Helper()
	git := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), []byte("one"), 0o600))
	git("add", "-A")
	git("commit", "-q", "-m", "one")
	return git("rev-parse", "HEAD")
}

func TestGitOfTheImageFetchesOverHTTPSWithoutAShell(t *testing.T) {
	t.Parallel()
	root := unpack(t, packed(t)["llmctl-celery-worker"])
	base := t.TempDir()
	commit := repository(t, base)
	core, err := exec.Command("git", "--exec-path").Output()
	require.NoError(t, err)
	server := httptest.NewTLSServer(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(core)), "git-http-backend"), Root: "/", Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + base, "GIT_HTTP_EXPORT_ALL=1"},
	})
	t.Cleanup(server.Close)
	url := server.URL + "/.git"

	out, err := inside(t, root, nil, "/usr/bin/git", "ls-remote", "--", url, "HEAD")
	require.Error(t, err, "a certificate that nobody vouches for")
	require.Contains(t, out, "certificate")

	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(filepath.Join(root, bundle), authority, 0o644))
	out, err = inside(t, root, nil, "/usr/bin/git", "ls-remote", "--", url, "HEAD")
	require.NoError(t, err, out)
	require.Contains(t, out, commit)
	out, err = inside(t, root, nil, "/usr/bin/git", "init", "-q", "--bare", "/data/copy.git")
	require.NoError(t, err, out)
	out, err = inside(t, root, nil, "/usr/bin/git", "--git-dir=/data/copy.git", "fetch", "-q", "--depth=1", "--", url, "HEAD")
	require.NoError(t, err, out)
	out, err = inside(t, root, nil, "/usr/bin/git", "--git-dir=/data/copy.git", "cat-file", "blob", commit+":f")
	require.NoError(t, err, out)
	require.Equal(t, "one", out)
	out, err = inside(t, root, nil, "/usr/bin/ssh", "-V")
	require.NoError(t, err, out)
	require.Contains(t, out, "OpenSSH")
}

// The product's own use of git, over ssh, http and files: its tests are run in the image.
func TestGitSourcesAreReadWithWhatIsInTheImage(t *testing.T) {
	t.Parallel()
	root := unpack(t, packed(t)["llmctl-celery-worker"])
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-o", filepath.Join(root, "git.test"), "./internal/rag/fetch/git")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	// Servers are the tests' own.
	servers, err := programs("/", gitCore+"/git-http-backend")
	require.NoError(t, err)
	for _, e := range servers {
		raw, err := os.ReadFile(e.source)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(root, e.path), raw, 0o755))
	}
	require.NoFileExists(t, filepath.Join(root, "bin/sh"))
	// Containers have it; a folder that is open is handed to git through it.
	proc := filepath.Join(root, "proc")
	require.NoError(t, os.MkdirAll(proc, 0o755))
	require.NoError(t, syscall.Mount("proc", proc, "proc", 0, ""))
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(proc, 0)) })
	said, err := inside(t, root, []string{"TMPDIR=/tmp"}, "/git.test", "-test.v", "-test.timeout=2m", "-test.run", "Test(SyncGives|KeyOpens|TokenIs|CutConnection|RepositoriesThatAreNone|LargeFiles)")
	require.NoError(t, err, said)
	require.Equal(t, 7, strings.Count(said, "--- PASS: "), said)
	require.NotContains(t, said, "--- SKIP")
}
