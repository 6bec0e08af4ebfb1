package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

// executors selects the pods and Jobs of nodes.
const executors = "app.kubernetes.io/name=llmctl-executor"

// inPods rolls the base's own provider out and runs nodes as Jobs; some of them while
// everything that dispatches and serves is made anew.
func (s *studio) inPods(r release) {
	config := map[string]string{}
	maps.Copy(config, r.config)
	delete(config, "LLMCTL_NODE_EXECUTOR_PROVIDER")
	delete(config, "LLMCTL_STUDIO_SCRIPT_NODES")
	r.config = config
	s.apply(r)
	s.restart()
	// The workers' image has no shell: only a pod of the executor's can do this.
	quick := s.flowchart("script", map[string]any{"script": `echo "{\"by\": \"$(id -u)\"}"`})
	slow := s.flowchart("script", map[string]any{"script": `sleep 20`})
	var ids []int64
	for range 6 {
		ids = append(ids, s.start(quick))
	}
	s.allSucceeded(ids)

	ids = nil
	for range 4 {
		ids = append(ids, s.start(slow))
	}
	kubetest.Eventually(s.t, patience, "the slow nodes", func(ctx context.Context) error {
		list, err := s.cluster.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: executors, FieldSelector: "status.phase=Running"})
		if err == nil && len(list.Items) < len(ids) {
			err = fmt.Errorf("%d run", len(list.Items))
		}
		return err
	})
	s.restart()
	s.allSucceeded(ids)
	require.Len(s.t, s.jobs(), 10, "a Job for each node, and none twice")
	kubetest.Eventually(s.t, patience, "the end of the nodes' pods", func(context.Context) error {
		var left []error
		for _, job := range s.jobs() { //nolint:contextcheck // the test's own
			if job.Status.Active > 0 {
				left = append(left, fmt.Errorf("%s runs", job.Name))
			}
		}
		return errors.Join(left...)
	})
}

// restart makes all pods that serve and work anew, as a changed config map needs.
func (s *studio) restart() {
	s.t.Helper()
	s.cluster.Kubectl(s.t, "", "--namespace="+namespace, "rollout", "restart", "deployment/llmctl-studio-backend", "deployment/llmctl-celery-worker")
	s.deployed()
}

// allSucceeded waits for runs, whose nodes must not have needed a second attempt.
func (s *studio) allSucceeded(ids []int64) {
	s.t.Helper()
	for _, id := range ids {
		got := s.ended(id)
		require.Equal(s.t, "succeeded", got.FlowchartRun.Status, "%+v", got)
		for _, n := range got.NodeRuns {
			require.LessOrEqual(s.t, n.Attempt, 1, "%+v", got)
		}
	}
}

func (s *studio) jobs() []batchv1.Job {
	s.t.Helper()
	list, err := s.cluster.Client.BatchV1().Jobs(namespace).List(s.t.Context(), metav1.ListOptions{LabelSelector: executors})
	require.NoError(s.t, err)
	return list.Items
}
