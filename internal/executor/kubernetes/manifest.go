package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/executor"
)

// Labels and annotations of what this package makes.
const (
	labelExecutor = "llmctl.studio/executor" // the installation's key
	labelNodeRun  = "llmctl.studio/node-run"
	labelAttempt  = "llmctl.studio/attempt"
	labelKind     = "llmctl.studio/kind"
	labelClass    = "llmctl.studio/image-class"
	annIdentity   = "llmctl.studio/workspace-identity"
	annToken      = "llmctl.studio/token-id" //nolint:gosec // a name, and its value is a hash's beginning
	labelJobName  = "batch.kubernetes.io/job-name"
	labelJobUID   = "batch.kubernetes.io/controller-uid"
	containerName = "node"
)

// How Argo CD knows what belongs to an application, and leaves out what is no part
// of its manifests.
const (
	labelArgoCD     = "app.kubernetes.io/instance"
	annArgoCD       = "argocd.argoproj.io/tracking-id"
	annArgoExtra    = "argocd.argoproj.io/compare-options"
	annArgoSync     = "argocd.argoproj.io/sync-options"
	ignoreExtra     = "IgnoreExtraneous"
	doNotPrune      = "Prune=false"
	gpuResource     = "nvidia.com/gpu"
	executorUID     = 65532
	workspace       = "/workspace"
	secretsDir      = "/run/llmctl/secrets" //nolint:gosec // a path
	tokenKey        = "token"               //nolint:gosec // a name
	readyKey        = "ready"
	secretPrefix    = "secret."
	deadlineMargin  = 2 * time.Minute
	terminationPath = "/dev/termination-log"
)

// identityKey is what an installation's identity is in names and labels.
func identityKey(identity string) string {
	sum := sha256.Sum256([]byte("llmctl workspace identity\x00" + identity))
	return hex.EncodeToString(sum[:5])
}

// jobName names the Job of an attempt, its Secret and its pods. 51 characters at
// most, so that the suffix of a pod's name still fits.
func jobName(identity string, nodeRunID int64, attempt int32) string {
	return fmt.Sprintf("llmctl-exec-%d-%d-%s", nodeRunID, attempt, identityKey(identity))
}

// order is what a Job is made of.
type order struct {
	settings  *Settings
	ref       Ref
	kind      string
	class     string
	resources nodeResources
	token     string
	secrets   map[string]string
	timeout   time.Duration
}

func (o *order) name() string { return jobName(o.settings.Identity, o.ref.NodeRunID, o.ref.Attempt) }

// tokenID is how a Job shows which token its Secret holds, and gives nothing away.
func (o *order) tokenID() string { return hex.EncodeToString(tokenHash(o.token)[:8]) }

func tokenHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

func (o *order) labels() map[string]string {
	l := map[string]string{
		labelExecutor: identityKey(o.settings.Identity), labelNodeRun: strconv.FormatInt(o.ref.NodeRunID, 10),
		labelAttempt: strconv.Itoa(int(o.ref.Attempt)), labelKind: o.kind, labelClass: o.class,
		"app.kubernetes.io/name": "llmctl-executor", "app.kubernetes.io/managed-by": "llmctl-studio",
	}
	if o.settings.ArgoCDApp != "" {
		l[labelArgoCD] = o.settings.ArgoCDApp
	}
	return l
}

func (o *order) annotations(group, kind string) map[string]string {
	a := map[string]string{annIdentity: o.settings.Identity, annToken: o.tokenID()}
	if app := o.settings.ArgoCDApp; app != "" {
		a[annArgoCD] = fmt.Sprintf("%s:%s/%s:%s/%s", app, group, kind, o.settings.Namespace, o.name())
		a[annArgoExtra], a[annArgoSync] = ignoreExtra, doNotPrune
	}
	return a
}

// job is the manifest of the attempt's Job.
func (o *order) job() *batchv1.Job {
	s := o.settings
	deadline := int64(math.Ceil((s.DispatchTimeout + o.timeout + s.CancelGrace + deadlineMargin).Seconds()))
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: o.name(), Namespace: s.Namespace, Labels: o.labels(), Annotations: o.annotations("batch", "Job")},
		Spec: batchv1.JobSpec{
			BackoffLimit: new(int32(0)), Completions: new(int32(1)), Parallelism: new(int32(1)),
			ActiveDeadlineSeconds: &deadline, TTLSecondsAfterFinished: new(int32(s.JobTTL.Seconds())),
			// Only a pod that has ended may be followed by another; and with the limit of 0 none is.
			PodReplacementPolicy: new(batchv1.Failed),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: o.labels()},
				Spec:       o.podSpec(),
			},
		},
	}
}

