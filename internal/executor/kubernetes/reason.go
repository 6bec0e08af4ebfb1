package kubernetes

import (
	"cmp"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/llmctl/studio/internal/executor"
)

// The codes of attempts that ended without a result of their pod.
const (
	CodeOutOfMemory   = executor.CodeOutOfMemory
	CodeImage         = "image_pull"
	CodeUnschedulable = "unschedulable"
	CodeEvicted       = "evicted"
	CodePreempted     = "preempted"
	CodeNodeLost      = "node_lost"
	CodeDeadline      = "deadline"
	CodeJobGone       = "job_gone"
	CodePodStart      = "pod_start"
	CodeQuota         = "quota_exceeded"
	CodeForbidden     = "kubernetes_forbidden"
	CodeRefused       = "kubernetes_refused"
	CodeDispatch      = "dispatch"
	CodeStartTimeout  = "dispatch_timeout"
)

// reasonOOM is the kubelet's word for a container that was ended for want of memory.
const reasonOOM = "OOMKilled"

// maxForeign bounds texts of the cluster within our sentences.
const maxForeign = 500

func foreign(s string) string {
	s = strings.TrimSpace(executor.CleanText(strings.Join(strings.Fields(s), " ")))
	if len(s) > maxForeign {
		s = strings.ToValidUTF8(s[:maxForeign], "") + "…"
	}
	return strings.TrimRight(s, ".")
}

// ended reports whether a pod's container will never run again, for all that its
// machine has said.
func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// over reports whether nothing of an attempt's Job runs or ever will.
func (s seen) over() bool {
	for _, p := range s.pods {
		if !ended(p) {
			return false
		}
	}
	// With a backoff limit of 0 no pod follows the first.
	return s.job == nil || jobEnded(s.job) || len(s.pods) > 0
}

func jobEnded(j *batchv1.Job) bool {
	c := jobCondition(j)
	return c != nil && c.Type != batchv1.JobFailureTarget
}

// jobCondition is how a Job ended; nil: it has not. One that is going to fail has
// said why already.
func jobCondition(j *batchv1.Job) *batchv1.JobCondition {
	for _, kind := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed, batchv1.JobFailureTarget} {
		for i := range j.Status.Conditions {
			if c := &j.Status.Conditions[i]; c.Type == kind && c.Status == corev1.ConditionTrue {
				return c
			}
		}
	}
	return nil
}

// pod is the one that tells most: one that ran before one that never did.
func (s seen) pod() *corev1.Pod {
	var best *corev1.Pod
	for _, p := range s.pods {
		if best == nil || container(best) == nil && container(p) != nil || ended(p) && !ended(best) {
			best = p
		}
	}
	return best
}

func container(p *corev1.Pod) *corev1.ContainerStatus {
	for i := range p.Status.ContainerStatuses {
		if p.Status.ContainerStatuses[i].Name == containerName {
			return &p.Status.ContainerStatuses[i]
		}
	}
	return nil
}

