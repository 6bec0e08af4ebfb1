package rollout

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

// manifests is where they are.
const manifests = "../../../kubernetes/llmctl-studio"

// render gives what kubectl would apply.
func render(t *testing.T, c *kubetest.Cluster, dir string) string {
	t.Helper()
	return c.Kubectl(t, "", "kustomize", dir)
}

func TestTheServerTakesAllManifestsStrictly(t *testing.T) {
	t.Parallel()
	c := kubetest.Get(t)
	autoscaled := overlay(t, "resources: [BASE]\ncomponents: [BASE/../components/queue-autoscaling]\n")
	for name, dir := range map[string]string{
		"base": manifests + "/base", "dev": manifests + "/overlays/dev", "polling": manifests + "/overlays/polling",
		"production": manifests + "/overlays/production", "autoscaled": autoscaled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The objects would be looked for in a namespace that a dry run does not make.
			namespace := c.Namespace(t)
			text := strings.ReplaceAll(render(t, c, dir), "namespace: llmctl\n", "namespace: "+namespace+"\n")
			text = strings.ReplaceAll(text, "  name: llmctl\n", "  name: "+namespace+"\n")
			out := c.Kubectl(t, text, "apply", "--dry-run=server", "--validate=strict", "--server-side", "-f", "-")
			require.NotContains(t, out, "would violate PodSecurity")
		})
	}
}

func TestTheSecretsExampleHasWhatThePodsAskFor(t *testing.T) {
	t.Parallel()
	c := kubetest.Get(t)
	namespace := c.Namespace(t)
	c.Kubectl(t, "", "apply", "--dry-run=server", "--validate=strict", "--namespace="+namespace, "-o", "yaml", "-f", retarget(t, namespace, manifests+"/base/secret.example.yaml"))
	example := read(t, manifests+"/base/secret.example.yaml")
	asked := regexp.MustCompile(`key: (\S+)\s+name: llmctl-studio-secrets`).FindAllStringSubmatch(render(t, c, manifests+"/base"), -1)
	require.NotEmpty(t, asked)
	for _, key := range asked {
		require.Contains(t, example, key[1]+":")
	}
}

func TestAnImagesTagNamesTheMigrationAndTheExecutors(t *testing.T) {
	t.Parallel()
	c := kubetest.Get(t)
	text := render(t, c, manifests+"/overlays/dev")
	require.Contains(t, text, "name: llmctl-studio-migrate-dev\n")
	require.Contains(t, text, "LLMCTL_NODE_EXECUTOR_K8S_FRONTIER_IMAGE_TAG: dev\n")
	require.Contains(t, text, "LLMCTL_NODE_EXECUTOR_K8S_VLLM_IMAGE_TAG: dev\n")
}

// retarget writes a manifest for another namespace.
func retarget(t *testing.T, namespace, path string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "manifest.yaml")
	write(t, out, strings.ReplaceAll(read(t, path), "namespace: llmctl\n", "namespace: "+namespace+"\n"))
	return out
}
