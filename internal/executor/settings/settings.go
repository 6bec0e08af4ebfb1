// Package settings keeps the settings section node_executor: where nodes run, for how
// long, and how their Jobs are made. What nobody has set there follows the
// environment, so that a rollout's new image tag takes effect.
//
// The package must not know the environment or HTTP. Invariants: a kubeconfig is stored
// encrypted and never given out by anything but Kubernetes; what is stored was checked.
package settings

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor/kubernetes"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/setting"
)

// Values are the settings that are no secrets. The names are those of the API.
type Values struct {
	Provider                    string   `json:"provider"`
	DispatchTimeoutSeconds      int32    `json:"dispatch_timeout_seconds"`
	ExecutionTimeoutSeconds     int32    `json:"execution_timeout_seconds"`
	LogCollectionTimeoutSeconds int32    `json:"log_collection_timeout_seconds"`
	CancelGraceTimeoutSeconds   int32    `json:"cancel_grace_timeout_seconds"`
	CancelForceKillEnabled      bool     `json:"cancel_force_kill_enabled"`
	WorkspaceIdentityKey        string   `json:"workspace_identity_key"`
	K8sNamespace                string   `json:"k8s_namespace"`
	K8sFrontierImage            string   `json:"k8s_frontier_image"`
	K8sFrontierImageTag         string   `json:"k8s_frontier_image_tag"`
	K8sVLLMImage                string   `json:"k8s_vllm_image"`
	K8sVLLMImageTag             string   `json:"k8s_vllm_image_tag"`
	K8sInCluster                bool     `json:"k8s_in_cluster"`
	K8sContext                  string   `json:"k8s_context"`
	K8sServiceAccount           string   `json:"k8s_service_account"`
	K8sGPULimit                 int32    `json:"k8s_gpu_limit"`
	K8sJobTTLSeconds            int32    `json:"k8s_job_ttl_seconds"`
	K8sImagePullSecrets         []string `json:"k8s_image_pull_secrets"`
	K8sAPIURL                   string   `json:"k8s_api_url"`
	K8sCPURequest               string   `json:"k8s_cpu_request"`
	K8sMemoryRequest            string   `json:"k8s_memory_request"`
	K8sCPULimit                 string   `json:"k8s_cpu_limit"`
	K8sMemoryLimit              string   `json:"k8s_memory_limit"`
	K8sArgoCDAppName            string   `json:"k8s_argocd_app_name"`
}

// KubeconfigInfo is what anybody may know of the stored kubeconfig.
type KubeconfigInfo struct {
	Set            bool       `json:"set"`
	UpdatedAt      *time.Time `json:"updated_at"`
	Fingerprint    string     `json:"fingerprint"`
	Contexts       []string   `json:"contexts"`
	CurrentContext string     `json:"current_context"`
}

// Settings are those in force.
type Settings struct {
	Values

	Kubeconfig KubeconfigInfo
	// Changed names the values that were set here; the others follow the environment.
	Changed []string

	sealed []byte
}

// Sealer encrypts and decrypts; the associated data binds a secret to its place.
type Sealer interface {
	Seal(plaintext, associatedData []byte) ([]byte, error)
	Open(ciphertext, associatedData []byte) ([]byte, error)
}

// Options wire a Store. All are required but LiveCodePath, ScriptNodes and HTTPAllow.
type Options struct {
	DB           *postgres.DB
	Sealer       Sealer
	Fingerprint  func(secret string) string
	Environment  Values // what holds where nothing was set
	LiveCodePath string // of the machine, mounted into Jobs; only the environment may say so
	ScriptNodes  bool
	HTTPAllow    []string // what http nodes may reach although private
	Now          func() time.Time
	Changed      func() // called after a change was stored; nil: nobody is told
}

// Store keeps the settings.
type Store struct{ o Options }

// New makes a store.
func New(o Options) *Store { return &Store{o: o} }

// kubeconfigName is the one member that is written and never read.
const kubeconfigName = "k8s_kubeconfig"

// binding is the place of the sealed kubeconfig.
func binding() []byte { return []byte("setting:node_executor:k8s_kubeconfig") }

// stored is the row's value.
type stored struct {
	setting.Revision
	Values     map[string]json.RawMessage `json:"values,omitempty"`
	Kubeconfig *storedKubeconfig          `json:"kubeconfig,omitempty"`
}

func document() setting.Document[stored, *stored] {
	return setting.Document[stored, *stored]{Section: "node_executor", Key: "settings", Defaults: func() stored { return stored{} }}
}

type storedKubeconfig struct {
	Sealed      []byte    `json:"sealed"`
	Fingerprint string    `json:"fingerprint"`
	Contexts    []string  `json:"contexts"`
	Current     string    `json:"current_context"`
	At          time.Time `json:"updated_at"`
}

// Load gives the settings in force and their revision, which changes with them.
func (s *Store) Load(ctx context.Context, q postgres.Querier) (Settings, int64, error) {
	row, err := document().Load(ctx, q)
	if err != nil {
		return Settings{}, 0, err
	}
	out, err := s.merge(row)
	return out, row.Revision.Revision, err
}

// Current is Load from the store's own database.
func (s *Store) Current(ctx context.Context) (Settings, error) {
	out, _, err := s.Load(ctx, s.o.DB)
	return out, err
}

