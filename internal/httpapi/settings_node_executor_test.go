package httpapi_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/executor/settings"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/secret"
)

func withNodeExecutor(t *testing.T) option {
	t.Helper()
	return func(b *testBundle, d *httpapi.Deps) {
		box, err := secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
		require.NoError(t, err)
		d.NodeExecutor = settings.New(settings.Options{
			DB: b.db, Sealer: box, Fingerprint: secret.Fingerprint, Now: time.Now,
			Environment: settings.Values{
				Provider: "process", DispatchTimeoutSeconds: 300, ExecutionTimeoutSeconds: 1800, LogCollectionTimeoutSeconds: 30,
				CancelGraceTimeoutSeconds: 15, WorkspaceIdentityKey: "default", K8sNamespace: "llmctl", K8sFrontierImage: "f", K8sFrontierImageTag: "1",
				K8sVLLMImage: "v", K8sVLLMImageTag: "1", K8sJobTTLSeconds: 1800, K8sAPIURL: "http://backend:5155/api",
			},
		})
	}
}

func TestNodeExecutorSettingsAreShownChangedAndTestedAndTheKubeconfigIsNeverGivenOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const path = "/api/settings/node_executor"
	got := b.admin(t, http.StatusOK, http.MethodGet, path, nil)
	require.Equal(t, "process", got.at(t, "provider"))
	require.Equal(t, false, got.at(t, "k8s_kubeconfig", "set"))

	// A cluster that says no to everything.
	asked := make(chan string, 64)
	cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.URL.Path
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	t.Cleanup(cluster.Close)
	kubeconfig := "apiVersion: v1\\nkind: Config\\ncurrent-context: c\\ncontexts: [{name: c, context: {cluster: c, user: u}}]\\n" +
		"clusters: [{name: c, cluster: {server: \\\"" + cluster.URL + "\\\"}}]\\nusers: [{name: u, user: {token: the-token}}]"
	changed := b.admin(t, http.StatusOK, http.MethodPatch, path, `{"k8s_kubeconfig":"`+kubeconfig+`","k8s_namespace":"jobs","provider":"kubernetes"}`,
		header{"If-Match", got.header.Get("ETag")})
	require.Equal(t, "jobs", changed.at(t, "k8s_namespace"))
	require.Equal(t, true, changed.at(t, "k8s_kubeconfig", "set"))
	require.Equal(t, "c", changed.at(t, "k8s_kubeconfig", "contexts", 0))
	require.Equal(t, []any{"k8s_namespace", "provider"}, changed.at(t, "changed"))
	require.NotContains(t, changed.raw, "the-token")
	require.NotContains(t, b.admin(t, http.StatusOK, http.MethodGet, path, nil).raw, "the-token")
	b.admin(t, http.StatusPreconditionFailed, http.MethodPatch, path, `{"k8s_namespace":"x"}`, header{"If-Match", got.header.Get("ETag")})
	require.Contains(t, b.audited(t), "setting.updated 0")

	probe := b.admin(t, http.StatusOK, http.MethodPost, path+"/test", nil)
	require.Equal(t, false, probe.at(t, "ok"))
	require.Equal(t, "connection", probe.at(t, "checks", 0, "name"))
	require.Contains(t, <-asked, "GET /version")

	refused := b.admin(t, http.StatusUnprocessableEntity, http.MethodPatch, path, `{"k8s_context":"other"}`)
	require.Equal(t, "body.k8s_context", refused.at(t, "errors", 0, "location"))
	secrets := func(body string) answer { return b.admin(t, http.StatusOK, http.MethodPatch, path, body) }
	require.Equal(t, []any{"pull"}, secrets(`{"k8s_image_pull_secrets":["pull"]}`).at(t, "k8s_image_pull_secrets"))
	require.Equal(t, []any{"pull"}, secrets(`{"k8s_namespace":"y"}`).at(t, "k8s_image_pull_secrets"), "what is not named stays")
	none := secrets(`{"k8s_image_pull_secrets":[]}`)
	require.Empty(t, none.at(t, "k8s_image_pull_secrets"))
	require.Contains(t, none.at(t, "changed"), "k8s_image_pull_secrets")
	require.NotContains(t, secrets(`{"k8s_image_pull_secrets":null}`).at(t, "changed"), "k8s_image_pull_secrets", "null gives it back to the environment")
	require.Equal(t, http.StatusForbidden, b.do(t, http.MethodPatch, path, `{}`, b.as(auth.Editor)).status)
	require.Equal(t, http.StatusForbidden, b.do(t, http.MethodPost, path+"/test", nil, b.as(auth.Editor)).status)
}
