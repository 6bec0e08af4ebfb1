package rollout

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

// root is the repository.
const root = "../../.."

// earlier is the release that an update starts from: this repository's state some time ago.
const earlier = "95c0121"

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(raw)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// command runs a program in a folder and gives its output.
func command(t *testing.T, dir, name string, arguments ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, arguments...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Run(), "%s %s\n%s", name, strings.Join(arguments, " "), &out)
	return out.String()
}

// workshop makes the images of a test and imports them.
type workshop struct {
	t       *testing.T
	cluster *kubetest.Cluster
	tool    string // tools/image
}

func newWorkshop(t *testing.T, c *kubetest.Cluster) *workshop {
	t.Helper()
	return &workshop{t: t, cluster: c, tool: kubetest.Build(t, root+"/tools/image", ".", "image")}
}

// studio packs the Studio's images of a binary under a tag and imports them.
func (w *workshop) studio(tag, binary string, names ...string) {
	w.t.Helper()
	out := filepath.Join(w.t.TempDir(), tag+".tar")
	command(w.t, root, w.tool, append([]string{"pack", "-fast", "-tag", tag, "-binary", binary, "-o", out}, names...)...)
	w.cluster.Import(w.t, out)
}

// stores packs this machine's PostgreSQL and Redis.
func (w *workshop) stores() {
	w.t.Helper()
	data, err := filepath.Abs("testdata")
	require.NoError(w.t, err)
	passwd := data + "/passwd=/etc/passwd"
	bin := one(w.t, "/usr/lib/postgresql/*/bin")
	lib := filepath.Join(filepath.Dir(bin), "lib")
	out := filepath.Join(w.t.TempDir(), "stores.tar")
	command(w.t, root, w.tool, "host", "-ref", "localhost/llmctl-test-postgres:1", "-o", out, "-user", "999:999", "-shell", "-stop-signal", "SIGINT",
		"-entrypoint", "/usr/local/bin/postgres.sh", "-env", "PATH="+bin+":/bin",
		"-file", data+"/postgres.sh=/usr/local/bin/postgres.sh=x", "-file", passwd,
		"-program", bin+"/postgres", "-program", bin+"/initdb", "-program", bin+"/pg_isready", "-program", bin+"/psql", "-program", bin+"/pg_dump",
		"-program", lib+"/plpgsql.so", "-program", lib+"/dict_snowball.so", "-program", lib+"/pg_trgm.so",
		"-tree", one(w.t, "/usr/share/postgresql/[0-9]*"), "-tree", "/usr/share/zoneinfo")
	w.cluster.Import(w.t, out)
	command(w.t, root, w.tool, "host", "-ref", "localhost/llmctl-test-redis:1", "-o", out, "-user", "999:999",
		"-env", "PATH=/usr/bin", "-file", passwd, "-program", "/usr/bin/redis-server", "-program", "/usr/bin/redis-cli")
	w.cluster.Import(w.t, out)
}

// one is the last match of a pattern.
func one(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, found, "%s is not on this machine", pattern)
	return found[len(found)-1]
}

// checkout gives the tree of an earlier commit. A clone without history has none.
func checkout(t *testing.T, commit string) string {
	t.Helper()
	if err := exec.CommandContext(t.Context(), "git", "-C", root, "cat-file", "-e", commit+"^{commit}").Run(); err != nil {
		t.Skipf("commit %s is not in this clone: fetch the history", commit)
	}
	dir := t.TempDir()
	archive := filepath.Join(t.TempDir(), "tree.tar")
	command(t, root, "git", "archive", "-o", archive, commit)
	command(t, dir, "tar", "-xf", archive)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "web/dist"), 0o700))
	write(t, filepath.Join(dir, "web/dist/.gitkeep"), "")
	return dir
}

// overlay writes a kustomization; BASE in it is the base's folder.
func overlay(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	base, err := filepath.Abs(manifests + "/base")
	require.NoError(t, err)
	from, err := filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	relative, err := filepath.Rel(from, base)
	require.NoError(t, err)
	write(t, filepath.Join(dir, "kustomization.yaml"), strings.ReplaceAll(text, "BASE", relative))
	return dir
}
