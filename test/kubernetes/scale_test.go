package kubernetes_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "k8s.io/client-go/kubernetes"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/executor/kubernetes"
	"github.com/llmctl/studio/internal/testkit/kubetest"
	"github.com/llmctl/studio/internal/testkit/podtest"
)

// alone is a dispatcher over an API server without controllers.
type alone struct {
	*podtest.Attempts

	control  *control
	client   kube.Interface
	api      *httptest.Server
	settings kubernetes.Settings
	figures  *kubernetes.Figures
	log      *slog.Logger
}

func newAlone(t *testing.T, server func(c *control) string) *alone {
	t.Helper()
	c := newControl(t)
	a := &alone{Attempts: podtest.New(nil), control: c, client: c.client(), figures: kubernetes.NewFigures(), log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	a.api = httptest.NewServer(a.Attempts)
	t.Cleanup(a.api.Close)
	a.settings = kubernetes.Settings{
		Connection: kubernetes.Connection{Kubeconfig: c.kubeconfig(server(c)), Namespace: "default"}, Identity: "test",
		FrontierImage: "x:1", VLLMImage: "x:1", JobTTL: time.Hour, DispatchTimeout: 10 * time.Minute, Timeout: 10 * time.Minute,
		LogTimeout: time.Second, CancelGrace: 2 * time.Second, CancelForce: true, APIURL: a.api.URL,
	}
	return a
}

func direct(c *control) string { return c.url }

func (a *alone) worker(t *testing.T, lookEvery time.Duration) (*kubernetes.Executor, uuid.UUID) {
	t.Helper()
	id := uuid.New()
	e := kubernetes.New(kubernetes.Options{
		Attempts: a.Attempts, Worker: id, Figures: a.figures, Log: a.log, LookEvery: lookEvery, LastBatch: 500 * time.Millisecond,
		Settings: func(context.Context) (kubernetes.Settings, error) { return a.settings, nil },
	})
	a.Hint(e.Hint)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		e.Close(ctx)
	})
	return e, id
}

// jobOf waits for an attempt's Job.
func (a *alone) job(t *testing.T, nodeRunID int64) *batchv1.Job {
	t.Helper()
	var job *batchv1.Job
	kubetest.Eventually(t, time.Minute, "the Job", func(ctx context.Context) error {
		list, err := a.client.BatchV1().Jobs("default").List(ctx, metav1.ListOptions{LabelSelector: fmt.Sprintf("llmctl.studio/node-run=%d", nodeRunID)})
		if err != nil {
			return err
		}
		if len(list.Items) == 0 {
			return errors.New("there is none")
		}
		job = &list.Items[0]
		return nil
	})
	return job
}

// token is what the pod of a Job is given.
func (a *alone) token(t *testing.T, job *batchv1.Job) string {
	t.Helper()
	var token string
	kubetest.Eventually(t, time.Minute, "the Secret", func(ctx context.Context) error {
		s, err := a.client.CoreV1().Secrets("default").Get(ctx, job.Name, metav1.GetOptions{})
		if err == nil {
			token = string(s.Data["token"])
		}
		return err
	})
	return token
}

// pod makes the Job's pod, as its controller does.
func (a *alone) pod(t *testing.T, job *batchv1.Job) *corev1.Pod {
	t.Helper()
	labels := maps.Clone(job.Labels)
	labels["batch.kubernetes.io/job-name"], labels["batch.kubernetes.io/controller-uid"] = job.Name, string(job.UID)
	p, err := a.client.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: job.Name + "-p", Labels: labels, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID},
		}},
		Spec: job.Spec.Template.Spec,
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return p
}

func (a *alone) run(ctx context.Context, e *kubernetes.Executor, worker uuid.UUID, p executor.Payload) podtest.Row {
	a.Claim(p.NodeRunID, 1, worker)
	res := e.Execute(ctx, p, nil)
	if !errors.Is(context.Cause(ctx), executor.ErrLetGo) {
		a.Finish(kubernetes.Ref{NodeRunID: p.NodeRunID, Attempt: 1, Worker: worker}, res)
	}
	return a.Row(p.NodeRunID, 1)
}

