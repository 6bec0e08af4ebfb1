package settings

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor/kubernetes"
)

// Ranges that are also those of the environment's variables.
const (
	minDispatch, maxDispatch   = 5, 3600
	minExecution, maxExecution = 30, 86400
	minLogs, maxLogs           = 1, 600
	minGrace, maxGrace         = 1, 300
	minTTL, maxTTL             = 60, 86400
	maxPullSecrets             = 16
)

type faults []errs.Detail

func (f *faults) add(name, format string, args ...any) {
	*f = append(*f, errs.Detail{Location: "body." + name, Message: fmt.Sprintf(format, args...)})
}

// check says what cannot be used, and what is accepted instead; with reached also that
// the provider kubernetes has no way to a cluster.
func check(s *Settings, reached bool) error {
	var f faults
	if s.Provider != "inline" && s.Provider != "process" && s.Provider != "kubernetes" {
		f.add("provider", "is %q; accepted are inline, process and kubernetes", s.Provider)
	}
	for _, r := range []struct {
		name      string
		v         int32
		low, high int32
	}{
		{"dispatch_timeout_seconds", s.DispatchTimeoutSeconds, minDispatch, maxDispatch},
		{"execution_timeout_seconds", s.ExecutionTimeoutSeconds, minExecution, maxExecution},
		{"log_collection_timeout_seconds", s.LogCollectionTimeoutSeconds, minLogs, maxLogs},
		{"cancel_grace_timeout_seconds", s.CancelGraceTimeoutSeconds, minGrace, maxGrace},
		{"k8s_job_ttl_seconds", s.K8sJobTTLSeconds, minTTL, maxTTL},
		{"k8s_gpu_limit", s.K8sGPULimit, 0, kubernetes.MaxGPU},
	} {
		if r.v < r.low || r.v > r.high {
			f.add(r.name, "is %d; accepted are %d to %d", r.v, r.low, r.high)
		}
	}
	f.names(s)
	f.images(s)
	f.amounts(s)
	if reached && s.Provider == "kubernetes" && !s.K8sInCluster && !s.Kubeconfig.Set {
		f.add(kubeconfigName, "is needed for the provider kubernetes, unless k8s_in_cluster is true")
	}
	if len(f) > 0 {
		return errs.E(errs.Invalid, "setting.invalid", "The settings cannot be used.", f...)
	}
	if s.Kubeconfig.Set {
		return kubernetes.Kubeconfig{Contexts: s.Kubeconfig.Contexts, Current: s.Kubeconfig.CurrentContext}.Chosen(s.K8sContext)
	}
	return nil
}

func (f *faults) names(s *Settings) {
	if !identity.MatchString(s.WorkspaceIdentityKey) {
		f.add("workspace_identity_key", "is %q; accepted are a letter or digit, then at most 127 of letters, digits and _ . -", s.WorkspaceIdentityKey)
	}
	for name, v := range map[string]string{"k8s_namespace": s.K8sNamespace, "k8s_service_account": s.K8sServiceAccount} {
		if (v != "" || name == "k8s_namespace") && len(validation.IsDNS1123Label(v)) > 0 {
			f.add(name, "is %q; accepted are 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit", v)
		}
	}
	if len(s.K8sImagePullSecrets) > maxPullSecrets {
		f.add("k8s_image_pull_secrets", "are %d; at most %d are accepted", len(s.K8sImagePullSecrets), maxPullSecrets)
	}
	for i, name := range s.K8sImagePullSecrets {
		if len(validation.IsDNS1123Subdomain(name)) > 0 {
			f.add(fmt.Sprintf("k8s_image_pull_secrets[%d]", i), "is %q; accepted is the name of a Secret", name)
		}
	}
	if s.K8sArgoCDAppName != "" && len(validation.IsValidLabelValue(s.K8sArgoCDAppName)) > 0 {
		f.add("k8s_argocd_app_name", "is %q; accepted is the name of an application, or nothing", s.K8sArgoCDAppName)
	}
	if u, err := url.Parse(s.K8sAPIURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil {
		f.add("k8s_api_url", "is %q; accepted is an http or https address of the API with its prefix, such as http://llmctl-studio-backend.llmctl.svc.cluster.local:5155/api", s.K8sAPIURL)
	}
}

var (
	identity  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)
	imageName = regexp.MustCompile(`^[a-z0-9]([a-zA-Z0-9._:/-]*[a-z0-9])?(@sha256:[0-9a-f]{64})?$`)
	imageTag  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

func (f *faults) images(s *Settings) {
	for name, v := range map[string][2]string{
		"k8s_frontier_image": {s.K8sFrontierImage, s.K8sFrontierImageTag}, "k8s_vllm_image": {s.K8sVLLMImage, s.K8sVLLMImageTag},
	} {
		if len(v[0]) > 512 || !imageName.MatchString(v[0]) {
			f.add(name, "is %q; accepted is the name of an image, such as registry.example.com/llmctl-executor-frontier", v[0])
		}
		switch digest := strings.Contains(v[0], "@"); {
		case digest && v[1] != "":
			f.add(name+"_tag", "is %q; the image has a digest, so it must be empty", v[1])
		case !digest && !imageTag.MatchString(v[1]):
			f.add(name+"_tag", "is %q; accepted is a tag, such as 1.4.0", v[1])
		}
	}
}

func (f *faults) amounts(s *Settings) {
	for _, a := range []struct{ name, request, limit, low, high string }{
		{"k8s_cpu", s.K8sCPURequest, s.K8sCPULimit, kubernetes.LowCPU, kubernetes.HighCPU},
		{"k8s_memory", s.K8sMemoryRequest, s.K8sMemoryLimit, kubernetes.LowMemory, kubernetes.HighMemory},
	} {
		sound := true
		for name, v := range map[string]string{a.name + "_request": a.request, a.name + "_limit": a.limit} {
			if v == "" {
				sound = false
				continue
			}
			if why := kubernetes.CheckQuantity(v, a.low, a.high); why != "" {
				f.add(name, "%s", why)
				sound = false
			}
		}
		if sound {
			request, limit := resource.MustParse(a.request), resource.MustParse(a.limit)
			if request.Cmp(limit) > 0 {
				f.add(a.name+"_request", "is %s, more than the limit of %s", a.request, a.limit)
			}
		}
	}
}
