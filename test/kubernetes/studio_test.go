package kubernetes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/testkit/kubetest"
	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/proctest"
)

// executorImage is the program itself with a shell beside it, for script nodes.
const executorImage = "localhost/llmctl-executor-test"

var importExecutor sync.Once

const patience = 90 * time.Second

// studio is the whole program beside the rig: a backend that the pods reach, and
// workers.
type studio struct {
	*kubetest.Cluster

	t         *testing.T
	db        *postgres.DB
	engine    *run.Engine
	namespace string
	uri       string
	address   string
	data      string
	client    *http.Client
	backend   *proctest.Process
}

func newStudio(t *testing.T) *studio {
	t.Helper()
	c := kubetest.Rig(t, "pods run there")
	importExecutor.Do(func() { buildExecutor(t, c) })
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	s := &studio{
		Cluster: c, t: t, uri: pgtest.URI(t), data: t.TempDir(), client: &http.Client{Jar: jar, Timeout: 40 * time.Second},
		namespace: c.Namespace(t, "pod-security.kubernetes.io/enforce", "restricted"),
	}
	s.db, err = postgres.Open(t.Context(), postgres.Options{URI: s.uri, MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(s.db.Close)
	quiet := slog.New(slog.DiscardHandler)
	jobs, err := queue.NewClient(queue.Options{DB: s.db, Logger: quiet})
	require.NoError(t, err)
	s.engine = run.NewEngine(run.Options{
		DB: s.db, Log: event.NewLog(bus.NewMemory(), time.Now), Jobs: jobs,
		ExecutorFor: func(string) string { return run.InPod }, Now: time.Now, Logger: quiet,
	})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(c.HostAddress(t), "0"))
	require.NoError(t, err)
	s.address = l.Addr().String()
	require.NoError(t, l.Close())
	s.serve()
	s.configure()
	return s
}

func buildExecutor(t *testing.T, c *kubetest.Cluster) {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	busybox, err := exec.LookPath("busybox")
	require.NoError(t, err, "busybox-static is missing")
	shell := filepath.Join(t.TempDir(), "bin")
	require.NoError(t, os.MkdirAll(shell, 0o755))
	raw, err := os.ReadFile(busybox)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(shell, "busybox"), raw, 0o755))
	for _, applet := range []string{"sh", "cat", "sleep", "dd", "echo", "seq", "id", "env", "touch", "trap"} {
		require.NoError(t, os.Symlink("busybox", filepath.Join(shell, applet)))
	}
	binary := os.Getenv("LLMCTL_TEST_EXECUTOR") // a static build that is there already
	if binary == "" {
		binary = kubetest.Build(t, root, "./cmd/llmctl", "llmctl")
	}
	c.Image(t, executorImage+":1", binary, filepath.Dir(shell))
}

func (s *studio) environ(more ...string) []string {
	return append([]string{
		"LLMCTL_STUDIO_DATABASE_URI=" + s.uri, "LLMCTL_STUDIO_DATA_DIR=" + s.data, "LLMCTL_STUDIO_INTERNAL_BIND=off",
		"LLMCTL_STUDIO_SECRET_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "LLMCTL_STUDIO_SCRIPT_NODES=true",
		"LLMCTL_STUDIO_ADMIN_EMAIL=admin@example.com", "LLMCTL_STUDIO_ADMIN_PASSWORD=a-long-password-1",
		"LLMCTL_NODE_EXECUTOR_K8S_NAMESPACE=" + s.namespace, "LLMCTL_NODE_EXECUTOR_WORKSPACE_IDENTITY_KEY=" + s.namespace,
		"LLMCTL_NODE_EXECUTOR_K8S_FRONTIER_IMAGE=" + executorImage, "LLMCTL_NODE_EXECUTOR_K8S_FRONTIER_IMAGE_TAG=1",
		"LLMCTL_NODE_EXECUTOR_K8S_VLLM_IMAGE=" + executorImage, "LLMCTL_NODE_EXECUTOR_K8S_VLLM_IMAGE_TAG=1",
		"LLMCTL_NODE_EXECUTOR_K8S_API_URL=http://" + s.address + "/api", "LLMCTL_NODE_EXECUTOR_CANCEL_GRACE_TIMEOUT_SECONDS=5",
		"LLMCTL_NODE_EXECUTOR_K8S_CPU_REQUEST=10m", "LLMCTL_NODE_EXECUTOR_K8S_MEMORY_REQUEST=32Mi",
	}, more...)
}

