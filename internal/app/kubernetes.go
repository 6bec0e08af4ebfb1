package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"k8s.io/klog/v2"

	"github.com/llmctl/studio/internal/executor/kubernetes"
	"github.com/llmctl/studio/internal/node"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/telemetry"
)

func attemptKey(key string) (nodeRunID int64, attempt int32) {
	id, number, _ := strings.Cut(key, "/")
	nodeRunID, _ = strconv.ParseInt(id, 10, 64) // 0 names none
	n, _ := strconv.ParseInt(number, 10, 32)
	return nodeRunID, int32(n)
}

// podSide is what a worker has for attempts that run in pods. Nothing of it asks a
// cluster before there is such an attempt, or the settings say that there will be.
type podSide struct {
	executor   *kubernetes.Executor
	reconciler *kubernetes.Reconciler
	figures    *kubernetes.Figures
	attempts   podAttempts
	settings   *nodeSettings
	log        *slog.Logger

	last time.Time // of the reconciliation
	now  func() time.Time
}

func newPodSide(s *studio, worker uuid.UUID) *podSide {
	p := &podSide{
		figures: kubernetes.NewFigures(), attempts: podAttempts{node.NewDispatches(s.engine, s.now), s.engine},
		settings: s.nodeSettings, log: s.log, now: s.now,
	}
	klog.SetSlogLogger(s.log.With("of", "client-go")) // it has one for the process, which otherwise writes to stderr in a form of its own
	p.executor = kubernetes.New(kubernetes.Options{
		Attempts: p.attempts, Worker: worker, Settings: s.nodeSettings.store.Kubernetes, Figures: p.figures, Log: s.log, Now: s.now,
	})
	p.reconciler = kubernetes.NewReconciler(p.executor)
	s.bus.OnSignal(attemptTopic, func(key string) { p.executor.Hint(attemptKey(key)) })
	return p
}

// Name names the service.
func (p *podSide) Name() string { return "kubernetes executor" }

// podLogPatience is how long the end of a worker waits for the logs of pods.
const podLogPatience = 5 * time.Second

// Run waits for its end: the work is the queue's, and stops before this.
func (p *podSide) Run(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), podLogPatience)
	defer cancel()
	p.executor.Close(last)
	return nil
}

// reconcileEvery is the pause between two comparisons of cluster and attempts.
const reconcileEvery = 15 * time.Second

// Recover implements queue.Domain: it reconciles, in the process whose turn the sweep is.
func (p *podSide) Recover(ctx context.Context) (int, error) {
	if p.now().Sub(p.last) < reconcileEvery {
		return 0, nil
	}
	p.last = p.now()
	if p.settings.provider() != providerKubernetes {
		open, err := p.attempts.Open(ctx)
		if err != nil || len(open) == 0 {
			return 0, err
		}
	}
	n, err := p.reconciler.Reconcile(ctx)
	if err != nil {
		return n, fmt.Errorf("reconcile with the cluster: %w", err)
	}
	return n, nil
}

// Due implements queue.Domain: attempts in pods are node runs, whose domain replaces
// their jobs.
func (p *podSide) Due(context.Context) ([]queue.Pointer, error) { return nil, nil }

// podAttempts is kubernetes.Attempts over the run engine.
type podAttempts struct {
	stored *node.Dispatches
	engine *run.Engine
}

func refOf(r kubernetes.Ref) run.Ref {
	return run.Ref{NodeRunID: r.NodeRunID, Attempt: r.Attempt, Worker: r.Worker}
}

// stale translates the engine's refusals.
func stale(err error) error {
	switch {
	case errors.Is(err, run.ErrStale):
		return kubernetes.ErrStale
	case errors.Is(err, run.ErrStarted):
		return kubernetes.ErrStarted
	}
	return err
}

func (p *podSide) measure(m *telemetry.Metrics) {
	f := p.figures
	m.CounterPairs("llmctl_kubernetes_requests_total", "Requests to the Kubernetes API; the code is failed where no answer came.", "verb", "code", f.Requests)
	m.Counters("llmctl_kubernetes_attempts_ended_total", "Attempts that ended here instead of by their pod, by code.", "code", f.Ended)
	m.Gauges("llmctl_kubernetes_pods", "Attempts that this process holds, by whether their pod has started.", "state", f.Pods)
	m.Histogram("llmctl_kubernetes_start_seconds", "From the dispatch of an attempt to the start of its pod.", func() telemetry.Distribution {
		return telemetry.Distribution(f.Starts())
	})
}
