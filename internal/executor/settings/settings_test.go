package settings

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const kubeconfig = `
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c, user: u}}
- {name: two, context: {cluster: c, user: u}}
clusters:
- {name: c, cluster: {server: "https://10.0.0.1:6443"}}
users:
- {name: u, user: {token: the-token-of-the-cluster}}
`

func environment() Values {
	return Values{
		Provider: "process", DispatchTimeoutSeconds: 300, ExecutionTimeoutSeconds: 1800, LogCollectionTimeoutSeconds: 30,
		CancelGraceTimeoutSeconds: 15, CancelForceKillEnabled: true, WorkspaceIdentityKey: "default", K8sNamespace: "llmctl",
		K8sFrontierImage: "llmctl-executor-frontier", K8sFrontierImageTag: "1.0", K8sVLLMImage: "llmctl-executor-vllm", K8sVLLMImageTag: "1.0",
		K8sJobTTLSeconds: 1800, K8sAPIURL: "http://backend:5155/api", K8sCPURequest: "100m", K8sMemoryRequest: "128Mi", K8sCPULimit: "1", K8sMemoryLimit: "1Gi",
		K8sArgoCDAppName: "llmctl-studio",
	}
}

type bundle struct {
	*Store
	db *postgres.DB
}

func setup(t *testing.T, v Values) *bundle {
	t.Helper()
	box, err := secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
	require.NoError(t, err)
	db := pgtest.DB(t)
	return &bundle{db: db, Store: New(Options{DB: db, Sealer: box, Fingerprint: secret.Fingerprint, Environment: v, Now: time.Now})}
}

func (b *bundle) save(t *testing.T, revision int64, changes string) (s Settings, now int64, err error) {
	t.Helper()
	var m map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(changes), &m))
	err = b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		s, now, err = b.Save(ctx, tx, revision, m)
		return err
	})
	return s, now, err
}

func TestWhatNobodyHasSetFollowsTheEnvironment(t *testing.T) {
	t.Parallel()
	b := setup(t, environment())
	s, revision, err := b.Load(t.Context(), b.db)
	require.NoError(t, err)
	require.Equal(t, "1.0", s.K8sFrontierImageTag)
	require.Empty(t, s.Changed)
	_, revision, err = b.save(t, revision, `{"k8s_namespace": "jobs", "k8s_image_pull_secrets": ["registry"]}`)
	require.NoError(t, err)

	later := environment()
	later.K8sFrontierImageTag, later.K8sNamespace = "2.0", "elsewhere"
	b.o.Environment = later
	s, again, err := b.Load(t.Context(), b.db)
	require.NoError(t, err)
	require.Equal(t, revision, again)
	require.Equal(t, "2.0", s.K8sFrontierImageTag, "a rollout's new tag takes effect")
	require.Equal(t, "jobs", s.K8sNamespace)
	require.Equal(t, []string{"k8s_image_pull_secrets", "k8s_namespace"}, s.Changed)

	s, _, err = b.save(t, 0, `{"k8s_namespace": null}`)
	require.NoError(t, err)
	require.Equal(t, "elsewhere", s.K8sNamespace)
	_, _, err = b.save(t, revision, `{"k8s_namespace": "late"}`)
	require.True(t, errs.HasReason(err, "setting.stale"))
}

