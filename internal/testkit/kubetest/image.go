package kubetest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Import loads the images of a tarball, as `docker save` and tools/image write it, into
// the rig. The names in it stay; use a tag other than latest, which would be pulled.
func (c *Cluster) Import(tb testing.TB, tarball string) {
	tb.Helper()
	c.needRig(tb, "images can be imported there")
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	out, err := command(ctx, nil, "", "ctr", "--address", filepath.Join(c.dir, "run", "containerd.sock"),
		"--namespace", "k8s.io", "images", "import", tarball)
	require.NoError(tb, err, out)
}

// Image makes an image of static binaries and folders and imports it: the first binary
// is its entry point.
func (c *Cluster) Image(tb testing.TB, ref string, sources ...string) {
	tb.Helper()
	c.needRig(tb, "images can be imported there")
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	out, err := command(ctx, c.rigEnviron(), "", c.script, append([]string{"image", c.dir, ref}, sources...)...)
	require.NoError(tb, err, out)
}

// Build compiles a package of the module that contains dir, statically, into a folder of
// the test, and gives the binary's path.
func Build(tb testing.TB, dir, pkg, name string) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Minute)
	defer cancel()
	binary := filepath.Join(tb.TempDir(), name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, pkg)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(tb, err, "build %s\n%s", pkg, out)
	return binary
}

func (c *Cluster) rigEnviron() []string {
	return []string{envRigName + "=" + c.name, envRigNet + "=" + c.net, "KUBECONFIG=" + c.Kubeconfig}
}

func (c *Cluster) needRig(tb testing.TB, reason string) {
	tb.Helper()
	if c.script == "" {
		tb.Skip("this test needs the rig: " + reason)
	}
}
