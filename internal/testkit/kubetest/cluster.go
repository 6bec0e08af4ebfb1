package kubetest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// The variables by which tools/test-kubernetes.sh says where the cluster is.
const (
	envKubeconfig = "LLMCTL_TEST_KUBECONFIG" // of any cluster
	envRigScript  = "LLMCTL_TEST_RIG"        // rig.sh; empty: somebody's own cluster
	envRigDir     = "LLMCTL_TEST_RIG_DIR"    // where that rig runs
	envRigName    = "RIG_NAME"
	envRigNet     = "RIG_NET"
)

// patience is how long anything in a cluster may take before a test gives up.
const patience = 2 * time.Minute

// Cluster is the cluster of a test run.
type Cluster struct {
	Kubeconfig string // its file
	Config     *rest.Config
	Client     kubernetes.Interface

	script, dir, name, net string // of the rig; script is empty for another cluster
}

// Main runs the tests of a binary whose tests all need a cluster. Without one it runs
// none and says how to get one.
func Main(m *testing.M) int {
	if os.Getenv(envKubeconfig) == "" {
		_, _ = fmt.Fprintln(os.Stderr, "no cluster: these tests run with `make test-kubernetes`")
		return 0
	}
	return m.Run()
}

// Get gives the cluster; the test is skipped when there is none.
func Get(tb testing.TB) *Cluster {
	tb.Helper()
	file := os.Getenv(envKubeconfig)
	if file == "" {
		tb.Skip("this test needs a cluster: make test-kubernetes")
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	require.NoError(tb, err, "%s=%s", envKubeconfig, file)
	// Tests ask often and briefly; the API server has limits of its own.
	config.QPS, config.Burst = 200, 400
	client, err := kubernetes.NewForConfig(config)
	require.NoError(tb, err)
	return &Cluster{
		Kubeconfig: file, Config: config, Client: client,
		script: os.Getenv(envRigScript), dir: os.Getenv(envRigDir),
		name: or(os.Getenv(envRigName), "rig"), net: or(os.Getenv(envRigNet), "10.213"),
	}
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// Rig gives the cluster; the test is skipped when it is not the rig's, with what it
// would have needed the rig for.
func Rig(tb testing.TB, reason string) *Cluster {
	tb.Helper()
	c := Get(tb)
	if c.script == "" {
		tb.Skip("this test needs the rig: " + reason)
	}
	return c
}

// Node is the name of the rig's one node.
func (c *Cluster) Node() string { return c.name }

// Dir is the folder in which the rig keeps its files.
func (c *Cluster) Dir() string { return c.dir }

// HostAddress is this machine as pods of the rig see it.
func (c *Cluster) HostAddress(tb testing.TB) string {
	tb.Helper()
	require.NotEmpty(tb, c.script, "only the rig's pods are known to reach this machine")
	return c.net + ".255.1"
}

// ServiceAddress is the nth address of the rig's services, for services whose address
// must be known before they are made.
func (c *Cluster) ServiceAddress(n int) string { return fmt.Sprintf("%s.128.%d", c.net, n) }

// Kubectl runs kubectl with standard input, which may be empty, and gives what it prints.
// A failure fails the test.
func (c *Cluster) Kubectl(tb testing.TB, input string, arguments ...string) string {
	tb.Helper()
	out, err := c.TryKubectl(tb, input, arguments...)
	require.NoError(tb, err, "kubectl %s\n%s", strings.Join(arguments, " "), out)
	return out
}

// TryKubectl runs kubectl and gives what it prints on both outputs, and whether it failed.
func (c *Cluster) TryKubectl(tb testing.TB, input string, arguments ...string) (string, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), patience+time.Minute)
	defer cancel()
	all := append([]string{"--kubeconfig=" + c.Kubeconfig, "--cache-dir=" + filepath.Join(os.TempDir(), "kubetest-cache-"+c.name)}, arguments...)
	return command(ctx, nil, input, c.kubectl(), all...)
}

// kubectl is the rig's own when it has one.
func (c *Cluster) kubectl() string {
	if own := filepath.Join(c.dir, "bin", "kubectl"); c.dir != "" && exists(own) {
		return own
	}
	return "kubectl"
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Apply applies manifests with strict validation by the server.
func (c *Cluster) Apply(tb testing.TB, namespace, manifests string) {
	tb.Helper()
	c.Kubectl(tb, manifests, "apply", "--namespace="+namespace, "--validate=strict", "--server-side", "--force-conflicts", "-f", "-")
}

// Eventually waits until f finds nothing wrong; the last error is in the failure.
func Eventually(tb testing.TB, within time.Duration, what string, f func(ctx context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), within)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			require.FailNow(tb, what+": not within "+within.String(), "%v", err)
		case <-again.C:
		}
	}
}

func closeQuietly(c io.Closer) { _ = c.Close() }