// merge lays what was set over the environment. What a later release has set and this
// one does not know stays in the row and has no effect.
func (s *Store) merge(row stored) (Settings, error) {
	out := Settings{Values: s.o.Environment, Kubeconfig: KubeconfigInfo{Contexts: []string{}}, Changed: slices.Sorted(maps.Keys(row.Values))}
	out.K8sImagePullSecrets = append([]string{}, out.K8sImagePullSecrets...)
	if out.Changed == nil {
		out.Changed = []string{}
	}
	raw, err := json.Marshal(row.Values)
	if err == nil {
		err = json.Unmarshal(raw, &out.Values)
	}
	if err != nil {
		return out, fmt.Errorf("read node executor settings: %w", err)
	}
	if k := row.Kubeconfig; k != nil {
		out.Kubeconfig = KubeconfigInfo{Set: true, UpdatedAt: &k.At, Fingerprint: k.Fingerprint, Contexts: k.Contexts, CurrentContext: k.Current}
		out.sealed = k.Sealed
	}
	return out, nil
}

// Save stores changes by name; null gives a value back to the environment. revision is
// what the caller saw, 0 for whatever is there. Errors: invalid, precondition.
func (s *Store) Save(ctx context.Context, tx *postgres.Tx, revision int64, changes map[string]json.RawMessage) (Settings, int64, error) {
	var out Settings
	row, err := document().Change(ctx, tx, revision, func(row *stored) error {
		err := s.apply(row, changes)
		if err == nil {
			out, err = s.merge(*row)
		}
		if err == nil {
			err = check(&out, needsCluster(changes))
		}
		return err
	})
	if err != nil {
		return out, 0, err
	}
	if s.o.Changed != nil {
		tx.AfterCommit(s.o.Changed)
	}
	return out, row.Revision.Revision, nil
}

// needsCluster reports whether a change is about how the cluster is reached.
func needsCluster(changes map[string]json.RawMessage) bool {
	for _, name := range []string{"provider", "k8s_in_cluster", kubeconfigName} {
		if changes[name] != nil {
			return true
		}
	}
	return false
}

func (s *Store) apply(row *stored, changes map[string]json.RawMessage) error {
	if row.Values == nil {
		row.Values = map[string]json.RawMessage{}
	}
	for name, raw := range changes {
		null := string(raw) == "null"
		switch {
		case name == kubeconfigName && null:
			row.Kubeconfig = nil
		case name == kubeconfigName:
			var text string
			if err := json.Unmarshal(raw, &text); err != nil {
				return errs.E(errs.Invalid, "setting.invalid", "The settings cannot be used.", errs.Detail{Location: "body." + name, Message: "is no text"})
			}
			k, err := s.seal(text)
			if err != nil {
				return err
			}
			row.Kubeconfig = k
		case null:
			delete(row.Values, name)
		default:
			row.Values[name] = raw
		}
	}
	return nil
}

func (s *Store) seal(text string) (*storedKubeconfig, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // none
	}
	k, err := kubernetes.CheckKubeconfig([]byte(text))
	if err != nil {
		return nil, err
	}
	sealed, err := s.o.Sealer.Seal([]byte(text), binding())
	if err != nil {
		return nil, fmt.Errorf("seal kubeconfig: %w", err)
	}
	return &storedKubeconfig{
		Sealed: sealed, Fingerprint: s.o.Fingerprint(text), Contexts: k.Contexts, Current: k.Current, At: s.o.Now().UTC(),
	}, nil
}

// Kubernetes gives the settings in force as the dispatcher needs them, with the
// kubeconfig. Whoever gets it must not show it.
func (s *Store) Kubernetes(ctx context.Context) (kubernetes.Settings, error) {
	v, err := s.Current(ctx)
	if err != nil {
		return kubernetes.Settings{}, err
	}
	return s.dispatcher(v)
}

func (s *Store) dispatcher(v Settings) (kubernetes.Settings, error) {
	out := kubernetes.Settings{
		Connection: kubernetes.Connection{InCluster: v.K8sInCluster, Context: v.K8sContext, Namespace: v.K8sNamespace},
		Identity:   v.WorkspaceIdentityKey, FrontierImage: image(v.K8sFrontierImage, v.K8sFrontierImageTag), VLLMImage: image(v.K8sVLLMImage, v.K8sVLLMImageTag),
		ServiceAccount: v.K8sServiceAccount, PullSecrets: v.K8sImagePullSecrets, GPULimit: int(v.K8sGPULimit),
		Requests: kubernetes.Resources{CPU: v.K8sCPURequest, Memory: v.K8sMemoryRequest},
		Limits:   kubernetes.Resources{CPU: v.K8sCPULimit, Memory: v.K8sMemoryLimit},
		JobTTL:   seconds(v.K8sJobTTLSeconds), DispatchTimeout: seconds(v.DispatchTimeoutSeconds), Timeout: seconds(v.ExecutionTimeoutSeconds),
		LogTimeout: seconds(v.LogCollectionTimeoutSeconds), CancelGrace: seconds(v.CancelGraceTimeoutSeconds), CancelForce: v.CancelForceKillEnabled,
		APIURL: v.K8sAPIURL, ArgoCDApp: v.K8sArgoCDAppName, LiveCodePath: s.o.LiveCodePath, ScriptNodes: s.o.ScriptNodes,
		HTTPAllow: s.o.HTTPAllow,
	}
	if v.sealed != nil && !v.K8sInCluster {
		plain, err := s.o.Sealer.Open(v.sealed, binding())
		if err != nil {
			return out, err
		}
		out.Kubeconfig = plain
	}
	return out, nil
}

// Test asks the cluster of the settings in force whether Jobs can be run there.
func (s *Store) Test(ctx context.Context) (kubernetes.Probe, error) {
	v, err := s.Kubernetes(ctx)
	if err != nil {
		return kubernetes.Probe{}, err
	}
	return kubernetes.Test(ctx, v), nil
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

// image joins a name with its tag; one with a digest has none.
func image(name, tag string) string {
	if tag == "" {
		return name
	}
	return name + ":" + tag
}
