package kubernetes

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/llmctl/studio/internal/executor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files")

func testSettings() Settings {
	return Settings{
		Connection: Connection{Namespace: "jobs"}, Identity: "default", FrontierImage: "registry.example.com/frontier:1", VLLMImage: "registry.example.com/vllm:1",
		ServiceAccount: "llmctl-executor", PullSecrets: []string{"registry"},
		Requests: Resources{CPU: "100m", Memory: "128Mi"}, Limits: Resources{CPU: "1", Memory: "1Gi"},
		JobTTL: 30 * time.Minute, DispatchTimeout: 5 * time.Minute, Timeout: 30 * time.Minute, LogTimeout: 30 * time.Second,
		CancelGrace: 15 * time.Second, CancelForce: true, APIURL: "http://backend.llmctl.svc.cluster.local:5155/api", ArgoCDApp: "llmctl-studio",
	}
}

func testOrder(s *Settings) *order {
	return &order{
		settings: s, ref: Ref{NodeRunID: 42, Attempt: 3, Worker: uuid.Nil}, kind: "task", class: ClassFrontier,
		token: "the-token", secrets: map[string]string{"api_key": "sk-1"}, timeout: 10 * time.Minute,
	}
}

func TestThePayloadSaysWhatItsHTTPNodeMayReach(t *testing.T) {
	t.Parallel()
	s := testSettings()
	s.HTTPAllow = []string{"10.1.0.0/16"}
	// What came with the node cannot widen it.
	raw, err := stored(executor.Payload{Secrets: map[string]string{"api_key": "sk-1"}, Limits: executor.Limits{HTTPAllow: []string{"0.0.0.0/0"}}}, testOrder(&s))
	require.NoError(t, err)
	require.NotContains(t, string(raw), "sk-1")
	require.Contains(t, string(raw), `"limits":{"timeout_seconds":600,"grace_seconds":12,"http_allow":["10.1.0.0/16"]}`)
}

func TestAPodIsToldWhetherScriptsMayRun(t *testing.T) {
	t.Parallel()
	for allowed, want := range map[bool]string{true: "--script-nodes=true", false: "--script-nodes=false"} {
		s := testSettings()
		s.ScriptNodes = allowed
		require.Equal(t, []string{"executor", want}, testOrder(&s).job().Spec.Template.Spec.Containers[0].Args)
	}
}

func TestTheManifestsAreAsTheyWereAgreedOn(t *testing.T) {
	t.Parallel()
	plain, node := testSettings(), testSettings()
	node.ArgoCDApp, node.PullSecrets, node.ServiceAccount, node.GPULimit, node.LiveCodePath, node.ScriptNodes = "", nil, "", 1, "/src", true
	wishful := testOrder(&node)
	wishful.class, wishful.resources = ClassVLLM, nodeResources{CPU: "2", Memory: "8Gi", GPU: new(2)}
	for name, o := range map[string]*order{"default": testOrder(&plain), "node": wishful} {
		job := o.job()
		job.UID = types.UID("the-uid-of-the-job")
		var out []byte
		for _, object := range []any{job, o.secret(job)} {
			text, err := yaml.Marshal(object)
			require.NoError(t, err)
			out = append(append(out, "---\n"...), text...)
		}
		file := filepath.Join("testdata", name+".yaml")
		if *update {
			require.NoError(t, os.WriteFile(file, out, 0o600))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), string(out), "go test ./internal/executor/kubernetes -update, if that is what you want")
	}
}

func TestNothingSecretIsInAJob(t *testing.T) {
	t.Parallel()
	s := testSettings()
	o := testOrder(&s)
	raw, err := json.Marshal(o.job())
	require.NoError(t, err)
	require.NotContains(t, string(raw), "the-token")
	require.NotContains(t, string(raw), "sk-1")
	payload, err := stored(executor.Payload{Secrets: o.secrets, Kind: "task"}, o)
	require.NoError(t, err)
	require.NotContains(t, string(payload), "sk-1")
}

func TestNamesFitAndTellInstallationsApart(t *testing.T) {
	t.Parallel()
	long := jobName("default", 1<<62, 1<<30)
	require.LessOrEqual(t, len(long)+len("-abcde"), 63, "the pod's name as well")
	require.NotEqual(t, jobName("a", 1, 1), jobName("b", 1, 1))
	require.Equal(t, identityKey("a"), keyOf(jobName("a", 7, 1)))
	namespace, job, ok := parseDispatchID(dispatchID("n", "j"))
	require.True(t, ok)
	require.Equal(t, []string{"n", "j"}, []string{namespace, job})
	for _, bad := range []string{"", "kubernetes:", "kubernetes:/x", "kubernetes:x/", "process:a/b"} {
		_, _, ok := parseDispatchID(bad)
		require.False(t, ok, bad)
	}
}

func TestTheImageClassComesFromTheProviderUnlessTheNodeSays(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]executor.Payload{
		"frontier": {Model: &executor.Model{ProviderKind: "openai"}},
		"vllm":     {Model: &executor.Model{ProviderKind: "vllm_local"}},
	} {
		w, err := wishesOf(p)
		require.NoError(t, err)
		require.Equal(t, want, w.ImageClass)
	}
	w, err := wishesOf(executor.Payload{Model: &executor.Model{ProviderKind: "openai"}, Config: []byte(`{"image_class":"vllm","resources":{"gpu":1}}`)})
	require.NoError(t, err)
	require.Equal(t, "vllm", w.ImageClass)
	require.Equal(t, 1, *w.Resources.GPU)
	for config, want := range map[string]string{
		`{"image_class":"x"}`:            `image_class is "x"; accepted are frontier and vllm`,
		`{"resources":{"memory":"1Mi"}}`: "resources.memory is 1Mi; accepted are 16Mi to 4Ti",
		`{"resources":{"cpu":"many"}}`:   `resources.cpu is "many"; accepted are amounts from 1m to 256`,
		`{"resources":{"gpu":-1}}`:       "resources.gpu is -1; accepted are 0 to 8",
	} {
		_, err := wishesOf(executor.Payload{Config: []byte(config)})
		require.EqualError(t, err, want)
	}
}

func TestAKubeconfigThatReadsFilesOrRunsProgramsIsRefused(t *testing.T) {
	t.Parallel()
	with := func(cluster, user string) []byte {
		return []byte("apiVersion: v1\nkind: Config\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {" +
			cluster + "}}]\nusers: [{name: u, user: {" + user + "}}]\n")
	}
	const server = `server: "https://10.0.0.1"`
	k, err := CheckKubeconfig(with(server, "token: t"))
	require.NoError(t, err)
	require.Equal(t, []string{"c"}, k.Contexts)
	for name, text := range map[string][]byte{
		"is a file":                   with(server+", certificate-authority: /etc/passwd", "token: t"),
		"key or token is a file":      with(server, "tokenFile: /var/run/secrets/token"),
		"certificate, key or":         with(server, "client-key: /root/key"),
		"programs are not run":        with(server, "exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Never}"),
		"auth-provider":               with(server, "auth-provider: {name: gcp}"),
		"no http or https address":    with(`server: "unix:///run/x"`, "token: t"),
		"is no kubeconfig":            []byte("{"),
		"at most 262144 are accepted": make([]byte, MaxKubeconfig+1),
		"has no contexts":             []byte("apiVersion: v1\nkind: Config\n"),
	} {
		_, err := CheckKubeconfig(text)
		require.ErrorContains(t, err, name)
	}
}
