package kubetest_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m)) }

// busybox is the image that the rig always has.
const busybox = "localhost/busybox:1"

func pod(name, script string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"test": "kubetest"}},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "main", Image: busybox, Command: []string{"sh", "-c", script}}},
		},
	}
}

func await(t *testing.T, c *kubetest.Cluster, namespace, name string, phase corev1.PodPhase) {
	t.Helper()
	kubetest.Eventually(t, time.Minute, "pod "+name, func(ctx context.Context) error {
		p, err := c.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if p.Status.Phase != phase {
			return errors.New("it is " + string(p.Status.Phase))
		}
		return nil
	})
}

func TestPodsRunAndTheirLogsComeBack(t *testing.T) {
	t.Parallel()
	c := kubetest.Rig(t, "its busybox image")
	namespace := c.Namespace(t)
	_, err := c.Client.CoreV1().Pods(namespace).Create(t.Context(), pod("speaks", "echo hello; exit 3"), metav1.CreateOptions{})
	require.NoError(t, err)
	await(t, c, namespace, "speaks", corev1.PodFailed)
	report := c.Report(t.Context(), namespace)
	require.Contains(t, report, "hello")
	require.Contains(t, report, "exit code 3")
	require.NoError(t, c.Client.CoreV1().Pods(namespace).Delete(t.Context(), "speaks", metav1.DeleteOptions{}))
	c.NoPods(t, namespace, "test=kubetest")
}

func TestStrictValidationNamesAnUnknownField(t *testing.T) {
	t.Parallel()
	c := kubetest.Get(t)
	out, err := c.TryKubectl(t, `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dta": {"a": "b"}}`,
		"apply", "--dry-run=server", "--validate=strict", "-f", "-")
	require.Error(t, err)
	require.Contains(t, out, `unknown field "dta"`)
}

// Not parallel: it harms the cluster.
func TestDaemonsCanBeKilledAndStartedAgain(t *testing.T) { //nolint:paralleltest // see above
	c := kubetest.Rig(t, "its daemons can be killed")
	namespace := c.Namespace(t)
	api := c.Daemon(t, "apiserver")
	api.Kill(t)
	_, err := c.Client.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
	require.Error(t, err, "nobody answers")
	api.Start(t)
	c.AwaitAPI(t)
	_, err = c.Client.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
	require.NoError(t, err)

	before := time.Now()
	c.Daemon(t, "kubelet").Restart(t)
	c.AwaitNode(t, before)
	_, err = c.Client.CoreV1().Pods(namespace).Create(t.Context(), pod("after", "exit 0"), metav1.CreateOptions{})
	require.NoError(t, err)
	await(t, c, namespace, "after", corev1.PodSucceeded)
}