func TestAKubeconfigIsSealedAndOnlyTheDispatcherGetsIt(t *testing.T) {
	t.Parallel()
	b := setup(t, environment())
	text, err := json.Marshal(kubeconfig)
	require.NoError(t, err)
	s, _, err := b.save(t, 0, `{"provider": "kubernetes", "k8s_context": "two", "k8s_kubeconfig": `+string(text)+`}`)
	require.NoError(t, err)
	require.True(t, s.Kubeconfig.Set)
	require.NotEmpty(t, s.Kubeconfig.Fingerprint)
	require.Equal(t, []string{"one", "two"}, s.Kubeconfig.Contexts)
	shown, err := json.Marshal(s)
	require.NoError(t, err)
	require.NotContains(t, string(shown), "the-token")
	var row string
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT value::text FROM setting WHERE section = 'node_executor'`).Scan(&row))
	require.NotContains(t, row, "the-token")
	require.NotContains(t, row, "10.0.0.1")

	k, err := b.Kubernetes(t.Context())
	require.NoError(t, err)
	require.Equal(t, kubeconfig, string(k.Kubeconfig))
	require.Equal(t, "two", k.Context)
	require.Equal(t, "llmctl-executor-frontier:1.0", k.FrontierImage)
	require.Equal(t, 5*time.Minute, k.DispatchTimeout)

	_, _, err = b.save(t, 0, `{"k8s_kubeconfig": null}`)
	require.Error(t, err, "the provider needs it")
	s, _, err = b.save(t, 0, `{"k8s_kubeconfig": null, "provider": null, "k8s_context": null}`)
	require.NoError(t, err)
	require.False(t, s.Kubeconfig.Set)
}

func TestThePodsGetWhatOnlyTheEnvironmentSays(t *testing.T) {
	t.Parallel()
	closed := setup(t, environment())
	k, err := closed.Kubernetes(t.Context())
	require.NoError(t, err)
	require.False(t, k.ScriptNodes, "scripts are off where nobody has allowed them")
	require.Empty(t, k.HTTPAllow)

	o := closed.o
	o.ScriptNodes, o.HTTPAllow = true, []string{"10.1.0.0/16", "wiki.internal"}
	k, err = New(o).Kubernetes(t.Context())
	require.NoError(t, err)
	require.True(t, k.ScriptNodes)
	require.Equal(t, []string{"10.1.0.0/16", "wiki.internal"}, k.HTTPAllow)
}

func TestWhatCannotBeUsedIsNamedWithWhatIsAccepted(t *testing.T) {
	t.Parallel()
	b := setup(t, environment())
	for change, want := range map[string]errs.Detail{
		`{"provider": "docker"}`:                             {Location: "body.provider", Message: `is "docker"; accepted are inline, process and kubernetes`},
		`{"provider": "kubernetes"}`:                         {Location: "body.k8s_kubeconfig", Message: "is needed for the provider kubernetes, unless k8s_in_cluster is true"},
		`{"dispatch_timeout_seconds": 4}`:                    {Location: "body.dispatch_timeout_seconds", Message: "is 4; accepted are 5 to 3600"},
		`{"k8s_gpu_limit": 9}`:                               {Location: "body.k8s_gpu_limit", Message: "is 9; accepted are 0 to 8"},
		`{"k8s_namespace": "A_b"}`:                           {Location: "body.k8s_namespace", Message: `is "A_b"; accepted are 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit`},
		`{"k8s_memory_limit": "lots"}`:                       {Location: "body.k8s_memory_limit", Message: `is "lots"; accepted are amounts from 16Mi to 4Ti`},
		`{"k8s_memory_request": "2Gi"}`:                      {Location: "body.k8s_memory_request", Message: "is 2Gi, more than the limit of 1Gi"},
		`{"k8s_image_pull_secrets": ["ok", "N O"]}`:          {Location: "body.k8s_image_pull_secrets[1]", Message: `is "N O"; accepted is the name of a Secret`},
		`{"k8s_api_url": "ftp://x"}`:                         {Location: "body.k8s_api_url", Message: `is "ftp://x"; accepted is an http or https address of the API with its prefix, such as http://llmctl-studio-backend.llmctl.svc.cluster.local:5155/api`},
		`{"k8s_vllm_image": "x@sha256:` + hex64() + `"}`:     {Location: "body.k8s_vllm_image_tag", Message: `is "1.0"; the image has a digest, so it must be empty`},
		`{"k8s_frontier_image_tag": "a b"}`:                  {Location: "body.k8s_frontier_image_tag", Message: `is "a b"; accepted is a tag, such as 1.4.0`},
		`{"workspace_identity_key": "../x"}`:                 {Location: "body.workspace_identity_key", Message: `is "../x"; accepted are a letter or digit, then at most 127 of letters, digits and _ . -`},
		`{"k8s_kubeconfig": 7}`:                              {Location: "body.k8s_kubeconfig", Message: "is no text"},
		`{"k8s_kubeconfig": "{\"a\": "}`:                     {Location: "body.k8s_kubeconfig"},
		`{"k8s_kubeconfig": "apiVersion: v1\nkind: Config"}`: {Location: "body.k8s_kubeconfig", Message: "has no contexts"},
	} {
		_, _, err := b.save(t, 0, change)
		require.True(t, errs.Is(err, errs.Invalid), "%s: %v", change, err)
		details := errs.As(err).Details
		require.Len(t, details, 1, "%s: %v", change, details)
		require.Equal(t, want.Location, details[0].Location, change)
		if want.Message != "" {
			require.Equal(t, want.Message, details[0].Message, change)
		}
	}
	s, err := b.Current(t.Context())
	require.NoError(t, err)
	require.Empty(t, s.Changed, "nothing of it was stored")
}

func hex64() string { return string(bytes.Repeat([]byte{'a'}, 64)) }
