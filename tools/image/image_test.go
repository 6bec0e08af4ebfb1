package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"
)

// place is a repository with a page and a binary, as far as images care.
func place(t *testing.T) (root, binary string) {
	t.Helper()
	root = t.TempDir()
	for path, content := range map[string]string{
		"web/dist/index.html": "<head></head>", "web/dist/assets/app-1.js": "1", "web/dist/.vite/manifest.json": "{}",
		"docker/frontend/nginx.conf": "events {}", "llmctl": "#!",
	} {
		path = filepath.Join(root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	return root, filepath.Join(root, "llmctl")
}

func sum(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	s := sha256.Sum256(raw)
	return hex.EncodeToString(s[:])
}

func TestTheSameSourcesGiveTheSameBytes(t *testing.T) {
	t.Parallel()
	var sums []string
	for n := range 4 {
		root, binary := place(t) // in another folder, written at another time
		out := filepath.Join(t.TempDir(), "images.tar")
		touched := time.Now().Add(time.Duration(n) * time.Hour)
		require.NoError(t, os.Chtimes(binary, touched, touched))
		require.NoError(t, run(t.Context(), []string{"pack", "-fast", "-tag", "1", "-root", root, "-binary", binary, "-o", out}, "1700000000", io.Discard))
		sums = append(sums, sum(t, out))
	}
	for _, other := range sums[1:] {
		require.Equal(t, sums[0], other)
	}
}

func TestTheProgramIsTheSameWhereverItIsBuilt(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds llmctl twice")
	}
	var sums []string
	for range 2 {
		root := t.TempDir()
		for _, part := range []string{"go.mod", "go.sum", "cmd", "internal", "api", "web/embed.go", "web/dist"} {
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, part)), 0o700))
			out, err := exec.Command("cp", "-a", filepath.Join("../..", part), filepath.Join(root, part)).CombinedOutput()
			require.NoError(t, err, string(out))
		}
		s := sources{root: root}
		remove, err := build(t.Context(), &s, "1")
		require.NoError(t, err)
		defer remove()
		sums = append(sums, sum(t, s.binary))
	}
	require.Equal(t, sums[0], sums[1])
}

func packed(t *testing.T) map[string]v1.Image {
	t.Helper()
	root, binary := place(t)
	out := filepath.Join(t.TempDir(), "images.tar")
	require.NoError(t, run(t.Context(), []string{"pack", "-fast", "-tag", "1", "-root", root, "-binary", binary, "-o", out}, "", io.Discard))
	images := map[string]v1.Image{}
	for _, i := range catalogue() {
		tag, err := name.NewTag("localhost/" + i.Name + ":1")
		require.NoError(t, err)
		images[i.Name], err = tarball.ImageFromPath(out, &tag)
		require.NoError(t, err)
	}
	return images
}

func TestNoImageRunsAsRoot(t *testing.T) {
	t.Parallel()
	for n, i := range packed(t) {
		c, err := i.ConfigFile()
		require.NoError(t, err)
		require.Regexp(t, `^[1-9][0-9]*:[1-9][0-9]*$`, c.Config.User, "%s: a number, so that runAsNonRoot can be checked", n)
	}
}

func TestAllRolesShareTheLayersOfOneBinary(t *testing.T) {
	t.Parallel()
	images := packed(t)
	digests := map[string]bool{}
	for _, n := range []string{"llmctl-studio-backend", "llmctl-celery-worker", "llmctl-celery-beat", "llmctl-mcp", "llmctl-executor-frontier"} {
		layers, err := images[n].Layers()
		require.NoError(t, err)
		digest, err := layers[2].Digest()
		require.NoError(t, err)
		digests[digest.String()] = true
	}
	require.Len(t, digests, 1)
}

// contents reads a whole image as its files would be.
func contents(t *testing.T, i v1.Image) map[string]*tar.Header {
	t.Helper()
	layers, err := i.Layers()
	require.NoError(t, err)
	out := map[string]*tar.Header{}
	for _, l := range layers {
		content, err := l.Uncompressed()
		require.NoError(t, err)
		for r := tar.NewReader(content); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			out[h.Name] = h
		}
	}
	return out
}

func TestOnlyExecutorsHaveAShell(t *testing.T) {
	t.Parallel()
	for n, i := range packed(t) {
		_, has := contents(t, i)["bin/sh"]
		require.Equal(t, strings.HasPrefix(n, "llmctl-executor"), has, n)
	}
}

func TestNobodyButRootMayWriteWhatIsInAnImage(t *testing.T) {
	t.Parallel()
	for n, i := range packed(t) {
		for path, h := range contents(t, i) {
			if h.Typeflag == tar.TypeSymlink || path == "tmp/" {
				continue
			}
			require.Zero(t, h.Mode&0o022, "%s: %s", n, path)
			require.True(t, h.Uid == 0 || path == "data/", "%s: %s belongs to %d", n, path, h.Uid)
		}
	}
}

func TestThePageComesWithoutWhatBuiltIt(t *testing.T) {
	t.Parallel()
	files := contents(t, packed(t)["llmctl-studio-frontend"])
	require.Contains(t, files, "usr/share/llmctl/web/assets/app-1.js")
	require.NotContains(t, files, "usr/share/llmctl/web/.vite/manifest.json")
	require.Contains(t, files, "usr/sbin/nginx")
}

func TestAnImageArrivesInARegistryAsItIs(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New())
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	root, binary := place(t)
	var said bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"push", "-fast", "-tag", "1", "-root", root, "-binary", binary, "-repository", host + "/team", "llmctl-mcp"}, "", &said))
	ref, err := name.ParseReference(host + "/team/llmctl-mcp:1")
	require.NoError(t, err)
	got, err := remote.Image(ref)
	require.NoError(t, err)
	digest, err := got.Digest()
	require.NoError(t, err)
	require.Contains(t, said.String(), "llmctl-mcp:1@"+digest.String())
}

func TestTheDockerfileIsTheCataloguesOne(t *testing.T) {
	t.Parallel()
	require.NoError(t, run(t.Context(), []string{"dockerfile", "-root", "../..", "-check"}, "", io.Discard))
}

func TestBadInputIsNamed(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`-tag is "latest"`:   {"pack", "-tag", "latest"},
		`-tag is ""`:         {"pack"},
		`no image "backend"`: {"pack", "-tag", "1", "backend"},
		`no command "build"`: {"build"},
		`-file is "x"`:       {"host", "-ref", "localhost/x:1", "-file", "x"},
	} {
		require.ErrorContains(t, run(t.Context(), args, "", io.Discard), want)
	}
	require.ErrorContains(t, run(t.Context(), []string{"list"}, "yesterday", io.Discard), `SOURCE_DATE_EPOCH is "yesterday"`)
}
