package config

import (
	"encoding/json"
	"regexp"
	"strings"
)

// PullSecrets are the names in LLMCTL_NODE_EXECUTOR_K8S_IMAGE_PULL_SECRETS_JSON: a list
// of names, or of objects with a name.
func (k Kubernetes) PullSecrets() []string {
	names, _ := pullSecrets(k.ImagePullSecretsJSON) // the rules have refused what cannot be read
	return names
}

func pullSecrets(text string) ([]string, bool) {
	names := []string{}
	if strings.TrimSpace(text) == "" {
		return names, true
	}
	var items []json.RawMessage
	if json.Unmarshal([]byte(text), &items) != nil {
		return names, false
	}
	for _, item := range items {
		var name string
		var object struct {
			Name string `json:"name"`
		}
		if json.Unmarshal(item, &name) != nil {
			if json.Unmarshal(item, &object) != nil {
				return names, false
			}
			name = object.Name
		}
		if !kubernetesName.MatchString(name) {
			return names, false
		}
		names = append(names, name)
	}
	return names, true
}

// LiveCode is the folder that is mounted into Jobs; empty: none.
func (k Kubernetes) LiveCode() string {
	if !k.LiveCodeEnabled {
		return ""
	}
	return k.LiveCodeHostPath
}

// What Kubernetes takes: names of objects, and amounts.
var (
	kubernetesName   = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	kubernetesAmount = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?)?$`)
)

func (l *loading) ruleKubernetes() {
	k := &l.cfg.Kubernetes
	if !kubernetesName.MatchString(k.Namespace) || strings.Contains(k.Namespace, ".") || len(k.Namespace) > 63 {
		l.problem("LLMCTL_NODE_EXECUTOR_K8S_NAMESPACE", "1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit")
	}
	if k.ServiceAccount != "" && !kubernetesName.MatchString(k.ServiceAccount) {
		l.problem("LLMCTL_NODE_EXECUTOR_K8S_SERVICE_ACCOUNT", "the name of a service account, or nothing")
	}
	if _, ok := pullSecrets(k.ImagePullSecretsJSON); !ok {
		l.problem("LLMCTL_NODE_EXECUTOR_K8S_IMAGE_PULL_SECRETS_JSON", `a JSON list of names of Secrets, such as ["registry"] or [{"name": "registry"}]`)
	}
	for name, amount := range map[string]string{
		"LLMCTL_NODE_EXECUTOR_K8S_CPU_REQUEST": k.CPURequest, "LLMCTL_NODE_EXECUTOR_K8S_CPU_LIMIT": k.CPULimit,
		"LLMCTL_NODE_EXECUTOR_K8S_MEMORY_REQUEST": k.MemoryRequest, "LLMCTL_NODE_EXECUTOR_K8S_MEMORY_LIMIT": k.MemoryLimit,
	} {
		if !kubernetesAmount.MatchString(amount) {
			l.problem(name, "an amount in Kubernetes' notation, such as 500m or 2Gi, or nothing")
		}
	}
	l.ruleHTTP("LLMCTL_NODE_EXECUTOR_K8S_API_URL", k.APIURL)
	if k.LiveCodeEnabled && !strings.HasPrefix(k.LiveCodeHostPath, "/") {
		l.problem("LLMCTL_NODE_EXECUTOR_K8S_LIVE_CODE_HOST_PATH", "an absolute path of a folder of the machines, since LLMCTL_NODE_EXECUTOR_K8S_LIVE_CODE_ENABLED is true")
	}
}
