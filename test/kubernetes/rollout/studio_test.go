package rollout

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

const (
	namespace = "llmctl" // the base's
	email     = "ada@example.com"
	password  = "correct horse battery"
)

// studio is the base, applied.
type studio struct {
	t       *testing.T
	cluster *kubetest.Cluster
	client  *http.Client
	address string // of the frontend's service
}

// install makes what somebody has before the first apply: the namespace and the Secret.
func install(t *testing.T, c *kubetest.Cluster) *studio {
	t.Helper()
	volumes(t, c)
	c.MakeNamespace(t, namespace, "pod-security.kubernetes.io/enforce", "restricted")
	_, err := c.Client.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "llmctl-studio-secrets"},
		StringData: map[string]string{
			"LLMCTL_POSTGRES_PASSWORD": "p4ss", "LLMCTL_STUDIO_SECRET_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
			"LLMCTL_STUDIO_ADMIN_EMAIL": email, "LLMCTL_STUDIO_ADMIN_PASSWORD": password,
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &studio{t: t, cluster: c, client: &http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

// apply rolls a release out, as kubectl apply -k does.
func (s *studio) apply(r release) {
	s.t.Helper()
	s.cluster.Apply(s.t, namespace, render(s.t, s.cluster, overlay(s.t, r.kustomization(s.t))))
}

// deployed waits until all of it is there.
func (s *studio) deployed() {
	s.t.Helper()
	for _, name := range []string{"llmctl-redis", "llmctl-mcp", "llmctl-studio-backend", "llmctl-celery-worker", "llmctl-celery-beat", "llmctl-studio-frontend"} {
		deployed(s.t, s.cluster, namespace, name)
	}
}

// signIn signs in through the frontend.
func (s *studio) signIn() {
	s.t.Helper()
	service, err := s.cluster.Client.CoreV1().Services(namespace).Get(s.t.Context(), "llmctl-studio-frontend", metav1.GetOptions{})
	require.NoError(s.t, err)
	s.address = "http://" + service.Spec.ClusterIP + ":8080"
	// A moment passes until the network knows which pods are ready.
	kubetest.Eventually(s.t, patience, "the way through the frontend", func(ctx context.Context) error {
		status, raw, err := s.try(ctx, http.MethodGet, "/api/health", nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", status, raw)
		}
		return err
	})
	s.call(http.StatusOK, http.MethodPost, "/api/auth/login", map[string]string{"email": email, "password": password}, nil)
}

// call asks the API, and fails the test when it does not answer as it should.
func (s *studio) call(want int, method, path string, body, out any) {
	s.t.Helper()
	status, raw, err := s.try(s.t.Context(), method, path, body)
	require.NoError(s.t, err, "%s %s", method, path)
	require.Equal(s.t, want, status, "%s %s: %s", method, path, raw)
	if out != nil {
		require.NoError(s.t, json.Unmarshal(raw, out), "%s", raw)
	}
}

func (s *studio) try(ctx context.Context, method, path string, body any) (int, []byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, s.address+path, bytes.NewReader(raw))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := s.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return answer.StatusCode, content, err
}

// asking makes a flowchart that asks an address.
func (s *studio) asking(url string) int64 {
	s.t.Helper()
	return s.flowchart("http", map[string]any{"method": "GET", "url": url})
}

// flowchart makes one of a node between start and end.
func (s *studio) flowchart(kind string, config map[string]any) int64 {
	s.t.Helper()
	var made struct {
		ID int64 `json:"id"`
	}
	s.call(http.StatusCreated, http.MethodPost, "/api/flowcharts", map[string]any{"name": "ask"}, &made)
	at := map[string]int{"x": 0, "y": 0}
	s.call(http.StatusOK, http.MethodPut, fmt.Sprintf("/api/flowcharts/%d/graph", made.ID), map[string]any{
		"nodes": []map[string]any{
			{"id": "start", "kind": "start", "title": "Start", "position": at, "config": map[string]any{}},
			{"id": "ask", "kind": kind, "title": "Ask", "position": at, "config": config},
			{"id": "end", "kind": "end", "title": "End", "position": at, "config": map[string]any{}},
		},
		"edges": []map[string]any{
			{"id": "e1", "source": "start", "target": "ask", "mode": "solid"}, {"id": "e2", "source": "ask", "target": "end", "mode": "solid"},
		},
	}, nil)
	return made.ID
}

// run is a run as the API tells it.
type run struct {
	FlowchartRun struct {
		ID     int64  `json:"id"`
		Status string `json:"status"`
	} `json:"flowchart_run"`
	NodeRuns []struct {
		Node    string `json:"flowchart_node_id"`
		Status  string `json:"status"`
		Attempt int    `json:"attempt"`
		Error   any    `json:"error"`
	} `json:"node_runs"`
}

// start begins a run and gives its id.
func (s *studio) start(flowchart int64) int64 {
	s.t.Helper()
	var r run
	s.call(http.StatusAccepted, http.MethodPost, fmt.Sprintf("/api/flowcharts/%d/runs", flowchart), map[string]any{}, &r)
	require.NotZero(s.t, r.FlowchartRun.ID)
	return r.FlowchartRun.ID
}

// ended waits for the end of a run.
func (s *studio) ended(id int64) run {
	s.t.Helper()
	var r run
	kubetest.Eventually(s.t, patience, fmt.Sprintf("the end of run %d", id), func(ctx context.Context) error {
		status, raw, err := s.try(ctx, http.MethodGet, fmt.Sprintf("/api/flowchart-runs/%d", id), nil)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("status %d: %s", status, raw)
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		switch r.FlowchartRun.Status {
		case "succeeded", "failed", "cancelled":
			return nil
		}
		return fmt.Errorf("it is %s", r.FlowchartRun.Status)
	})
	return r
}

// pods are those of a deployment.
func (s *studio) pods(name string) []corev1.Pod {
	s.t.Helper()
	list, err := s.cluster.Client.CoreV1().Pods(namespace).List(s.t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + name})
	require.NoError(s.t, err)
	return list.Items
}

// serve serves this machine's end of nodes, where pods reach it.
func serve(t *testing.T, c *kubetest.Cluster, handler http.Handler) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", c.HostAddress(t)+":0")
	require.NoError(t, err)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	return ln.Addr().String()
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u
}
