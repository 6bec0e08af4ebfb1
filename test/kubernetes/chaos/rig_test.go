package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/kubetest"
	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/proctest"
)

const (
	root     = "../../.." // the repository
	email    = "ada@example.com"
	password = "correct horse battery"
	patience = 90 * time.Second
	imageTag = "chaos"
	image    = "llmctl-executor-frontier"
	// jobTTL is the shortest that the settings accept.
	jobTTL = time.Minute
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m)) }

// studio is a team on this machine whose nodes run in the rig's pods.
type studio struct {
	t         *testing.T
	cluster   *kubetest.Cluster
	namespace string
	base      string
	environ   []string
	db        *pgxpool.Pool
	client    *http.Client
	session   *http.Cookie
	web       *proctest.Kept
	workers   []*proctest.Kept
}

// newStudio starts a master with two web workers, and workers. allow is what http nodes may reach.
func newStudio(t *testing.T, c *kubetest.Cluster, allow string, workers int) *studio {
	t.Helper()
	packExecutor(t, c)
	s := &studio{
		t: t, cluster: c, namespace: c.Namespace(t, "pod-security.kubernetes.io/enforce", "restricted"),
		client: &http.Client{Timeout: 20 * time.Second},
	}
	uri := pgtest.URI(t)
	var err error
	s.db, err = pgxpool.New(t.Context(), uri)
	require.NoError(t, err)
	t.Cleanup(s.db.Close)
	bind := freeAddress(t, c.HostAddress(t))
	s.base = "http://" + bind
	s.environ = []string{
		"LLMCTL_STUDIO_DATABASE_URI=" + uri, "LLMCTL_STUDIO_DATA_DIR=" + t.TempDir(), "LLMCTL_STUDIO_INTERNAL_BIND=off",
		"LLMCTL_STUDIO_SECRET_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "LLMCTL_STUDIO_ADMIN_EMAIL=" + email,
		"LLMCTL_STUDIO_ADMIN_PASSWORD=" + password, "GUNICORN_CONTROL_SOCKET_DISABLE=true", "GUNICORN_ACCESS_LOG=/dev/null",
		"GUNICORN_WORKERS=2", "GUNICORN_BIND=" + bind, "LLMCTL_STUDIO_SCRIPT_NODES=true", "LLMCTL_STUDIO_HTTP_NODE_ALLOW=" + allow,
		"LLMCTL_NODE_EXECUTOR_K8S_NAMESPACE=" + s.namespace, "LLMCTL_NODE_EXECUTOR_WORKSPACE_IDENTITY_KEY=" + s.namespace,
		"LLMCTL_NODE_EXECUTOR_K8S_FRONTIER_IMAGE=localhost/" + image, "LLMCTL_NODE_EXECUTOR_K8S_FRONTIER_IMAGE_TAG=" + imageTag,
		"LLMCTL_NODE_EXECUTOR_K8S_API_URL=" + s.base + "/api", fmt.Sprintf("LLMCTL_NODE_EXECUTOR_K8S_JOB_TTL_SECONDS=%.0f", jobTTL.Seconds()),
		"LLMCTL_NODE_EXECUTOR_K8S_CPU_REQUEST=10m", "LLMCTL_NODE_EXECUTOR_K8S_MEMORY_REQUEST=32Mi",
	}
	s.web = proctest.Keep(t, root, []string{"serve"}, s.environ, patience)
	s.awaitReady()
	s.configure()
	for i := range workers {
		environ := append([]string{fmt.Sprintf("CELERY_WORKER_HOSTNAME=worker-%d", i+1), "CELERY_WORKER_CONCURRENCY=6"}, s.environ...)
		s.workers = append(s.workers, proctest.Keep(t, root, []string{"worker"}, environ, patience))
	}
	for _, w := range s.workers {
		w.AwaitLog("worker ready", patience)
	}
	return s
}

// packExecutor makes the image that is shipped, of the program as it is built now.
func packExecutor(t *testing.T, c *kubetest.Cluster) {
	t.Helper()
	binary := os.Getenv("LLMCTL_TEST_EXECUTOR") // a static build that is there already
	if binary == "" {
		binary = kubetest.Build(t, root, "./cmd/llmctl", "llmctl")
	}
	tool := kubetest.Build(t, root+"/tools/image", ".", "image")
	out := filepath.Join(t.TempDir(), "executor.tar")
	cmd := exec.CommandContext(t.Context(), tool, "pack", "-fast", "-tag", imageTag, "-binary", binary, "-o", out, image)
	cmd.Dir = root
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", said)
	c.Import(t, out)
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T, host string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func (s *studio) awaitReady() {
	s.t.Helper()
	kubetest.Eventually(s.t, patience, "the web process", func(ctx context.Context) error {
		status, raw, err := s.try(ctx, http.MethodGet, "/api/ready", nil, "")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", status, raw)
		}
		return err
	})
}

// configure signs in and gives the Studio the way to the cluster.
func (s *studio) configure() {
	s.t.Helper()
	s.call(http.StatusOK, http.MethodPost, "/api/auth/login", map[string]any{"email": email, "password": password}, nil)
	kubeconfig, err := os.ReadFile(s.cluster.Kubeconfig)
	require.NoError(s.t, err)
	s.call(http.StatusOK, http.MethodPatch, "/api/settings/node_executor",
		map[string]any{"provider": "kubernetes", "k8s_kubeconfig": string(kubeconfig)}, nil)
}

func (s *studio) call(want int, method, path string, body, out any) {
	s.t.Helper()
	status, raw, err := s.try(s.t.Context(), method, path, body, "")
	require.NoError(s.t, err, "%s %s", method, path)
	require.Equal(s.t, want, status, "%s %s: %s", method, path, raw)
	if out != nil {
		require.NoError(s.t, json.Unmarshal(raw, out), "%s", raw)
	}
}

// try asks once; key makes a start repeatable.
func (s *studio) try(ctx context.Context, method, path string, body any, key string) (int, []byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(raw))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if s.session != nil {
		req.AddCookie(s.session)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if s.session == nil && len(res.Cookies()) > 0 {
		s.session = res.Cookies()[0]
	}
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}