// Not parallel: a rate is measured, and it leaves the others no room.
func TestTwoThousandJobsAreHeldByOneProcessWithoutPolling(t *testing.T) { //nolint:paralleltest // see above
	const jobs = 2000
	a := newAlone(t, direct)
	a.log = slog.New(slog.DiscardHandler)
	e, worker := a.worker(t, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	began := time.Now()
	var all sync.WaitGroup
	ended := make([]podtest.Row, jobs)
	for i := range jobs {
		of := payload(t, int64(i+1), nil)
		all.Go(func() { ended[i] = a.run(ctx, e, worker, of) })
	}
	for i := range jobs {
		require.True(t, a.Await(ctx, int64(i+1), 1, func(r podtest.Row) bool { return r.Dispatch == kubernetes.DispatchSubmitted }))
	}
	t.Logf("%d Jobs dispatched in %s", jobs, time.Since(began).Round(time.Millisecond))
	dispatched := a.figures.Requests()
	require.InDelta(t, 2*jobs, float64(sum(dispatched)), 0.02*jobs+10, "a Job and a Secret each: %v", dispatched)

	// Steady state: nothing happens, and nothing is asked.
	time.Sleep(15 * time.Second) //nolint:forbidigo // a rate is measured
	quiet := sum(a.figures.Requests()) - sum(dispatched)
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	t.Logf("requests in 15 s with %d open Jobs: %d; heap %d MiB", jobs, quiet, mem.HeapAlloc>>20)
	require.Less(t, quiet, uint64(20), "watches only")

	// They end: each result is one hint, and costs the removal of its Secret.
	list, err := a.client.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=llmctl-executor"})
	require.NoError(t, err)
	require.Len(t, list.Items, jobs)
	for _, s := range list.Items {
		require.Equal(t, http.StatusOK, post(t, a.api.URL, string(s.Data["token"]), s.Name, startedBody))
		require.Equal(t, http.StatusOK, post(t, a.api.URL, string(s.Data["token"]), s.Name, resultBody))
	}
	all.Wait()
	for _, r := range ended {
		require.Equal(t, "pod", r.By)
	}
	kubetest.Eventually(t, time.Minute, "the Secrets to be removed", func(ctx context.Context) error {
		left, err := a.client.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=llmctl-executor"})
		if err == nil && len(left.Items) > 0 {
			err = fmt.Errorf("%d are left", len(left.Items))
		}
		return err
	})
	total := a.figures.Requests()
	t.Logf("requests per Job over its life: %.2f (%v)", float64(sum(total))/jobs, total)
	require.Less(t, float64(sum(total))/jobs, 3.5)
}

func sum(m map[string]uint64) uint64 {
	n := uint64(0)
	for v := range maps.Values(m) {
		n += v
	}
	return n
}

// faulty passes requests on to an API server, and then does what a test wants: the
// answer is lost, or is another one.
type faulty struct {
	*httptest.Server

	broken atomic.Bool                                                       // answers 500 to all
	after  atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool] // true: the answer is dropped
}

func newFaulty(t *testing.T, c *control) *faulty {
	t.Helper()
	target, err := url.Parse(c.url)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	proxy.FlushInterval = -1
	f := &faulty{}
	// With TLS: credentials of a kubeconfig are sent over nothing else.
	f.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.broken.Load() {
			http.Error(w, "broken", http.StatusInternalServerError)
			return
		}
		if hook := f.after.Load(); hook != nil && (*hook)(w, r) {
			if strings.Contains(r.URL.RawQuery, "watch=") {
				return // the hook has answered
			}
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler) // done there, and the answer never comes
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

func TestACreateWhoseAnswerIsLostMakesOneJobWithOneToken(t *testing.T) {
	t.Parallel()
	var f *faulty
	a := newAlone(t, func(c *control) string { f = newFaulty(t, c); return f.URL })
	lost := sync.Map{}
	drop := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		_, seen := lost.LoadOrStore(r.URL.Path, true)
		return !seen
	}
	f.after.Store(&drop)
	e, worker := a.worker(t, time.Second)
	done := make(chan podtest.Row, 1)
	of := payload(t, 1, nil)
	go func() { done <- a.run(t.Context(), e, worker, of) }()
	require.True(t, a.Await(t.Context(), 1, 1, func(r podtest.Row) bool { return r.Dispatch == kubernetes.DispatchSubmitted }))
	job := a.job(t, 1)
	token := a.token(t, job)
	require.Equal(t, http.StatusOK, post(t, a.api.URL, token, "pod", startedBody))
	require.Equal(t, http.StatusOK, post(t, a.api.URL, token, "pod", resultBody))
	require.Equal(t, "pod", (<-done).By)
	paths := []string{}
	lost.Range(func(k, _ any) bool { paths = append(paths, k.(string)); return true })
	slices.Sort(paths)
	require.Equal(t, []string{"/api/v1/namespaces/default/secrets", "/apis/batch/v1/namespaces/default/jobs"}, paths)
}

