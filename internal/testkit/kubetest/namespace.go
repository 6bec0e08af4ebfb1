package kubetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Namespace makes a namespace for a test and waits until pods can be made in it. labels
// are pairs, such as "pod-security.kubernetes.io/enforce", "restricted". At the end it is
// removed; if the test has failed, what its pods said is shown first.
func (c *Cluster) Namespace(tb testing.TB, labels ...string) string {
	tb.Helper()
	name := "llmctl-test-" + strings.ToLower(uuid.NewString()[:8])
	c.MakeNamespace(tb, name, labels...)
	return name
}

// MakeNamespace is Namespace with a name that the test has chosen.
func (c *Cluster) MakeNamespace(tb testing.TB, name string, labels ...string) {
	tb.Helper()
	require.Zero(tb, len(labels)%2, "labels are pairs")
	set := map[string]string{}
	for i := 0; i < len(labels); i += 2 {
		set[labels[i]] = labels[i+1]
	}
	_, err := c.Client.CoreV1().Namespaces().Create(tb.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: set}}, metav1.CreateOptions{})
	require.NoError(tb, err, "make namespace %s", name)
	tb.Cleanup(func() { c.leave(tb, name) })
	Eventually(tb, patience, "the service account of "+name, func(ctx context.Context) error {
		_, err := c.Client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// leave shows what can explain a failure and removes the namespace.
func (c *Cluster) leave(tb testing.TB, namespace string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), time.Minute)
	defer cancel()
	if tb.Failed() {
		tb.Log(c.Report(ctx, namespace))
	}
	now := int64(0)
	if err := c.Client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		tb.Logf("remove namespace %s: %v", namespace, err)
	}
}

// logLines is how much of each container's log a report shows.
const logLines = 60

// Report tells what happened in a namespace: the state of each pod, the end of each
// container's log, and the cluster's warnings.
func (c *Cluster) Report(ctx context.Context, namespace string) string {
	var out strings.Builder
	pods, err := c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Sprintf("namespace %s cannot be asked: %v", namespace, err)
	}
	for i := range pods.Items {
		c.reportPod(ctx, &out, &pods.Items[i])
	}
	events, err := c.Client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "type=Warning"})
	if err != nil {
		return out.String()
	}
	for i := range events.Items {
		e := &events.Items[i]
		fmt.Fprintf(&out, "warning: %s %s: %s: %s\n", e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
	}
	return out.String()
}

func (c *Cluster) reportPod(ctx context.Context, out *strings.Builder, pod *corev1.Pod) {
	fmt.Fprintf(out, "---- pod %s: %s %s %s\n", pod.Name, pod.Status.Phase, pod.Status.Reason, pod.Status.Message)
	for _, s := range append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
		fmt.Fprintf(out, "-- %s (%s): ready %t, %d restarts, %s\n", s.Name, s.Image, s.Ready, s.RestartCount, state(s))
		for _, previous := range []bool{true, false} {
			if previous && s.RestartCount == 0 {
				continue
			}
			text, err := c.Log(ctx, pod.Namespace, pod.Name, s.Name, previous)
			if err == nil && text != "" {
				out.WriteString(text + "\n")
			}
		}
	}
}

func state(s corev1.ContainerStatus) string {
	switch {
	case s.State.Waiting != nil:
		return "waits: " + s.State.Waiting.Reason + " " + s.State.Waiting.Message
	case s.State.Terminated != nil:
		return fmt.Sprintf("ended: %s, exit code %d %s", s.State.Terminated.Reason, s.State.Terminated.ExitCode, s.State.Terminated.Message)
	}
	return "runs"
}

// Log is the end of a container's log.
func (c *Cluster) Log(ctx context.Context, namespace, pod, container string, previous bool) (string, error) {
	lines := int64(logLines)
	stream, err := c.Client.CoreV1().Pods(namespace).GetLogs(pod,
		&corev1.PodLogOptions{Container: container, TailLines: &lines, Previous: previous}).Stream(ctx)
	if err != nil {
		return "", err
	}
	defer closeQuietly(stream)
	text, err := io.ReadAll(stream)
	return strings.TrimSpace(string(text)), err
}

// NoPods waits until no pod with these labels is left in a namespace.
func (c *Cluster) NoPods(tb testing.TB, namespace, selector string) {
	tb.Helper()
	Eventually(tb, patience, "the end of the pods with "+selector, func(ctx context.Context) error {
		pods, err := c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		var left []error
		for i := range pods.Items {
			left = append(left, fmt.Errorf("pod %s is %s", pods.Items[i].Name, pods.Items[i].Status.Phase))
		}
		return errors.Join(left...)
	})
}
