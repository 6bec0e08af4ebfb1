package kubernetes_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/executor/kubernetes"
	"github.com/llmctl/studio/internal/testkit/kubetest"
	"github.com/llmctl/studio/internal/testkit/podtest"
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m)) }

// podImage is test/kubernetes/testpod.
const podImage = "localhost/llmctl-testpod:1"

var importPod sync.Once

// bench is one dispatcher over the rig, with attempts in memory and their API.
type dispatching struct {
	*podtest.Attempts

	cluster   *kubetest.Cluster
	namespace string
	settings  kubernetes.Settings
	figures   *kubernetes.Figures
	log       *slog.Logger
}

// newDispatching makes one; pod security of its namespace is the strictest.
func newDispatching(t *testing.T) *dispatching {
	t.Helper()
	c := kubetest.Rig(t, "pods run there")
	importPod.Do(func() {
		dir, err := filepath.Abs("../..")
		require.NoError(t, err)
		c.Image(t, podImage, kubetest.Build(t, dir, "./test/kubernetes/testpod", "testpod"))
	})
	d := &dispatching{
		Attempts: podtest.New(nil), cluster: c, figures: kubernetes.NewFigures(),
		namespace: c.Namespace(t, "pod-security.kubernetes.io/enforce", "restricted"),
		log:       slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	kubeconfig, err := os.ReadFile(c.Kubeconfig)
	require.NoError(t, err)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort(c.HostAddress(t), "0"))
	require.NoError(t, err)
	server := &http.Server{Handler: d.Attempts, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	d.settings = kubernetes.Settings{
		Connection: kubernetes.Connection{Kubeconfig: kubeconfig, Namespace: d.namespace}, Identity: d.namespace,
		FrontierImage: podImage, VLLMImage: podImage, JobTTL: 5 * time.Minute,
		Requests: kubernetes.Resources{CPU: "10m", Memory: "16Mi"}, Limits: kubernetes.Resources{CPU: "1", Memory: "64Mi"},
		DispatchTimeout: time.Minute, Timeout: time.Minute, LogTimeout: 10 * time.Second,
		CancelGrace: 3 * time.Second, CancelForce: true, APIURL: "http://" + l.Addr().String() + "/api",
	}
	return d
}

// worker makes a dispatcher, as a worker process has one.
func (d *dispatching) worker(t *testing.T) (*kubernetes.Executor, uuid.UUID) {
	t.Helper()
	id := uuid.New()
	e := kubernetes.New(kubernetes.Options{
		Attempts: d.Attempts, Worker: id, Figures: d.figures, Log: d.log,
		Settings:  func(context.Context) (kubernetes.Settings, error) { return d.settings, nil },
		LastBatch: 2 * time.Second,
	})
	d.Hint(e.Hint)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		e.Close(ctx)
	})
	return e, id
}

func payload(t *testing.T, nodeRunID int64, config map[string]any) executor.Payload {
	t.Helper()
	raw, err := json.Marshal(config)
	require.NoError(t, err)
	return executor.Payload{
		ContractVersion: executor.Version, NodeRunID: nodeRunID, Attempt: 1, Kind: "script", Config: raw,
		Secrets: map[string]string{"api_key": "sk-of-this-node"},
	}
}

// run claims an attempt and works it to its end.
func (d *dispatching) run(ctx context.Context, e *kubernetes.Executor, worker uuid.UUID, p executor.Payload) podtest.Row {
	d.Claim(p.NodeRunID, 1, worker)
	res := e.Execute(ctx, p, nil)
	if errors.Is(context.Cause(ctx), executor.ErrLetGo) {
		return d.Row(p.NodeRunID, 1)
	}
	d.Finish(kubernetes.Ref{NodeRunID: p.NodeRunID, Attempt: 1, Worker: worker}, res)
	return d.Row(p.NodeRunID, 1)
}

func (d *dispatching) within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func (d *dispatching) pods(t *testing.T) []corev1.Pod {
	t.Helper()
	list, err := d.cluster.Client.CoreV1().Pods(d.namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	return list.Items
}

// quiet waits until nothing of the namespace runs any more.
func (d *dispatching) quiet(t *testing.T) {
	t.Helper()
	kubetest.Eventually(t, time.Minute, "the end of all pods", func(context.Context) error {
		for _, p := range d.pods(t) {
			if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
				return &stillThereError{p.Name, string(p.Status.Phase)}
			}
		}
		return nil
	})
}

type stillThereError struct{ pod, phase string }

func (s *stillThereError) Error() string { return "pod " + s.pod + " is " + s.phase }

func eviction(pod, namespace string) *policyv1.Eviction {
	return &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: namespace}}
}
