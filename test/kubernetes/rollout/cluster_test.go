package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

const patience = 3 * time.Minute

// names gives the rig what every other cluster has: a name server, which pods made from
// now on ask.
func names(t *testing.T, c *kubetest.Cluster) {
	t.Helper()
	address := c.ServiceAddress(10)
	path := filepath.Join(c.Dir(), "etc/kubelet.yaml")
	settings := read(t, path)
	if !strings.Contains(settings, "clusterDNS") {
		require.NoError(t, os.WriteFile(path, []byte(settings+"clusterDNS: ["+address+"]\nclusterDomain: cluster.local\n"), 0o600))
		before := time.Now()
		c.Daemon(t, "kubelet").Restart(t)
		c.AwaitNode(t, before)
	}
	c.Image(t, "localhost/llmctl-test-dns:1", kubetest.Build(t, "../dns", ".", "dns"))
	c.Apply(t, "kube-system", strings.ReplaceAll(read(t, "testdata/dns.yaml"), "SERVICE_ADDRESS", address))
	deployed(t, c, "kube-system", "coredns")
}

// deployed waits until a deployment has nothing left to do.
func deployed(t *testing.T, c *kubetest.Cluster, namespace, name string) {
	t.Helper()
	kubetest.Eventually(t, patience, "deployment "+name, func(ctx context.Context) error {
		d, err := c.Client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return settled(d)
	})
}

func settled(d *appsv1.Deployment) error {
	want := *d.Spec.Replicas
	s := d.Status
	if s.ObservedGeneration < d.Generation || s.UpdatedReplicas != want || s.AvailableReplicas != want || s.Replicas != want {
		return fmt.Errorf("%d wanted: %d new, %d available, %d in all", want, s.UpdatedReplicas, s.AvailableReplicas, s.Replicas)
	}
	return nil
}

// volumes gives the claims of the base something to be bound to: folders of this machine.
func volumes(t *testing.T, c *kubetest.Cluster) {
	t.Helper()
	for n := range 2 {
		dir, err := os.MkdirTemp(c.Dir(), "volume") //nolint:usetesting // pods write there, and stay longer
		require.NoError(t, err)
		require.NoError(t, os.Chmod(dir, 0o777)) // several accounts write there
		name := fmt.Sprintf("rollout-%d", n)
		_, err = c.Client.CoreV1().PersistentVolumes().Create(t.Context(), &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PersistentVolumeSpec{
				Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("20Gi")},
				AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
				PersistentVolumeSource:        corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir}},
			},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		t.Cleanup(func() {
			_ = c.Client.CoreV1().PersistentVolumes().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
			_ = os.RemoveAll(dir)
		})
	}
}

// release is what is rolled out: the tags of the images, and what differs from the base.
type release struct {
	tag      string // of backend, worker and beat
	frontend string
	config   map[string]string // over the config map
	replicas map[string]int
}

// kustomization is the overlay of a release for the rig: its own images, no other change.
func (r release) kustomization(t *testing.T) string {
	t.Helper()
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [BASE]\nimages:\n"
	for image, tag := range map[string]string{
		"llmctl-studio-backend": r.tag, "llmctl-celery-worker": r.tag, "llmctl-celery-beat": r.tag,
		"llmctl-mcp": r.frontend, "llmctl-studio-frontend": r.frontend,
	} {
		text += fmt.Sprintf("  - {name: %s, newName: localhost/%s, newTag: %q}\n", image, image, tag)
	}
	text += "  - {name: postgres, newName: localhost/llmctl-test-postgres, newTag: \"1\"}\n  - {name: redis, newName: localhost/llmctl-test-redis, newTag: \"1\"}\n"
	text += replacements(t)
	text += "\nreplicas:\n  - {name: llmctl-celery-beat, count: 1}\n"
	for name, count := range r.replicas {
		text += fmt.Sprintf("  - {name: %s, count: %d}\n", name, count)
	}
	config := map[string]string{
		"LLMCTL_NODE_EXECUTOR_K8S_FRONTIER_IMAGE": "localhost/llmctl-executor-frontier",
		"LLMCTL_NODE_EXECUTOR_K8S_VLLM_IMAGE":     "localhost/llmctl-executor-vllm",
	}
	maps.Copy(config, r.config)
	data, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]string{"name": "llmctl-studio-config"}, "data": config,
	})
	require.NoError(t, err)
	return text + "patches:\n  - patch: |-\n      " + string(data) + "\n"
}

// replacements are the overlays' own, so that what is tested is what they do.
func replacements(t *testing.T) string {
	t.Helper()
	found := regexp.MustCompile(`(?s)\nreplacements:.*?\n\n`).FindString(read(t, manifests+"/overlays/production/kustomization.yaml"))
	require.NotEmpty(t, found)
	return strings.TrimSpace(found)
}