func TestWhileTheClusterCannotBeAskedTheAttemptIsUncertainAndStaysOpen(t *testing.T) {
	t.Parallel()
	var f *faulty
	a := newAlone(t, func(c *control) string { f = newFaulty(t, c); return f.URL })
	f.broken.Store(true)
	e, worker := a.worker(t, time.Second)
	done := make(chan podtest.Row, 1)
	of := payload(t, 1, nil)
	go func() { done <- a.run(t.Context(), e, worker, of) }()
	require.True(t, a.Await(t.Context(), 1, 1, func(r podtest.Row) bool { return r.State.Uncertain }))
	require.True(t, a.Row(1, 1).Open)
	f.broken.Store(false)
	require.True(t, a.Await(t.Context(), 1, 1, func(r podtest.Row) bool { return r.Dispatch == kubernetes.DispatchSubmitted && !r.State.Uncertain }))
	token := a.token(t, a.job(t, 1))
	require.Equal(t, http.StatusOK, post(t, a.api.URL, token, "pod", startedBody))
	require.Equal(t, http.StatusOK, post(t, a.api.URL, token, "pod", resultBody))
	require.Equal(t, "pod", (<-done).By)
}

func TestGivingUpNeedsNoClusterAndNoPodIsLetInAfterwards(t *testing.T) {
	t.Parallel()
	var f *faulty
	a := newAlone(t, func(c *control) string { f = newFaulty(t, c); return f.URL })
	e, worker := a.worker(t, time.Second)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan podtest.Row, 1)
	of := payload(t, 1, nil)
	go func() { done <- a.run(ctx, e, worker, of) }()
	token := a.token(t, a.job(t, 1))
	require.True(t, a.Await(t.Context(), 1, 1, func(r podtest.Row) bool { return r.Dispatch == kubernetes.DispatchSubmitted }))
	f.broken.Store(true)
	cancel(executor.ErrCancelled)
	row := <-done
	require.Equal(t, "giveup", row.By)
	require.Equal(t, executor.Cancelled, row.Result.Status)
	require.Equal(t, http.StatusConflict, post(t, a.api.URL, token, "pod", startedBody))
	require.Zero(t, a.Row(1, 1).Starts)

	// The Job is still there; the reconciler removes it when the cluster answers again.
	f.broken.Store(false)
	r := kubernetes.NewReconciler(e)
	kubetest.Eventually(t, time.Minute, "the Job to be deleted", func(ctx context.Context) error {
		if _, err := r.Reconcile(ctx); err != nil {
			return err
		}
		list, err := a.client.BatchV1().Jobs("default").List(ctx, metav1.ListOptions{})
		if err == nil && len(list.Items) > 0 {
			err = errors.New("it is there")
		}
		return err
	})
}

func TestAnAPIServerThatDiesLosesNothing(t *testing.T) {
	t.Parallel()
	a := newAlone(t, direct)
	e, worker := a.worker(t, time.Second)
	done := make(chan podtest.Row, 2)
	for id := range int64(2) {
		of := payload(t, id+1, nil)
		go func() { done <- a.run(t.Context(), e, worker, of) }()
	}
	jobs := []*batchv1.Job{a.job(t, 1), a.job(t, 2)}
	tokens := []string{a.token(t, jobs[0]), a.token(t, jobs[1])}
	for i, job := range jobs {
		p := a.pod(t, job)
		require.Equal(t, http.StatusOK, post(t, a.api.URL, tokens[i], string(p.UID), startedBody))
	}
	a.control.kill()
	// One ends while the API server is away, the other's pod is ended by its machine.
	require.Equal(t, http.StatusOK, post(t, a.api.URL, tokens[0], a.Row(1, 1).PodUID, resultBody))
	require.Equal(t, "pod", (<-done).By)
	require.True(t, a.Row(2, 1).Open, "that the cluster does not answer is no end")
	a.control.serve()
	p, err := a.client.CoreV1().Pods("default").Get(t.Context(), jobs[1].Name+"-p", metav1.GetOptions{})
	require.NoError(t, err)
	p.Status.Phase = corev1.PodFailed
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "node", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 3}}}}
	_, err = a.client.CoreV1().Pods("default").UpdateStatus(t.Context(), p, metav1.UpdateOptions{})
	require.NoError(t, err)
	row := <-done
	require.Equal(t, "holder", row.By)
	require.Contains(t, row.Result.Error.Message, "exit code 3")
}

