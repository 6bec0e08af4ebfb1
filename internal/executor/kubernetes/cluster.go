package kubernetes

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	kube "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// How fast this process may ask the cluster. client-go's own 5 a second would make
// four Jobs a second wait for each other, since each costs four requests; the API
// server's priority and fairness is what protects it, and answers 429 with a time
// that is kept to.
const (
	requestsPerSecond = 100
	requestBurst      = 200
	requestTimeout    = 20 * time.Second
)

// cluster is one connection: its client, and what it watches for all attempts.
type cluster struct {
	client    kube.Interface
	namespace string
	key       string // of the installation
	log       *slog.Logger

	begin sync.Once
	stop  context.CancelFunc
	life  context.Context //nolint:containedctx // of the watches, which outlive whoever asked first
	jobs  cache.SharedIndexInformer
	pods  cache.SharedIndexInformer

	mu       sync.Mutex
	watchers map[string]map[chan struct{}]struct{} // by Job
}

func newClient(c Connection, f *Figures) (kube.Interface, error) {
	cfg, err := c.restConfig()
	if err != nil {
		return nil, err
	}
	cfg.QPS, cfg.Burst = requestsPerSecond, requestBurst
	cfg.UserAgent = "llmctl-studio"
	// Protobuf halves what a watch of pods costs here and in the API server.
	cfg.ContentConfig = rest.ContentConfig{ContentType: "application/vnd.kubernetes.protobuf", AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json"}
	if f != nil {
		cfg.Wrap(f.wrap)
	}
	client, err := kube.NewForConfig(cfg)
	if err != nil {
		return nil, refused("cannot be used: " + firstLine(err.Error()))
	}
	return client, nil
}

func newCluster(client kube.Interface, namespace, key string, log *slog.Logger) *cluster {
	c := &cluster{
		client: client, namespace: namespace, key: key, log: log,
		watchers: map[string]map[chan struct{}]struct{}{},
	}
	c.life, c.stop = context.WithCancel(context.Background())
	return c
}

// byJob indexes pods by the Job that they belong to.
const byJob = "job"

// watch starts the list-watches, once.
func (c *cluster) watch() {
	c.begin.Do(func() {
		factory := informers.NewSharedInformerFactoryWithOptions(c.client, 0, informers.WithNamespace(c.namespace),
			informers.WithTransform(slim),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = labelExecutor + "=" + c.key }))
		c.jobs, c.pods = factory.Batch().V1().Jobs().Informer(), factory.Core().V1().Pods().Informer()
		changed := cache.ResourceEventHandlerFuncs{
			AddFunc: c.changed, DeleteFunc: c.changed, UpdateFunc: func(_, now any) { c.changed(now) },
		}
		err := c.pods.AddIndexers(cache.Indexers{byJob: func(o any) ([]string, error) { return []string{jobOf(o)}, nil }})
		for _, inf := range []cache.SharedIndexInformer{c.jobs, c.pods} {
			if err == nil {
				_, err = inf.AddEventHandler(changed)
			}
			if err == nil {
				err = inf.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
					c.log.WarnContext(ctx, "the cluster cannot be watched, trying again", "error", err)
				})
			}
		}
		if err != nil { // only of informers that run already
			c.log.Error("the cluster cannot be watched", "error", err)
		}
		factory.Start(c.life.Done())
	})
}

// synced waits until the watches know everything, or ctx ends.
func (c *cluster) synced(ctx context.Context) error {
	c.watch()
	if !cache.WaitForCacheSync(ctx.Done(), c.jobs.HasSynced, c.pods.HasSynced) {
		return fmt.Errorf("the cluster's Jobs and pods cannot be listed: %w", context.Cause(ctx))
	}
	return nil
}

// isSynced reports whether they do.
func (c *cluster) isSynced() bool { return c.jobs.HasSynced() && c.pods.HasSynced() }

// close ends the watches.
func (c *cluster) close() { c.stop() }

// subscribe gives a channel that has something in it after each change of a Job or
// its pods.
func (c *cluster) subscribe(job string) (changes <-chan struct{}, cancel func()) {
	ch := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watchers[job] == nil {
		c.watchers[job] = map[chan struct{}]struct{}{}
	}
	c.watchers[job][ch] = struct{}{}
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers[job], ch)
		if len(c.watchers[job]) == 0 {
			delete(c.watchers, job)
		}
	}
}

func (c *cluster) changed(o any) {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	name := jobOf(o)
	c.mu.Lock()
	defer c.mu.Unlock()
	for ch := range c.watchers[name] {
		wake(ch)
	}
}

func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // it will look anyway
	}
}

// idle reports whether no attempt is held with this connection.
func (c *cluster) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.watchers) == 0
}

// jobOf names the Job that an object is, or belongs to.
func jobOf(o any) string {
	switch o := o.(type) {
	case *batchv1.Job:
		return o.Name
	case *corev1.Pod:
		return o.Labels[labelJobName]
	}
	return ""
}

// seen is what the watches know of an attempt.
type seen struct {
	job  *batchv1.Job
	pods []*corev1.Pod
}

func (c *cluster) look(job string) seen {
	var s seen
	if o, ok, err := c.jobs.GetStore().GetByKey(c.namespace + "/" + job); err == nil && ok {
		s.job, _ = o.(*batchv1.Job)
	}
	found, err := c.pods.GetIndexer().ByIndex(byJob, job)
	if err != nil {
		return s // there is that index
	}
	for _, o := range found {
		// A Job that was made again has the name of the one before, whose pods may still be there.
		if p, ok := o.(*corev1.Pod); ok && (s.job == nil || p.Labels[labelJobUID] == string(s.job.UID)) {
			s.pods = append(s.pods, p)
		}
	}
	return s
}

// all lists the installation's Jobs that the watch knows.
func (c *cluster) all() []*batchv1.Job {
	var out []*batchv1.Job
	for _, o := range c.jobs.GetStore().List() {
		if j, ok := o.(*batchv1.Job); ok {
			out = append(out, j)
		}
	}
	return out
}

// slim drops what nobody here reads, so that thousands of Jobs need little memory.
func slim(o any) (any, error) {
	switch o := o.(type) {
	case *batchv1.Job:
		o.ManagedFields, o.Spec = nil, batchv1.JobSpec{}
		return o, nil
	case *corev1.Pod:
		o.ManagedFields, o.Annotations, o.OwnerReferences = nil, nil, nil
		limits := map[string]corev1.ResourceList{}
		for _, c := range o.Spec.Containers {
			limits[c.Name] = c.Resources.Limits
		}
		o.Spec = corev1.PodSpec{NodeName: o.Spec.NodeName, Containers: []corev1.Container{
			{Name: containerName, Resources: corev1.ResourceRequirements{Limits: limits[containerName]}},
		}}
		o.Status.PodIPs, o.Status.HostIPs, o.Status.InitContainerStatuses = nil, nil, nil
		return o, nil
	}
	return o, nil
}
