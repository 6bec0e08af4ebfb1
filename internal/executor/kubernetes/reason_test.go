package kubernetes

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func podThat(change func(p *corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		Spec: corev1.PodSpec{NodeName: "machine-7", Containers: []corev1.Container{{Name: containerName, Resources: corev1.ResourceRequirements{
			Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
		}}}},
		Status: corev1.PodStatus{Phase: corev1.PodFailed},
	}
	change(p)
	return p
}

func ending1(reason, message string, code int32) func(p *corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: containerName, State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{Reason: reason, Message: message, ExitCode: code},
		}}}
	}
}

func disruptedBy(reason, message string) func(p *corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: reason, Message: message}}
	}
}

func waitingFor(reason, message string) func(p *corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodPending
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: containerName, Image: "x:1", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
		}}}
	}
}

func failedJob(reason string) *batchv1.Job {
	return &batchv1.Job{Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: reason, Message: "so it is"}}}}
}

func TestTheEndOfAPodIsOneSentenceForPeople(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		s         seen
		code      string
		sentence  string
		retryable bool
	}{
		"memory": {
			seen{pods: []*corev1.Pod{podThat(ending1("OOMKilled", "", 137))}},
			CodeOutOfMemory,
			"The node needed more memory than its limit of 256 MiB and was ended (OOMKilled). Raise resources.memory of the node, or the default in the settings.", false,
		},
		"exit": {
			seen{pods: []*corev1.Pod{podThat(ending1("Error", "panic: x", 2))}},
			"infra",
			"The pod of this node ended with exit code 2 and left no result. Last it said: panic: x.", true,
		},
		"no program": {
			seen{pods: []*corev1.Pod{podThat(ending1("StartError", `exec: "llmctl": not found`, 128))}},
			CodePodStart,
			`The program of the image cannot be started: exec: "llmctl": not found.`, false,
		},
		"preemption": {
			seen{pods: []*corev1.Pod{podThat(disruptedBy("PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod"))}},
			CodePreempted,
			"The pod of this node had to make room for one of a higher priority (preemption): default-scheduler: preempting to accommodate a higher priority pod.", true,
		},
		"drain": {
			seen{pods: []*corev1.Pod{podThat(disruptedBy("EvictionByEvictionAPI", "Eviction API: evicting"))}},
			CodeEvicted,
			"The pod of this node was evicted from its machine (EvictionByEvictionAPI): Eviction API: evicting.", true,
		},
		"node lost": {
			seen{pods: []*corev1.Pod{podThat(disruptedBy("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"))}},
			CodeNodeLost,
			"The machine machine-7, on which the node ran, is lost or closed to pods: Taint manager: deleting due to NoExecute taint.", true,
		},
		"evicted by its machine": {
			seen{pods: []*corev1.Pod{podThat(func(p *corev1.Pod) {
				p.Status.Reason, p.Status.Message = "Evicted", "The node was low on resource: memory."
			})}},
			CodeEvicted,
			"The pod of this node was evicted by its machine: The node was low on resource: memory.", true,
		},
		"deadline": {
			seen{job: failedJob(batchv1.JobReasonDeadlineExceeded), pods: []*corev1.Pod{podThat(ending1("Error", "", 143))}},
			CodeDeadline,
			"The node's Job was ended by its deadline (DeadlineExceeded): it was neither started nor finished in time, and nobody watched it.", true,
		},
		"gone": {seen{}, CodeJobGone, "The Job of this node is gone from the cluster before it had a result: somebody, or something, deleted it.", true},
		"only the Job": {
			seen{job: failedJob("BackoffLimitExceeded")}, "infra", "The Job of this node failed (BackoffLimitExceeded: so it is).", true,
		},
		"deleted pod": {
			seen{job: failedJob("BackoffLimitExceeded"), pods: []*corev1.Pod{podThat(func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} })}},
			CodeJobGone,
			"The pod of this node was deleted before it had a result: somebody, or something, deleted it.", true,
		},
	} {
		res := c.s.terminal()
		require.Equal(t, c.sentence, res.Error.Message, name)
		require.Equal(t, c.code, res.Error.Code, name)
		require.Equal(t, c.retryable, res.Error.Retryable, name)
	}
}

func TestWhatAPodWaitsForIsSaid(t *testing.T) {
	t.Parallel()
	unschedulable := podThat(func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodPending
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available: 3 Insufficient cpu."}}
	})
	for _, c := range []struct {
		pod      *corev1.Pod
		sentence string
		code     string
		hopeless bool
	}{
		{unschedulable, "The pod finds no machine: 0/3 nodes are available: 3 Insufficient cpu.", CodeUnschedulable, false},
		{podThat(waitingFor("ImagePullBackOff", "back-off pulling")), "The pod cannot get its image x:1 (ImagePullBackOff): back-off pulling.", CodeImage, false},
		{podThat(waitingFor("InvalidImageName", "bad")), "The pod cannot get its image x:1 (InvalidImageName): bad.", CodeImage, true},
		{podThat(waitingFor("CreateContainerConfigError", `secret "x" not found`)), `The pod cannot be set up (CreateContainerConfigError): secret "x" not found.`, CodePodStart, false},
		{podThat(waitingFor("ContainerCreating", "")), "", CodeStartTimeout, false},
	} {
		s := seen{pods: []*corev1.Pod{c.pod}}
		sentence, code := s.waiting()
		require.Equal(t, c.sentence, sentence)
		require.Equal(t, c.code, code)
		require.Equal(t, c.hopeless, hopeless(c.pod))
		require.False(t, s.over())
	}
	res := seen{pods: []*corev1.Pod{unschedulable}}.startTimeout(time.Minute)
	require.Equal(t, "The node did not start within 1m0s. The pod finds no machine: 0/3 nodes are available: 3 Insufficient cpu.", res.Error.Message)
}

func TestARefusalSaysWhatToDo(t *testing.T) {
	t.Parallel()
	jobs := schema.GroupResource{Group: "batch", Resource: "jobs"}
	for _, c := range []struct {
		err      error
		answered bool
		code     string
	}{
		{apierrors.NewForbidden(jobs, "x", errors.New(`User "u" cannot create resource "jobs"`)), true, CodeForbidden},
		{apierrors.NewForbidden(jobs, "x", errors.New("exceeded quota: q, requested: 1")), true, CodeQuota},
		{apierrors.NewForbidden(jobs, "x", errors.New("admission webhook denied the request")), true, CodeRefused},
		{apierrors.NewUnauthorized("no"), true, CodeForbidden},
		{apierrors.NewBadRequest("no"), true, CodeRefused},
		{apierrors.NewInternalError(errors.New("etcd")), false, CodeDispatch},
		{apierrors.NewTooManyRequests("later", 1), false, CodeDispatch},
		{errors.New("connection refused"), false, CodeDispatch},
	} {
		require.Equal(t, c.answered, answered(c.err), "%v", c.err)
		require.Equal(t, c.code, refusal(c.err).Error.Code, "%v", c.err)
	}
}