func TestWatchesThatAreCutAndAreTooOldAreBegunAnew(t *testing.T) {
	t.Parallel()
	var f *faulty
	a := newAlone(t, func(c *control) string { f = newFaulty(t, c); return f.URL })
	gone := atomic.Int32{}
	e, worker := a.worker(t, time.Second)
	done := make(chan podtest.Row, 1)
	of := payload(t, 1, nil)
	go func() { done <- a.run(t.Context(), e, worker, of) }()
	job := a.job(t, 1)
	token := a.token(t, job)
	p := a.pod(t, job)
	require.Equal(t, http.StatusOK, post(t, a.api.URL, token, string(p.UID), startedBody))
	require.True(t, a.Await(t.Context(), 1, 1, func(r podtest.Row) bool { return r.StartedAt != nil }))
	expired := func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.RawQuery, "watch=") && gone.Add(1) <= 4 {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusGone)
			_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"message":"too old resource version"}`)
			return true
		}
		return false
	}
	f.after.Store(&expired)
	f.CloseClientConnections() // every watch is cut
	p.Status.Phase = corev1.PodFailed
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "node", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}}}}
	_, err := a.client.CoreV1().Pods("default").UpdateStatus(t.Context(), p, metav1.UpdateOptions{})
	require.NoError(t, err)
	row := <-done
	require.Equal(t, kubernetes.CodeOutOfMemory, row.Result.Error.Code)
	require.Positive(t, gone.Load(), "a watch was refused as too old")
}

func TestAnAdopterMakesAgainWhatWasHalfMade(t *testing.T) {
	t.Parallel()
	a := newAlone(t, direct)
	first := uuid.New()
	e, heir := a.worker(t, time.Second)
	a.Claim(1, 1, first)
	// The first worker died between the Job and its Secret.
	of := payload(t, 1, nil)
	stopped, stop := context.WithCancelCause(t.Context())
	stop(executor.ErrLetGo)
	dying := kubernetes.New(kubernetes.Options{
		Attempts: a.Attempts, Worker: first, Log: a.log, Settings: func(context.Context) (kubernetes.Settings, error) { return a.settings, nil },
	})
	_ = dying.Execute(stopped, of, nil)
	dying.Close(t.Context())
	before := a.Row(1, 1)
	require.Equal(t, kubernetes.DispatchPending, before.Dispatch)
	require.NotEmpty(t, before.DispatchID)
	half, err := a.client.BatchV1().Jobs("default").Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: strings.TrimPrefix(before.DispatchID, "kubernetes:default/"), Annotations: map[string]string{"llmctl.studio/token-id": "of-the-lost-token"}},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "node", Image: "x:1"}},
		}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)

	a.Adopt(1, 1, heir)
	done := make(chan executor.Result, 1)
	go func() {
		done <- e.Attach(t.Context(), 1, 1, func(context.Context) (executor.Payload, error) { return of, nil })
	}()
	require.True(t, a.Await(t.Context(), 1, 1, func(r podtest.Row) bool { return r.Dispatch == kubernetes.DispatchSubmitted }))
	job := a.job(t, 1)
	require.NotEqual(t, half.UID, job.UID, "the half one is gone")
	require.NotEqual(t, before.TokenHash, a.Row(1, 1).TokenHash, "and so is its token")
	token := a.token(t, job)
	require.Equal(t, http.StatusOK, post(t, a.api.URL, token, "pod", startedBody))
	require.Equal(t, http.StatusOK, post(t, a.api.URL, token, "pod", resultBody))
	require.True(t, (<-done).Settled)
}
