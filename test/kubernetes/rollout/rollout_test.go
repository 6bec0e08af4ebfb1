package rollout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

// The two releases.
const (
	oldTag = "earlier"
	newTag = "current"
)

// TestRollout is one installation's life: it starts behind its gate, runs, is updated and
// taken back with runs in flight, and goes.
func TestRollout(t *testing.T) { //nolint:paralleltest // it fills the rig's node
	c := kubetest.Rig(t, "images without a registry")
	prepare(t, c)
	s := install(t, c)
	asked := serveNodes(t, c)
	// Nodes ask this machine, which is a private address.
	config := map[string]string{"LLMCTL_STUDIO_HTTP_NODE_ALLOW": c.HostAddress(t), "LLMCTL_STUDIO_RAG_SOURCE_ALLOW": c.HostAddress(t)}
	provider(config)
	before := release{tag: oldTag, frontend: newTag, config: config}
	after := release{tag: newTag, frontend: newTag, config: config}

	step(t, s, "the gate holds the backend until the MCP server answers", func() { s.gate(before) })
	s.signIn()
	chart := s.asking(asked.url)
	step(t, s, "a run goes through frontend, backend and worker", func() {
		got := s.ended(s.start(chart))
		require.Equal(t, "succeeded", got.FlowchartRun.Status, "%+v", got)
	})
	step(t, s, "the frontend serves the page and passes sockets on", s.frontend)
	step(t, s, "the autoscaler's figure is there", s.figures)
	step(t, s, "the accounts may do what they must and no more", func() { s.rights(); s.tokens(s.t) })
	step(t, s, "the documented backup is made", func() { s.backup(before) })
	step(t, s, "an update loses nothing", func() { s.change(after, chart, asked) })
	step(t, s, "the way back loses nothing", func() { s.change(before, chart, asked) })
	step(t, s, "polling needs no sticky sessions", func() { s.polling(after) })
	step(t, s, "a Git source is indexed", s.gitSource)
	step(t, s, "nodes run in pods", func() { s.inPods(after) })
	step(t, s, "what is removed is gone", func() { s.remove(after) })
}

// step is a subtest whose failure ends the whole: the next one stands on it.
func step(t *testing.T, s *studio, name string, f func()) {
	t.Helper()
	begun := time.Now()
	if !t.Run(name, func(t *testing.T) {
		outer := s.t
		defer func() { s.t = outer }()
		s.t = t
		f()
	}) {
		t.FailNow()
	}
	t.Logf("%s: %s", name, time.Since(begun).Round(time.Second))
}

// prepare makes the images of both releases, and a name server.
func prepare(t *testing.T, c *kubetest.Cluster) {
	t.Helper()
	w := newWorkshop(t, c)
	current := kubetest.Build(t, root, "./cmd/llmctl", "llmctl")
	w.studio(newTag, current)
	w.studio(oldTag, earlierBinary(t, current), "llmctl-studio-backend", "llmctl-celery-worker", "llmctl-celery-beat")
	w.stores()
	names(t, c)
}

// earlierBinary is the program of an earlier commit; the present one where there is no history.
func earlierBinary(t *testing.T, current string) string {
	t.Helper()
	if exec.CommandContext(t.Context(), "git", "-C", root, "cat-file", "-e", earlier+"^{commit}").Run() != nil {
		t.Logf("commit %s is not in this clone: the earlier release is the present one under another tag", earlier)
		return current
	}
	return kubetest.Build(t, checkout(t, earlier), "./cmd/llmctl", "llmctl")
}

// provider says where nodes run.
func provider(config map[string]string) {
	config["LLMCTL_NODE_EXECUTOR_PROVIDER"] = "process"
	config["LLMCTL_STUDIO_SCRIPT_NODES"] = "false"
}

// nodes is what the nodes of this test ask.
type nodes struct {
	url     string
	release chan struct{} // closed: long requests are answered
	mu      sync.Mutex
	long    int // long requests that came
}

