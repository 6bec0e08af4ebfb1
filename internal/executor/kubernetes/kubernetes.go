package kubernetes

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	kube "k8s.io/client-go/kubernetes"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
)

// Options wire an Executor. Attempts, Settings and Worker are required.
type Options struct {
	Attempts Attempts
	Worker   uuid.UUID
	// Settings gives those in force; it is asked at each dispatch.
	Settings func(ctx context.Context) (Settings, error)
	// Client opens a connection; nil: over the network.
	Client  func(c Connection) (kube.Interface, error)
	Figures *Figures
	Log     *slog.Logger
	Now     func() time.Time
	// LookEvery is how often a held attempt is looked at without any sign that something
	// has happened; 0: 10 seconds. LastBatch is how long the end of a pod waits for what it
	// reported last; 0: 5 seconds.
	LookEvery, LastBatch time.Duration
}

// Executor runs attempts as Jobs.
type Executor struct {
	o Options

	mu       sync.Mutex
	clusters map[string]*cluster // by connection and installation
	held     map[hintKey]chan struct{}
	wg       sync.WaitGroup // what goes on after an attempt's end
}

type hintKey struct {
	nodeRunID int64
	attempt   int32
}

// New makes an executor. Nothing is asked of a cluster before the first attempt.
func New(o Options) *Executor {
	o.Figures = cmp.Or(o.Figures, NewFigures())
	o.LookEvery = cmp.Or(o.LookEvery, 10*time.Second)
	o.LastBatch = cmp.Or(o.LastBatch, 5*time.Second)
	if o.Client == nil {
		o.Client = func(c Connection) (kube.Interface, error) { return newClient(c, o.Figures) }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Executor{o: o, clusters: map[string]*cluster{}, held: map[hintKey]chan struct{}{}}
}

var _ executor.Remote = (*Executor)(nil)

// Name is "kubernetes".
func (e *Executor) Name() string { return "kubernetes" }

// Hint tells that something was stored about an attempt; lossy and cheap.
func (e *Executor) Hint(nodeRunID int64, attempt int32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ch := e.held[hintKey{nodeRunID, attempt}]; ch != nil {
		wake(ch)
	}
}

// Close ends the watches, after what still collects logs has ended or ctx has. No
// attempt may be held any more.
func (e *Executor) Close(ctx context.Context) {
	idle := make(chan struct{})
	go func() {
		e.wg.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.clusters {
		c.close()
	}
	clear(e.clusters)
}

// cluster gives the connection for settings and an installation's key, which most
// times exists already.
func (e *Executor) cluster(s *Settings, key string) (*cluster, error) {
	name := s.key() + "/" + key
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.clusters[name]; c != nil {
		return c, nil
	}
	client, err := e.o.Client(s.Connection)
	if err != nil {
		return nil, err
	}
	c := newCluster(client, s.Namespace, key, e.o.Log)
	e.clusters[name] = c
	for other, old := range e.clusters { // the settings have changed
		if other != name && old.idle() {
			old.close()
			delete(e.clusters, other)
		}
	}
	return c, nil
}

func (e *Executor) settings(ctx context.Context) (Settings, executor.Result, bool) {
	s, err := e.o.Settings(ctx)
	if err != nil {
		e.o.Log.ErrorContext(ctx, "settings of the node executor cannot be loaded", "error", err)
		return s, executor.Failure(CodeDispatch, "The settings of the node executor cannot be loaded: "+errs.As(err).Message, true), false
	}
	return s, executor.Result{}, true
}

// settled is a result that nobody has to store.
func settled() executor.Result { return executor.Result{Settled: true} }

// letGo is the result of an attempt that goes on without this process.
func letGo() executor.Result {
	return executor.Failure(executor.CodeInfra, "This worker has let go of the attempt.", true)
}