func condition(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// terminal says for people why an attempt has no result, from what is left of its Job.
func (s seen) terminal() executor.Result {
	p := s.pod()
	var res executor.Result
	switch {
	case p != nil:
		res = podReason(p, s.job)
	case s.job != nil:
		res = jobReason(s.job)
	default:
		res = jobGone()
	}
	return res.WithDetails(s.details())
}

func jobGone() executor.Result {
	return executor.Failure(CodeJobGone, "The Job of this node is gone from the cluster before it had a result: somebody, or something, deleted it.", true)
}

func jobReason(j *batchv1.Job) executor.Result {
	c := jobCondition(j)
	switch {
	case c == nil:
		return executor.Failure(executor.CodeInfra, "The pod of this node vanished without a result.", true)
	case c.Reason == batchv1.JobReasonDeadlineExceeded:
		return deadline()
	case c.Type == batchv1.JobComplete:
		return executor.Failure(executor.CodeInfra, "The Job of this node completed, but no result arrived.", true)
	}
	return executor.Failuref(executor.CodeInfra, true, "The Job of this node failed (%s: %s).", cmp.Or(c.Reason, "no reason"), foreign(c.Message))
}

func deadline() executor.Result {
	return executor.Failure(CodeDeadline, "The node's Job was ended by its deadline (DeadlineExceeded): it was neither started nor finished in time, and nobody watched it.", true)
}

// podReason is why a pod has no result.
func podReason(p *corev1.Pod, j *batchv1.Job) executor.Result {
	if j != nil {
		if c := jobCondition(j); c != nil && c.Reason == batchv1.JobReasonDeadlineExceeded {
			return deadline()
		}
	}
	if res, ok := disrupted(p); ok {
		return res
	}
	c := container(p)
	oom := c != nil && c.State.Terminated != nil && c.State.Terminated.Reason == reasonOOM
	if p.DeletionTimestamp != nil && !oom {
		if j == nil {
			return jobGone()
		}
		return executor.Failure(CodeJobGone, "The pod of this node was deleted before it had a result: somebody, or something, deleted it.", true)
	}
	if c != nil && c.State.Terminated != nil {
		return terminated(p, c.State.Terminated)
	}
	switch p.Status.Reason {
	case "Evicted":
		return executor.Failuref(CodeEvicted, true, "The pod of this node was evicted by its machine: %s.", foreign(p.Status.Message))
	case "DeadlineExceeded":
		return deadline()
	case "NodeLost", "NodeShutdown", "Terminated":
		return executor.Failuref(CodeNodeLost, true, "The machine %s, on which the node ran, went down: %s.", p.Spec.NodeName, cmp.Or(foreign(p.Status.Message), p.Status.Reason))
	case "":
	default:
		return executor.Failuref(CodePodStart, true, "The pod of this node was refused by its machine (%s): %s.", p.Status.Reason, foreign(p.Status.Message))
	}
	if w := waits(p); w != "" {
		return executor.Failure(CodePodStart, "The pod of this node ended before it started. It "+w+".", true)
	}
	return executor.Failure(executor.CodeInfra, "The pod of this node ended without a result.", true)
}

// disrupted is what the cluster itself did to a pod.
func disrupted(p *corev1.Pod) (executor.Result, bool) {
	d := condition(p, corev1.DisruptionTarget)
	if d == nil || d.Status != corev1.ConditionTrue {
		return executor.Result{}, false
	}
	switch d.Reason {
	case corev1.PodReasonPreemptionByScheduler:
		return executor.Failuref(CodePreempted, true, "The pod of this node had to make room for one of a higher priority (preemption): %s.", foreign(d.Message)), true
	case "DeletionByTaintManager":
		return executor.Failuref(CodeNodeLost, true, "The machine %s, on which the node ran, is lost or closed to pods: %s.", p.Spec.NodeName, foreign(d.Message)), true
	case "DeletionByPodGC":
		return executor.Failuref(CodeNodeLost, true, "The machine %s, on which the node ran, is no part of the cluster any more.", p.Spec.NodeName), true
	}
	// Evicted through the API (a drain) or by its machine, for want of memory or disk.
	return executor.Failuref(CodeEvicted, true, "The pod of this node was evicted from its machine (%s): %s.", d.Reason, cmp.Or(foreign(p.Status.Message), foreign(d.Message))), true
}

func terminated(p *corev1.Pod, t *corev1.ContainerStateTerminated) executor.Result {
	switch t.Reason {
	case reasonOOM:
		return outOfMemory(p)
	case "ContainerStatusUnknown":
		return executor.Failuref(CodeNodeLost, true, "The machine %s, on which the node ran, lost its pod: %s.", p.Spec.NodeName, foreign(t.Message))
	case "StartError", "ContainerCannotRun":
		return executor.Failuref(CodePodStart, false, "The program of the image cannot be started: %s.", foreign(t.Message))
	}
	if t.Signal != 0 {
		return executor.Failuref(executor.CodeInfra, true, "The pod of this node was ended by signal %d and left no result.", t.Signal)
	}
	said := ""
	if t.Message != "" {
		said = " Last it said: " + foreign(t.Message) + "."
	}
	return executor.Failuref(executor.CodeInfra, true, "The pod of this node ended with exit code %d and left no result.%s", t.ExitCode, said)
}

func outOfMemory(p *corev1.Pod) executor.Result {
	limit := int64(0)
	if len(p.Spec.Containers) > 0 {
		if q, ok := p.Spec.Containers[0].Resources.Limits[corev1.ResourceMemory]; ok {
			limit = q.Value()
		}
	}
	return executor.OutOfMemory(limit)
}

// details are for whoever has to look closer.
func (s seen) details() map[string]any {
	d := map[string]any{}
	if s.job != nil {
		d["job"] = s.job.Namespace + "/" + s.job.Name
		if c := jobCondition(s.job); c != nil {
			d["job_condition"] = map[string]any{"type": string(c.Type), "reason": c.Reason, "message": foreign(c.Message)}
		}
	}
	p := s.pod()
	if p == nil {
		return d
	}
	d["pod"], d["machine"], d["phase"] = p.Name, p.Spec.NodeName, string(p.Status.Phase)
	if p.Status.Reason != "" {
		d["pod_reason"], d["pod_message"] = p.Status.Reason, foreign(p.Status.Message)
	}
	if c := container(p); c != nil && c.State.Terminated != nil {
		t := c.State.Terminated
		d["container"] = map[string]any{"reason": t.Reason, "exit_code": t.ExitCode, "signal": t.Signal, "message": foreign(t.Message)}
	}
	return d
}

// waits says what a pod waits for, as the rest of a sentence about it; "": nothing
// that is worth saying.
func waits(p *corev1.Pod) string {
	if c := condition(p, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse {
		if c.Reason == corev1.PodReasonSchedulingGated {
			return "is held back by a scheduling gate"
		}
		return "finds no machine: " + foreign(c.Message)
	}
	c := container(p)
	if c == nil || c.State.Waiting == nil {
		return ""
	}
	w := c.State.Waiting
	switch w.Reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed":
		return "cannot get its image " + c.Image + " (" + w.Reason + "): " + foreign(w.Message)
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		return "cannot be set up (" + w.Reason + "): " + foreign(w.Message)
	}
	return ""
}

// waiting says what an attempt that has not started waits for; code is what it fails
// with should it wait for too long.
func (s seen) waiting() (sentence, code string) {
	p := s.pod()
	if p == nil {
		return "", CodeStartTimeout
	}
	w := waits(p)
	switch {
	case w == "":
		return "", CodeStartTimeout
	case strings.HasPrefix(w, "finds no machine"), strings.HasPrefix(w, "is held back"):
		code = CodeUnschedulable
	case strings.HasPrefix(w, "cannot get its image"):
		code = CodeImage
	default:
		code = CodePodStart
	}
	return "The pod " + w + ".", code
}

// hopeless reports whether what a pod waits for will not come by waiting.
func hopeless(p *corev1.Pod) bool {
	c := container(p)
	if c == nil || c.State.Waiting == nil {
		return false
	}
	switch c.State.Waiting.Reason {
	case "InvalidImageName", "ErrImageNeverPull":
		return true
	}
	return false
}

// startTimeout is the end of an attempt that did not start in time.
func (s seen) startTimeout(limit time.Duration) executor.Result {
	sentence, code := s.waiting()
	if sentence == "" {
		sentence = "Its pod has not reported that it runs."
		if s.job != nil && s.pod() == nil {
			sentence = "The cluster has made no pod for its Job."
		}
	}
	return executor.Failuref(code, true, "The node did not start within %s. %s", limit, sentence).WithDetails(s.details())
}