// serveNodes answers nodes after a moment, or those to /long when they are released.
func serveNodes(t *testing.T, c *kubetest.Cluster) *nodes {
	t.Helper()
	n := &nodes{release: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/ask", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
		}
		_, _ = w.Write([]byte(`{"answer": 42}`))
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		n.long++
		wait := n.release
		n.mu.Unlock()
		select {
		case <-wait:
			_, _ = w.Write([]byte(`{"answer": 42}`))
		case <-r.Context().Done():
		}
	})
	n.url = "http://" + serve(t, c, mux) + "/ask"
	return n
}

// gate applies a release without its MCP server, and then with it.
func (s *studio) gate(r release) {
	closed := r
	closed.replicas = map[string]int{"llmctl-mcp": 0}
	s.apply(closed)
	kubetest.Eventually(s.t, patience, "the gate's word", func(ctx context.Context) error {
		pods := s.pods("llmctl-studio-backend") //nolint:contextcheck // the test's own
		if len(pods) != 1 {
			return fmt.Errorf("%d pods of the backend", len(pods))
		}
		text, err := s.cluster.Log(ctx, namespace, pods[0].Name, "wait-for-integrated-mcp", false)
		if err == nil && !strings.Contains(text, "http://llmctl-mcp.llmctl.svc.cluster.local:9020/mcp") {
			err = errors.New("it has said nothing: " + text)
		}
		return err
	})
	// Everything that needs no backend comes up meanwhile, the migration among it.
	for _, name := range []string{"llmctl-redis", "llmctl-celery-worker", "llmctl-celery-beat", "llmctl-studio-frontend"} {
		deployed(s.t, s.cluster, namespace, name)
	}
	s.migrated(r.tag)
	for _, pod := range s.pods("llmctl-studio-backend") {
		require.Equal(s.t, corev1.PodPending, pod.Status.Phase)
		require.NotNil(s.t, pod.Status.InitContainerStatuses[0].State.Running, "the gate still holds")
	}
	s.apply(r)
	s.deployed()
}

// migrated waits for the Job of a release.
func (s *studio) migrated(tag string) {
	s.t.Helper()
	kubetest.Eventually(s.t, patience, "the migration", func(ctx context.Context) error {
		job, err := s.cluster.Client.BatchV1().Jobs(namespace).Get(ctx, "llmctl-studio-migrate-"+tag, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if job.Status.Succeeded != 1 {
			return fmt.Errorf("%+v", job.Status)
		}
		return nil
	})
}

// frontend looks at what nginx serves and passes on.
func (s *studio) frontend() {
	for path, want := range map[string]int{
		"/healthz": http.StatusOK, "/web/": http.StatusOK, "/web/flowcharts": http.StatusOK, "/api/health": http.StatusOK,
		"/api/unknown": http.StatusNotFound, "/metrics": http.StatusNotFound, "/static/app.js": http.StatusNotFound, "/web/assets/gone.js": http.StatusNotFound,
	} {
		status, raw, err := s.try(s.t.Context(), http.MethodGet, path, nil)
		require.NoError(s.t, err)
		require.Equal(s.t, want, status, "%s: %s", path, raw)
	}
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.address+"/api/socket.io/?EIO=4&transport=websocket", nil)
	require.NoError(s.t, err)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	} {
		request.Header.Set(name, value)
	}
	answer, err := (&http.Transport{}).RoundTrip(request)
	require.NoError(s.t, err)
	defer answer.Body.Close()
	require.Equal(s.t, http.StatusSwitchingProtocols, answer.StatusCode)
}

