package kubernetes_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/executor/kubernetes"
	"github.com/llmctl/studio/internal/testkit/kubetest"
	"github.com/llmctl/studio/internal/testkit/podtest"
)

func TestAPodReportsAFiveMegabyteResultAndItsLogIsKept(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	e, worker := d.worker(t)
	row := d.run(d.within(t, time.Minute), e, worker, payload(t, 1, map[string]any{"output": 5 << 20, "say": []string{"hello", "world"}}))
	require.NotNil(t, row.Result)
	require.Equal(t, executor.Succeeded, row.Result.Status)
	require.Equal(t, "pod", row.By)
	require.Equal(t, 1, row.Starts)
	require.Equal(t, kubernetes.DispatchConfirmed, row.Dispatch)
	var out struct{ Text, Secret string }
	require.NoError(t, json.Unmarshal(row.Result.OutputState, &out))
	require.Len(t, out.Text, 5<<20)
	require.Equal(t, "sk-of-this-node", out.Secret)
	require.NotContains(t, string(row.Payload), "sk-of-this-node", "secrets are not stored with the payload")
	require.True(t, d.Await(d.within(t, 20*time.Second), 1, 1, func(r podtest.Row) bool { return strings.Count(r.Log, "\n") == 2 }), "the log: %q", d.Row(1, 1).Log)
	lines := strings.Split(strings.TrimSpace(d.Row(1, 1).Log), "\n")
	require.True(t, strings.HasSuffix(lines[0], " hello") && strings.HasSuffix(lines[1], " world"), "%q", lines)
	kubetest.Eventually(t, 20*time.Second, "the Secret to be removed", func(ctx context.Context) error {
		s, err := d.cluster.Client.CoreV1().Secrets(d.namespace).List(ctx, metav1.ListOptions{LabelSelector: "llmctl.studio/node-run=1"})
		if err != nil || len(s.Items) == 0 {
			return err
		}
		return &stillThereError{s.Items[0].Name, "there"}
	})
}

func TestANodeThatNeedsMoreMemoryThanItsLimitSaysSo(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	e, worker := d.worker(t)
	row := d.run(d.within(t, time.Minute), e, worker, payload(t, 1, map[string]any{"memory": 2048, "resources": map[string]any{"memory": "256Mi"}}))
	require.Equal(t, "holder", row.By)
	require.Equal(t, kubernetes.CodeOutOfMemory, row.Result.Error.Code)
	require.Equal(t, "The node needed more memory than its limit of 256 MiB and was ended (OOMKilled). Raise resources.memory of the node, or the default in the settings.", row.Result.Error.Message)
	require.False(t, row.Result.Error.Retryable)
}

func TestAnImageThatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	d.settings.FrontierImage, d.settings.DispatchTimeout = "localhost/no-such-image:1", 15*time.Second
	e, worker := d.worker(t)
	row := d.run(d.within(t, time.Minute), e, worker, payload(t, 1, nil))
	require.Equal(t, "giveup", row.By)
	require.Equal(t, kubernetes.CodeImage, row.Result.Error.Code)
	require.Contains(t, row.Result.Error.Message, "localhost/no-such-image:1")
	require.NotEmpty(t, row.Notes, "it said what it waits for while it waited")
	require.Contains(t, row.Notes[0], "The pod cannot get its image localhost/no-such-image:1")
	d.quiet(t)
	d.noJobs(t)
}

func TestANodeThatNoMachineHasRoomForSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	d.settings.DispatchTimeout = 10 * time.Second
	e, worker := d.worker(t)
	row := d.run(d.within(t, time.Minute), e, worker, payload(t, 1, map[string]any{"resources": map[string]any{"cpu": "200"}}))
	require.Equal(t, kubernetes.CodeUnschedulable, row.Result.Error.Code)
	require.Contains(t, row.Result.Error.Message, "Insufficient cpu")
	d.noJobs(t)
}

func TestCancelEndsAProcessThatIgnoresTheSignal(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	e, worker := d.worker(t)
	ctx, cancel := context.WithCancelCause(d.within(t, time.Minute))
	go func() {
		d.Await(ctx, 1, 1, func(r podtest.Row) bool { return r.StartedAt != nil })
		cancel(executor.ErrCancelled)
	}()
	began := time.Now()
	row := d.run(ctx, e, worker, payload(t, 1, map[string]any{"hang": true, "ignore": true}))
	require.Equal(t, "holder", row.By)
	require.Equal(t, executor.Cancelled, row.Result.Status)
	require.Equal(t, "The node was cancelled.", row.Result.Error.Message, "its machine confirmed it")
	t.Logf("cancelled after %s", time.Since(began).Round(time.Millisecond))
	for _, p := range d.pods(t) {
		require.Contains(t, []corev1.PodPhase{corev1.PodFailed, corev1.PodSucceeded}, p.Status.Phase, "nothing runs when the cancel is confirmed")
	}
	d.noJobs(t)
}

func TestCancelBeforeTheStartLetsNoPodIn(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	e, worker := d.worker(t)
	ctx, cancel := context.WithCancelCause(d.within(t, time.Minute))
	go func() {
		d.Await(ctx, 1, 1, func(r podtest.Row) bool { return r.Dispatch == kubernetes.DispatchSubmitted })
		cancel(executor.ErrCancelled)
	}()
	row := d.run(ctx, e, worker, payload(t, 1, map[string]any{"no_hi": true}))
	require.Equal(t, "giveup", row.By)
	require.Equal(t, executor.Cancelled, row.Result.Status)
	require.Zero(t, row.Starts)
	d.noJobs(t)
	d.quiet(t)
}

