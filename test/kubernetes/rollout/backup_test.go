package rollout

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

// backup runs the Job that the documentation has people run, into a volume that ends with
// it.
func (s *studio) backup(r release) {
	found := regexp.MustCompile(`(?s)<<'END'\n(.*?)\nEND\n`).FindStringSubmatch(read(s.t, root+"/docs/operations/kubernetes.md"))
	require.NotNil(s.t, found)
	manifest := found[1]
	for from, to := range map[string]string{
		"registry.example.com/llmctl/llmctl-studio-backend:1.0.0": "localhost/llmctl-studio-backend:" + r.tag,
		"persistentVolumeClaim: {claimName: studio-backup}":       "emptyDir: {}",
	} {
		require.Contains(s.t, manifest, from)
		manifest = strings.ReplaceAll(manifest, from, to)
	}
	_, err := s.cluster.Client.CoreV1().Secrets(namespace).Create(s.t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "studio-backup-passphrase"}, StringData: map[string]string{"passphrase": "a long passphrase"},
	}, metav1.CreateOptions{})
	require.NoError(s.t, err)
	name := strings.TrimPrefix(strings.TrimSpace(s.cluster.Kubectl(s.t, manifest, "--namespace="+namespace, "create", "-o", "name", "-f", "-")), "job.batch/")
	kubetest.Eventually(s.t, patience, "the backup", func(ctx context.Context) error {
		job, err := s.cluster.Client.BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && job.Status.Succeeded != 1 {
			err = fmt.Errorf("%+v", job.Status)
		}
		return err
	})
	now := metav1.DeletePropagationBackground
	require.NoError(s.t, s.cluster.Client.BatchV1().Jobs(namespace).Delete(s.t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &now}))
}