// figures looks for what components/queue-autoscaling scales by, where Prometheus would.
func (s *studio) figures() {
	for _, name := range []string{"llmctl-studio-backend", "llmctl-celery-worker"} {
		request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.pods(name)[0].Status.PodIP+":9091/metrics", nil)
		require.NoError(s.t, err)
		answer, err := s.client.Do(request)
		require.NoError(s.t, err)
		raw, err := io.ReadAll(answer.Body)
		require.NoError(s.t, errors.Join(err, answer.Body.Close()))
		require.Contains(s.t, string(raw), `llmctl_queue_waiting{queue="llmctl_studio"`, name)
	}
}

// change rolls a release out while runs are started, one of them all the time in its node,
// and the API is asked without a pause.
func (s *studio) change(r release, chart int64, asked *nodes) {
	ctx, stop := context.WithCancel(s.t.Context())
	defer stop()
	asked.mu.Lock()
	asked.release, asked.long = make(chan struct{}), 0
	asked.mu.Unlock()
	long := s.start(s.asking(strings.Replace(asked.url, "/ask", "/long", 1)))
	kubetest.Eventually(s.t, patience, "the long node", func(context.Context) error {
		asked.mu.Lock()
		defer asked.mu.Unlock()
		if asked.long == 0 {
			return errors.New("it has not asked")
		}
		return nil
	})
	var group sync.WaitGroup
	var ids []int64
	var faults []string
	group.Go(func() { ids = s.keepStarting(ctx, chart) })
	group.Go(func() { faults = s.keepAsking(ctx) })
	s.apply(r)
	s.deployed()
	s.migrated(r.tag)
	s.only(r.tag)
	stop()
	group.Wait()
	close(asked.release)

	require.Empty(s.t, faults, "the API was away")
	require.Greater(s.t, len(ids), 10)
	for _, id := range append(ids, long) {
		got := s.ended(id)
		require.Equal(s.t, "succeeded", got.FlowchartRun.Status, "%+v", got)
	}
	asked.mu.Lock()
	defer asked.mu.Unlock()
	require.Greater(s.t, asked.long, 1, "the long node changed its worker")
	s.t.Logf("%d runs, the long node asked %d times", len(ids), asked.long)
}

// only waits until no process of another release is left: the last ones drain.
func (s *studio) only(tag string) {
	s.t.Helper()
	kubetest.Eventually(s.t, patience, "the end of the other release", func(context.Context) error {
		for _, name := range []string{"llmctl-studio-backend", "llmctl-celery-worker", "llmctl-celery-beat"} {
			for _, pod := range s.pods(name) { //nolint:contextcheck // the test's own
				if !strings.HasSuffix(pod.Spec.Containers[0].Image, ":"+tag) {
					return fmt.Errorf("%s is there", pod.Name)
				}
				require.Zero(s.t, pod.Status.ContainerStatuses[0].RestartCount, "%s has started again", pod.Name)
			}
		}
		return nil
	})
}

// pace is between two requests of a client.
const pace = 200 * time.Millisecond

func (s *studio) keepStarting(ctx context.Context, chart int64) (ids []int64) {
	again := time.NewTicker(pace)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return ids
		case <-again.C:
			ids = append(ids, s.start(chart)) //nolint:contextcheck // a started one is finished
		}
	}
}

func (s *studio) keepAsking(ctx context.Context) (faults []string) {
	again := time.NewTicker(pace / 4)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return faults
		case <-again.C:
		}
		status, raw, err := s.try(context.WithoutCancel(ctx), http.MethodGet, "/api/auth/me", nil)
		if err != nil || status != http.StatusOK {
			faults = append(faults, fmt.Sprintf("%s: status %d %s %v", time.Now().Format(time.TimeOnly), status, raw, err))
		}
	}
}

// remove deletes what was applied; the claims' data and the Secret are the user's.
func (s *studio) remove(r release) {
	s.cluster.Kubectl(s.t, render(s.t, s.cluster, overlay(s.t, r.kustomization(s.t))), "delete", "--wait=false", "--ignore-not-found", "-f", "-")
	s.cluster.NoPods(s.t, namespace, "")
}