func (o *order) podSpec() corev1.PodSpec {
	s := o.settings
	spec := corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, ServiceAccountName: s.ServiceAccount,
		AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
		TerminationGracePeriodSeconds: new(int64(math.Ceil(s.CancelGrace.Seconds()))),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(executorUID)), RunAsGroup: new(int64(executorUID)), FSGroup: new(int64(executorUID)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{o.container()},
		Volumes: []corev1.Volume{
			{Name: "workspace", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "secrets", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
				SecretName: o.name(), DefaultMode: new(int32(0o440)), Items: o.mounted(),
			}}},
		},
	}
	for _, name := range s.PullSecrets {
		spec.ImagePullSecrets = append(spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	if s.LiveCodePath != "" {
		kind := corev1.HostPathDirectory
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: "live-code", VolumeSource: corev1.VolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: s.LiveCodePath, Type: &kind},
		}})
	}
	return spec
}

func (o *order) container() corev1.Container {
	c := corev1.Container{
		Name: containerName, Image: o.image(), Args: []string{"executor", "--script-nodes=" + strconv.FormatBool(o.settings.ScriptNodes)},
		WorkingDir: workspace, Env: o.env(), Resources: o.requirements(),
		TerminationMessagePath: terminationPath, TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Privileged: new(false),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "workspace", MountPath: workspace},
			{Name: "secrets", MountPath: secretsDir, ReadOnly: true},
		},
	}
	if o.settings.LiveCodePath != "" {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "live-code", MountPath: "/app/live-code", ReadOnly: true})
	}
	return c
}

// env is all of the container's environment; nothing is copied from this process.
func (o *order) env() []corev1.EnvVar {
	return []corev1.EnvVar{
		{Name: "LLMCTL_EXECUTOR_API_URL", Value: o.settings.APIURL},
		{Name: "LLMCTL_EXECUTOR_TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: o.name()}, Key: tokenKey,
		}}},
		{Name: "LLMCTL_EXECUTOR_POD_UID", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.uid"}}},
		{Name: "LLMCTL_EXECUTOR_SECRETS_DIR", Value: secretsDir},
		{Name: "LLMCTL_STUDIO_WORKSPACE", Value: workspace},
		{Name: "WORKSPACE_PATH", Value: workspace},
		{Name: "HOME", Value: workspace},
		{Name: "TMPDIR", Value: workspace},
	}
}

func (o *order) image() string {
	if o.class == ClassVLLM {
		return o.settings.VLLMImage
	}
	return o.settings.FrontierImage
}

// requirements: what the node asks for is both requested and its limit.
func (o *order) requirements() corev1.ResourceRequirements {
	requests, limits := corev1.ResourceList{}, corev1.ResourceList{}
	amount := func(name corev1.ResourceName, own, request, limit string) {
		if own != "" {
			request, limit = own, own
		}
		for _, a := range []struct {
			to   corev1.ResourceList
			text string
		}{{requests, request}, {limits, limit}} {
			if q, err := resource.ParseQuantity(a.text); err == nil {
				a.to[name] = q
			}
		}
	}
	s := o.settings
	amount(corev1.ResourceCPU, o.resources.CPU, s.Requests.CPU, s.Limits.CPU)
	amount(corev1.ResourceMemory, o.resources.Memory, s.Requests.Memory, s.Limits.Memory)
	gpus := s.GPULimit
	if o.resources.GPU != nil {
		gpus = *o.resources.GPU
	}
	if gpus > 0 {
		limits[gpuResource] = *resource.NewQuantity(int64(gpus), resource.DecimalSI)
	}
	return corev1.ResourceRequirements{Requests: requests, Limits: limits}
}

// secret is the manifest of what only this attempt's pod may know. It goes with its
// Job.
func (o *order) secret(job *batchv1.Job) *corev1.Secret {
	data := map[string][]byte{tokenKey: []byte(o.token)}
	data[readyKey] = nil
	for name, value := range o.secrets {
		data[secretPrefix+name] = []byte(value)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: o.name(), Namespace: o.settings.Namespace, Labels: o.labels(), Annotations: o.annotations("", "Secret"),
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID,
			}},
		},
		Immutable: new(true), Type: corev1.SecretTypeOpaque, Data: data,
	}
}

// mounted are the Secret's keys that become files: the node's secrets, but not the
// token, which goes into the environment, where nothing else that runs in the pod sees
// it. One key is always there, so that the pod waits for the Secret by its mount, which
// is tried again sooner than anything else.
func (o *order) mounted() []corev1.KeyToPath {
	out := []corev1.KeyToPath{{Key: readyKey, Path: "." + readyKey}}
	for _, name := range slices.Sorted(maps.Keys(o.secrets)) {
		out = append(out, corev1.KeyToPath{Key: secretPrefix + name, Path: name})
	}
	return out
}

// secretName is what a secret of a node may be called, since it becomes a file.
var secretName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

func (o *order) check() error {
	for name := range o.secrets {
		if !secretName.MatchString(name) {
			return fmt.Errorf("its secret %q has a name that cannot be a file's", name)
		}
	}
	return nil
}

// timeoutOf is how long an attempt may run after its start.
func timeoutOf(p executor.Payload, s *Settings) time.Duration {
	if p.Limits.TimeoutSeconds > 0 {
		return time.Duration(p.Limits.TimeoutSeconds * float64(time.Second))
	}
	return s.Timeout
}

// keyOf is the installation's key in a Job's name.
func keyOf(job string) string { return job[strings.LastIndexByte(job, '-')+1:] }