func TestANodeThatRunsTooLongIsEnded(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	e, worker := d.worker(t)
	p := payload(t, 1, map[string]any{"hang": true})
	p.Limits.TimeoutSeconds = 3
	row := d.run(d.within(t, time.Minute), e, worker, p)
	require.Equal(t, executor.TimedOut, row.Result.Status)
	require.Equal(t, "The node did not finish within its 3s.", row.Result.Error.Message)
	d.noJobs(t)
	d.quiet(t)
}

func TestAPodThatEndsWithoutAResultSaysHow(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	e, worker := d.worker(t)
	row := d.run(d.within(t, time.Minute), e, worker, payload(t, 1, map[string]any{"exit": 7, "say": []string{"the last words"}}))
	require.Equal(t, executor.CodeInfra, row.Result.Error.Code)
	require.Contains(t, row.Result.Error.Message, "exit code 7")
	require.Contains(t, row.Result.Error.Message, "the last words")
	require.True(t, row.Result.Error.Retryable)
}

func TestAWorkerThatIsStoppedIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	first, worker := d.worker(t)
	ctx, stop := context.WithCancelCause(d.within(t, 2*time.Minute))
	go func() {
		d.Await(ctx, 1, 1, func(r podtest.Row) bool { return r.StartedAt != nil })
		stop(executor.ErrLetGo)
	}()
	row := d.run(ctx, first, worker, payload(t, 1, map[string]any{"wait_ms": 4000, "say": []string{"one", "two"}}))
	require.True(t, row.Open, "it is let go, not ended")

	second, heir := d.worker(t)
	d.Adopt(1, 1, heir)
	res := second.Attach(d.within(t, time.Minute), 1, 1, nil)
	require.True(t, res.Settled)
	row = d.Row(1, 1)
	require.Equal(t, "pod", row.By)
	require.Equal(t, executor.Succeeded, row.Result.Status)
	require.Equal(t, 1, row.Starts)
	require.Len(t, d.pods(t), 1)
	require.True(t, d.Await(d.within(t, 20*time.Second), 1, 1, func(r podtest.Row) bool { return strings.Count(r.Log, "\n") >= 2 }))
	require.Equal(t, 2, strings.Count(d.Row(1, 1).Log, "\n"), "no line is there twice")
}

func TestAnEvictedPodSaysSo(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	e, worker := d.worker(t)
	ctx := d.within(t, time.Minute)
	go func() {
		d.Await(ctx, 1, 1, func(r podtest.Row) bool { return r.StartedAt != nil })
		pods, err := d.cluster.Client.CoreV1().Pods(d.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return // then the attempt does not end as is waited for
		}
		for i := range pods.Items {
			_ = d.cluster.Client.CoreV1().Pods(d.namespace).EvictV1(ctx, eviction(pods.Items[i].Name, d.namespace))
		}
	}()
	row := d.run(ctx, e, worker, payload(t, 1, map[string]any{"hang": true}))
	require.Equal(t, kubernetes.CodeEvicted, row.Result.Error.Code, row.Result.Error.Message)
	require.Contains(t, row.Result.Error.Message, "evicted")
	require.True(t, row.Result.Error.Retryable)
}

func TestAJobThatSomebodyDeletesSaysSo(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	e, worker := d.worker(t)
	ctx := d.within(t, time.Minute)
	go func() {
		d.Await(ctx, 1, 1, func(r podtest.Row) bool { return r.StartedAt != nil })
		background := metav1.DeletePropagationBackground
		_ = d.cluster.Client.BatchV1().Jobs(d.namespace).DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &background}, metav1.ListOptions{})
	}()
	row := d.run(ctx, e, worker, payload(t, 1, map[string]any{"hang": true}))
	require.Equal(t, executor.Failed, row.Result.Status)
	require.NotEmpty(t, row.Result.Error.Message)
	t.Log(row.Result.Error.Message)
	require.True(t, row.Result.Error.Retryable)
	d.quiet(t)
}

func TestARefusedJobSaysWhy(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	d.cluster.Apply(t, d.namespace, `{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"count/jobs.batch": "0"}}}`)
	kubetest.Eventually(t, time.Minute, "the quota", func(ctx context.Context) error {
		q, err := d.cluster.Client.CoreV1().ResourceQuotas(d.namespace).Get(ctx, "none", metav1.GetOptions{})
		if err == nil && len(q.Status.Hard) == 0 {
			return &stillThereError{"none", "unknown"}
		}
		return err
	})
	e, worker := d.worker(t)
	row := d.run(d.within(t, time.Minute), e, worker, payload(t, 1, nil))
	require.Equal(t, "giveup", row.By)
	require.Equal(t, kubernetes.CodeQuota, row.Result.Error.Code)
	require.Contains(t, row.Result.Error.Message, "exceeded quota")
}

func TestANamespaceThatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	d.settings.Namespace = "no-such-namespace"
	e, worker := d.worker(t)
	row := d.run(d.within(t, time.Minute), e, worker, payload(t, 1, nil))
	require.Equal(t, kubernetes.CodeRefused, row.Result.Error.Code)
	require.Contains(t, row.Result.Error.Message, "no-such-namespace")
}

func (d *dispatching) noJobs(t *testing.T) {
	t.Helper()
	kubetest.Eventually(t, 20*time.Second, "the Job to be removed", func(ctx context.Context) error {
		list, err := d.cluster.Client.BatchV1().Jobs(d.namespace).List(ctx, metav1.ListOptions{})
		if err != nil || len(list.Items) == 0 || apierrors.IsNotFound(err) {
			return err
		}
		return &stillThereError{list.Items[0].Name, "there"}
	})
}