func (s *studio) serve() {
	s.t.Helper()
	s.backend = proctest.Start(s.t, "../..", []string{"serve"}, s.environ("GUNICORN_BIND="+s.address, "GUNICORN_WORKERS=1"))
	require.Eventually(s.t, func() bool {
		res, err := s.client.Get("http://" + s.address + "/api/ready")
		if err != nil {
			return false
		}
		return res.Body.Close() == nil && res.StatusCode == http.StatusOK
	}, patience, 50*time.Millisecond, "the backend is not ready")
}

// configure gives the Studio the way to the cluster, over its API.
func (s *studio) configure() {
	s.t.Helper()
	s.call(http.StatusOK, http.MethodPost, "/auth/login", map[string]any{"email": "admin@example.com", "password": "a-long-password-1"})
	kubeconfig, err := os.ReadFile(s.Kubeconfig)
	require.NoError(s.t, err)
	s.call(http.StatusOK, http.MethodPatch, "/settings/node_executor", map[string]any{"provider": "kubernetes", "k8s_kubeconfig": string(kubeconfig)})
}

func (s *studio) call(want int, method, path string, body any) map[string]any {
	s.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(s.t, err)
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.address+"/api"+path, bytes.NewReader(raw))
	require.NoError(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, want, res.StatusCode, "%s %s: %s", method, path, answer)
	out := map[string]any{}
	if len(answer) > 0 {
		require.NoError(s.t, json.Unmarshal(answer, &out))
	}
	return out
}

func (s *studio) worker(name string, concurrency int) *proctest.Process {
	s.t.Helper()
	p := proctest.Start(s.t, "../..", []string{"worker"}, s.environ("CELERY_WORKER_HOSTNAME="+name, fmt.Sprintf("CELERY_WORKER_CONCURRENCY=%d", concurrency)))
	p.AwaitLog("worker ready", patience)
	return p
}

// start starts a run of one script and gives its id and its node run's.
func (s *studio) start(script string, config map[string]any) (runID, nodeRunID int64) {
	s.t.Helper()
	all := map[string]any{"command": []string{"sh", "-c", script}}
	maps.Copy(all, config)
	raw, err := json.Marshal(all)
	require.NoError(s.t, err)
	at := `"title":"","position":{"x":0,"y":0},"config":`
	graph := `{"nodes":[{"id":"start","kind":"start",` + at + `{}},{"id":"do","kind":"script",` + at + string(raw) + `},{"id":"end","kind":"end",` + at + `{}}],
		"edges":[{"id":"e1","source":"start","target":"do","mode":"solid"},{"id":"e2","source":"do","target":"end","mode":"solid"}]}`
	var flow int64
	require.NoError(s.t, s.db.QueryRow(s.t.Context(), `INSERT INTO flowchart (name, version) VALUES ('f', 1) RETURNING id`).Scan(&flow))
	_, err = s.db.Exec(s.t.Context(), `INSERT INTO flowchart_version (flowchart_id, number, graph, node_count) VALUES ($1, 1, $2, 3)`, flow, graph)
	require.NoError(s.t, err)
	made, err := s.engine.Start(s.t.Context(), run.StartRequest{FlowchartID: flow})
	require.NoError(s.t, err)
	require.NoError(s.t, s.db.QueryRow(s.t.Context(), `SELECT id FROM node_run WHERE flowchart_run_id = $1 AND kind = 'script'`, made.ID).Scan(&nodeRunID))
	return made.ID, nodeRunID
}

// ended waits for the end of a node run and gives the node.
func (s *studio) ended(nodeRunID int64) map[string]any {
	s.t.Helper()
	s.until(nodeRunID, "n.finished_at IS NOT NULL")
	task, _ := s.call(http.StatusOK, http.MethodGet, fmt.Sprintf("/nodes/%d", nodeRunID), nil)["task"].(map[string]any)
	return task
}

