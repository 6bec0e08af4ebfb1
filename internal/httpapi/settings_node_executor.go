package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/executor/kubernetes"
	"github.com/llmctl/studio/internal/executor/settings"
	"github.com/llmctl/studio/internal/postgres"
)

type nodeExecutorView struct {
	settings.Values

	K8sKubeconfig settings.KubeconfigInfo `json:"k8s_kubeconfig" doc:"What may be known of the stored kubeconfig, which is never given out"`
	Changed       []string                `json:"changed" doc:"The values that were set here; the others follow the environment"`
}

type nodeExecutorOutput struct {
	ETag string `header:"ETag"`
	Body nodeExecutorView
}

type updateNodeExecutorInput struct {
	IfMatch string `header:"If-Match"`
	Body    struct {
		Provider                    optional[string] `json:"provider,omitzero" doc:"inline, process or kubernetes"`
		DispatchTimeoutSeconds      optional[int32]  `json:"dispatch_timeout_seconds,omitzero"`
		ExecutionTimeoutSeconds     optional[int32]  `json:"execution_timeout_seconds,omitzero"`
		LogCollectionTimeoutSeconds optional[int32]  `json:"log_collection_timeout_seconds,omitzero"`
		CancelGraceTimeoutSeconds   optional[int32]  `json:"cancel_grace_timeout_seconds,omitzero"`
		CancelForceKillEnabled      optional[bool]   `json:"cancel_force_kill_enabled,omitzero"`
		WorkspaceIdentityKey        optional[string] `json:"workspace_identity_key,omitzero"`
		K8sNamespace                optional[string] `json:"k8s_namespace,omitzero"`
		K8sFrontierImage            optional[string] `json:"k8s_frontier_image,omitzero"`
		K8sFrontierImageTag         optional[string] `json:"k8s_frontier_image_tag,omitzero"`
		K8sVLLMImage                optional[string] `json:"k8s_vllm_image,omitzero"`
		K8sVLLMImageTag             optional[string] `json:"k8s_vllm_image_tag,omitzero"`
		K8sInCluster                optional[bool]   `json:"k8s_in_cluster,omitzero"`
		K8sKubeconfig               optional[string] `json:"k8s_kubeconfig,omitzero" doc:"The whole text; it is stored encrypted and never given out. null or nothing removes it"`
		K8sContext                  optional[string] `json:"k8s_context,omitzero" doc:"Of the kubeconfig; empty: its current one"`
		K8sServiceAccount           optional[string] `json:"k8s_service_account,omitzero"`
		K8sGPULimit                 optional[int32]  `json:"k8s_gpu_limit,omitzero"`
		K8sJobTTLSeconds            optional[int32]  `json:"k8s_job_ttl_seconds,omitzero"`
		K8sImagePullSecrets         optionalNames    `json:"k8s_image_pull_secrets,omitzero" doc:"Names of Secrets; an empty list for none, null for what the environment says"`
		K8sAPIURL                   optional[string] `json:"k8s_api_url,omitzero" doc:"Where pods reach the API, with its prefix"`
		K8sCPURequest               optional[string] `json:"k8s_cpu_request,omitzero"`
		K8sMemoryRequest            optional[string] `json:"k8s_memory_request,omitzero"`
		K8sCPULimit                 optional[string] `json:"k8s_cpu_limit,omitzero"`
		K8sMemoryLimit              optional[string] `json:"k8s_memory_limit,omitzero"`
		K8sArgoCDAppName            optional[string] `json:"k8s_argocd_app_name,omitzero"`
	}
}

// optionalNames is optional for a list. Its schema has no null, as no list of the API
// has; null is understood all the same.
type optionalNames struct{ optional[[]string] }

// Schema implements huma.SchemaProvider: an array.
func (optionalNames) Schema(r huma.Registry) *huma.Schema {
	return huma.SchemaFromType(r, reflect.TypeFor[[]string]())
}

type probeOutput struct{ Body kubernetes.Probe }

// maxSettingsBody has room for a kubeconfig of the size that is accepted, escaped.
const maxSettingsBody = 2*kubernetes.MaxKubeconfig + 64<<10

func (s *server) registerNodeExecutor() {
	handle(s, route{
		method: http.MethodGet, path: "/settings/node_executor", id: "get-node-executor-settings", tag: "settings", permission: auth.Read,
		summary: "Where nodes run, for how long, and how their Kubernetes Jobs are made",
	}, func(ctx context.Context, _ *struct{}) (*nodeExecutorOutput, error) {
		v, revision, err := s.deps.NodeExecutor.Load(ctx, s.deps.DB)
		if err != nil {
			return nil, err
		}
		return nodeExecutorOf(v, revision), nil
	})
	handle(s, route{
		method: http.MethodPatch, path: "/settings/node_executor", id: "update-node-executor-settings", tag: "settings", permission: auth.Manage,
		audit: true, body: maxSettingsBody, summary: "Change where and how nodes run; null gives a value back to the environment. It holds from the next node on",
	}, s.updateNodeExecutor)
	handle(s, route{
		method: http.MethodPost, path: "/settings/node_executor/test", id: "test-node-executor-settings", tag: "settings", permission: auth.Manage,
		summary: "Ask the cluster of the stored settings: version, namespace, each missing permission, and whether it would take a Job",
	}, func(ctx context.Context, _ *struct{}) (*probeOutput, error) {
		p, err := s.deps.NodeExecutor.Test(ctx)
		return &probeOutput{Body: p}, err
	})
}

func nodeExecutorOf(v settings.Settings, revision int64) *nodeExecutorOutput {
	return &nodeExecutorOutput{ETag: etag(revision), Body: nodeExecutorView{Values: v.Values, K8sKubeconfig: v.Kubeconfig, Changed: v.Changed}}
}

func (s *server) updateNodeExecutor(ctx context.Context, in *updateNodeExecutorInput) (*nodeExecutorOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	// What was not sent is left out again, and what was sent keeps its null.
	raw, err := json.Marshal(in.Body)
	changes := map[string]json.RawMessage{}
	if err == nil {
		err = json.Unmarshal(raw, &changes)
	}
	if err != nil {
		return nil, fmt.Errorf("encode changes of settings: %w", err)
	}
	return change(ctx, s, "setting.updated", "setting", 0, func(ctx context.Context, tx *postgres.Tx) (*nodeExecutorOutput, error) {
		v, now, err := s.deps.NodeExecutor.Save(ctx, tx, revision, changes)
		if err != nil {
			return nil, err
		}
		return nodeExecutorOf(v, now), nil
	})
}
