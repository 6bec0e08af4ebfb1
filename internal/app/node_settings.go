package app

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/executor/settings"
	"github.com/llmctl/studio/internal/node/kind"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/secret"
)

// settingsTopic tells the other processes that settings have changed.
const settingsTopic = "settings"

// providerKubernetes has nodes run in pods.
const providerKubernetes = "kubernetes"

// nodeSettings are the settings of the node executor as this process knows them. What
// decides at a claim, or when a node run is made, cannot wait for the database.
type nodeSettings struct {
	store   *settings.Store
	known   atomic.Pointer[settings.Values]
	changed chan struct{}
}

func newNodeSettings(s *studio) *nodeSettings {
	environment := executorEnvironment(s.cfg)
	n := &nodeSettings{changed: make(chan struct{}, 1)}
	n.store = settings.New(settings.Options{
		DB: s.db, Sealer: s.box, Fingerprint: secret.Fingerprint, Environment: environment, Now: s.now,
		LiveCodePath: s.cfg.Kubernetes.LiveCode(), ScriptNodes: s.cfg.Studio.ScriptNodes, HTTPAllow: s.cfg.Studio.HTTPNodeAllow,
		Changed: func() { s.bus.Signal(settingsTopic, "node_executor") },
	})
	n.known.Store(&environment)
	s.bus.OnSignal(settingsTopic, func(string) {
		select {
		case n.changed <- struct{}{}:
		default: // they are loaded anyway
		}
	})
	return n
}

// executorEnvironment are the settings as the environment has them.
func executorEnvironment(cfg *config.Config) settings.Values {
	e, k := cfg.Executor, cfg.Kubernetes
	seconds := func(d time.Duration) int32 { return int32(d.Seconds()) }
	return settings.Values{
		Provider: e.Provider, DispatchTimeoutSeconds: seconds(e.DispatchTimeout), ExecutionTimeoutSeconds: seconds(e.ExecutionTimeout),
		LogCollectionTimeoutSeconds: seconds(e.LogCollectionTimeout), CancelGraceTimeoutSeconds: seconds(e.CancelGrace),
		CancelForceKillEnabled: e.CancelForceKill, WorkspaceIdentityKey: e.WorkspaceIdentity,
		K8sNamespace: k.Namespace, K8sFrontierImage: k.FrontierImage, K8sFrontierImageTag: k.FrontierImageTag,
		K8sVLLMImage: k.VLLMImage, K8sVLLMImageTag: k.VLLMImageTag, K8sInCluster: k.InCluster, K8sServiceAccount: k.ServiceAccount,
		K8sGPULimit: int32(k.GPULimit), K8sJobTTLSeconds: seconds(k.JobTTL), K8sImagePullSecrets: k.PullSecrets(), K8sAPIURL: k.APIURL,
		K8sCPURequest: k.CPURequest, K8sMemoryRequest: k.MemoryRequest, K8sCPULimit: k.CPULimit, K8sMemoryLimit: k.MemoryLimit,
		K8sArgoCDAppName: k.ArgoCDAppName,
	}
}

func (n *nodeSettings) provider() string { return n.known.Load().Provider }

// timeout is how long an attempt may take whose node does not say.
func (n *nodeSettings) timeout() time.Duration {
	return time.Duration(n.known.Load().ExecutionTimeoutSeconds) * time.Second
}

// executorFor names the executor of a kind of node.
func (n *nodeSettings) executorFor(k string) string {
	switch {
	case n.provider() == providerKubernetes:
		return run.InPod
	case kind.NeedsProcess(k):
		return "process"
	}
	return "inline"
}

// load takes over what the database has.
func (n *nodeSettings) load(ctx context.Context) error {
	v, err := n.store.Current(ctx)
	if err == nil {
		n.known.Store(&v.Values)
	}
	return err
}

// reloadEvery bounds how long a change may go unnoticed whose signal was lost.
const reloadEvery = 5 * time.Second

// nodeSettingsLoop keeps them known.
type nodeSettingsLoop struct{ *studio }

// Name names the service.
func (l nodeSettingsLoop) Name() string { return "node executor settings" }

// Run loads the settings, and again when they have changed.
func (l nodeSettingsLoop) Run(ctx context.Context, ready func()) error {
	again := time.NewTicker(reloadEvery)
	defer again.Stop()
	for first := true; ; first = false {
		if err := l.nodeSettings.load(ctx); err != nil && ctx.Err() == nil {
			l.log.WarnContext(ctx, "the settings of the node executor could not be loaded; those known before hold", "error", err)
		}
		if first {
			ready()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		case <-l.nodeSettings.changed:
		}
	}
}