// until waits for a condition on node run n and its latest attempt a.
func (s *studio) until(nodeRunID int64, condition string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		var ok bool
		err := s.db.QueryRow(s.t.Context(), `SELECT `+condition+` FROM node_run n LEFT JOIN node_attempt a ON a.node_run_id = n.id AND a.number = n.attempt
			WHERE n.id = $1`, nodeRunID).Scan(&ok)
		return err == nil && ok
	}, patience, 50*time.Millisecond, condition)
}

func text(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

func TestAScriptRunsInAPodAndItsLogIsShown(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	s.worker("one", 2)
	probe := s.call(http.StatusOK, http.MethodPost, "/settings/node_executor/test", nil)
	require.Equal(t, true, probe["ok"], text(probe))
	require.Empty(t, probe["missing_permissions"])
	_, node := s.start(`id -u; echo '{"answer": 42}'`, nil)
	task := s.ended(node)
	require.Equal(t, "succeeded", task["status"], text(task))
	require.Contains(t, text(task["output_state"]), "65532")
	kubetest.Eventually(t, 30*time.Second, "the pod's log", func(context.Context) error {
		log := s.call(http.StatusOK, http.MethodGet, fmt.Sprintf("/nodes/%d/attempts/1/pod-log", node), nil)
		if items, _ := log["items"].([]any); len(items) == 0 {
			return &stillThereError{"log", "empty"}
		}
		return nil
	})
}

func TestAScriptOutOfMemorySaysSoOnTheRunPage(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	s.worker("one", 2)
	_, node := s.start(`dd if=/dev/zero of=/dev/null bs=2147483648 count=1`, map[string]any{"resources": map[string]any{"memory": "256Mi"}})
	task := s.ended(node)
	require.Equal(t, "failed", task["status"])
	failure, _ := task["error"].(map[string]any)
	require.Equal(t, "out_of_memory", failure["code"], text(failure))
	require.Contains(t, failure["message"], "The node needed more memory than its limit of 256 MiB and was ended (OOMKilled). Raise resources.memory of the node, or the default in the settings.")
}

func TestAKilledWorkersPodGoesOnWithAnother(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	workers := map[string]*proctest.Process{"one": s.worker("one", 1), "two": s.worker("two", 1)}
	_, node := s.start(`sleep 20; echo done`, nil)
	s.until(node, "a.started_at IS NOT NULL OR a.confirmed_at IS NOT NULL")
	var holder string
	require.NoError(t, s.db.QueryRow(t.Context(), `SELECT w.hostname FROM node_attempt a JOIN worker_process w ON w.id = a.worker_process_id WHERE a.node_run_id = $1`, node).Scan(&holder))
	workers[holder].Signal(9)
	task := s.ended(node)
	require.Equal(t, "succeeded", task["status"], text(task))
	require.InDelta(t, 1, task["attempt"], 0, "the pod was adopted, not repeated")
}

func TestACancelledScriptIsGoneWhenTheNodeIs(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	s.worker("one", 2)
	flow, node := s.start(`trap '' TERM; sleep 300`, nil)
	s.until(node, "a.confirmed_at IS NOT NULL")
	s.call(http.StatusAccepted, http.MethodPost, fmt.Sprintf("/flowchart-runs/%d/cancel", flow), map[string]any{})
	task := s.ended(node)
	require.Equal(t, "cancelled", task["status"], text(task))
	d := &dispatching{cluster: s.Cluster, namespace: s.namespace}
	d.quiet(t)
}

func TestAJobWithoutAnAttemptIsDeleted(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	s.worker("one", 2)
	_, node := s.start(`sleep 300`, nil)
	s.until(node, "a.confirmed_at IS NOT NULL")
	// As after a restore from a backup, say: the cluster knows of more than the database.
	_, err := s.db.Exec(t.Context(), `UPDATE node_attempt SET status = 'failed', finished_at = now(), payload_blob = NULL WHERE node_run_id = $1`, node)
	require.NoError(t, err)
	d := &dispatching{cluster: s.Cluster, namespace: s.namespace}
	kubetest.Eventually(t, patience, "the orphan to be deleted", func(context.Context) error {
		for _, p := range d.pods(t) {
			if p.DeletionTimestamp == nil && p.Status.Phase == "Running" {
				return &stillThereError{p.Name, "running"}
			}
		}
		return nil
	})
}
