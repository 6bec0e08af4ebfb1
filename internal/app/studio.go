package app

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/executor/inline"
	"github.com/llmctl/studio/internal/executor/process"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/node"
	"github.com/llmctl/studio/internal/node/kind"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/web"
)

// studioOptions are what a role decides.
type studioOptions struct {
	cfg         *config.Config
	log         *slog.Logger
	now         func() time.Time
	db          *postgres.DB
	box         *secret.Box
	bus         bus.Bus
	dataDir     string
	owner       string // of the worker registry: who else's workers are dead when this one starts
	scriptNodes bool
}

// studio is the whole of it in one process: API, page, realtime, worker.
type studio struct {
	studioOptions
	events     *event.Log
	auth       *auth.Service
	flowcharts *store.Store
	catalog    *catalog.Catalog
	providers  *providers
	engine     *run.Engine
	registry   *queue.Registry
	queue      *queue.Client
	recorder   *node.Recorder
	sweeper    *queue.Sweeper
	realtime   *realtimeSide
	handler    http.Handler
}

// newStudio connects everything; nothing runs yet.
func newStudio(ctx context.Context, o studioOptions) (*studio, error) {
	s := &studio{studioOptions: o}
	s.events = event.NewLog(o.bus, o.now)
	var err error
	if s.auth, err = auth.NewService(ctx, o.db, o.now); err != nil {
		return nil, err
	}
	s.flowcharts = store.New(o.db, s.events, o.now)
	s.catalog = catalog.New(o.db, s.events, o.box, secret.Fingerprint)
	client := llm.NewClient(llm.ClientOptions{})
	s.providers = &providers{catalog: s.catalog, client: client, now: o.now}
	if err := s.buildWorker(client); err != nil {
		return nil, err
	}
	if s.realtime, err = newRealtime(s); err != nil {
		return nil, err
	}
	s.buildAPI()
	return s, nil
}

// cancelTopic carries cancel orders between processes.
const cancelTopic = "cancel"

func (s *studio) buildWorker(client *http.Client) error {
	executors, err := s.executors(client)
	if err != nil {
		return err
	}
	worker := uuid.New()
	jobs := &lateJobs{}
	s.engine = run.NewEngine(run.Options{
		DB: s.db, Log: s.events, Jobs: jobs, Signaller: cancelSignals{s.bus}, ExecutorFor: executorFor,
		DefaultTimeout: s.cfg.Executor.ExecutionTimeout, Now: s.now, Logger: s.log,
	})
	s.recorder = node.NewRecorder(s.db, s.events, s.log)
	runner := node.NewRunner(node.RunnerOptions{
		Engine: s.engine, Models: s.providers, Recorder: s.recorder, Executors: executors, Worker: worker,
		Fresh: func() bool { return s.registry.Fresh() }, Now: s.now, Logger: s.log,
	})
	s.registry = queue.NewRegistry(queue.RegistryOptions{
		DB: s.db, Logger: s.log, ID: worker, Owner: s.owner, Host: s.cfg.Worker.Hostname, Version: buildVersion(),
		Slots: s.cfg.Worker.Concurrency, Queues: s.cfg.Worker.Queues, Now: s.now,
		Orders: func(held []queue.Held) {
			for _, h := range held {
				runner.Cancel(h.NodeRunID)
			}
		},
		Dead: func() { s.log.Error("this worker was declared dead; it takes no more work until it is restarted") },
	})
	s.bus.OnSignal(cancelTopic, func(key string) { runner.Cancel(cancelKey(key)) })
	s.queue, err = queue.NewClient(queue.Options{
		DB: s.db, Logger: s.log, Queues: s.cfg.Worker.Queues, Slots: s.cfg.Worker.Concurrency, Work: runner.Work, Drain: runner.Drain,
	})
	if err != nil {
		return err
	}
	jobs.to = s.queue
	s.sweeper = queue.NewSweeper(s.db, s.queue, s.engine, s.log, s.now)
	return nil
}

func (s *studio) executors(client *http.Client) (map[string]executor.Executor, error) {
	handlers, err := kind.Handlers(kind.Options{LLMClient: client, HTTPAllow: s.cfg.Studio.HTTPNodeAllow})
	if err != nil {
		return nil, err
	}
	place := isolation{root: filepath.Join(s.dataDir, "workspaces")}
	if s.scriptNodes {
		if place, err = isolate(s.dataDir); err != nil {
			return nil, err
		}
	}
	proc, err := process.New(process.Options{
		Root: place.root, UID: place.uid, GID: place.gid, Log: s.log, Now: s.now, Command: s.executorCommand(),
	})
	if err != nil {
		return nil, err
	}
	return map[string]executor.Executor{
		"inline": inline.New(kind.Runner(handlers), inline.Options{Now: s.now}), "process": proc,
	}, nil
}

// executorCommand is this program as an executor; whether it may run scripts goes
// along, since the child's environment is clean.
func (s *studio) executorCommand() []string {
	// The running program itself, also when a new one has taken its place on disk.
	command := []string{"/proc/self/exe", "executor"}
	if exe, err := os.Executable(); err == nil && runtime.GOOS != "linux" {
		command[0] = exe
	}
	if !s.scriptNodes {
		command = append(command, "--script-nodes=false")
	}
	return command
}

func executorFor(k string) string {
	if kind.NeedsProcess(k) {
		return "process"
	}
	return "inline"
}

func (s *studio) buildAPI() {
	page, _ := fs.Sub(web.Dist, "dist")
	s.handler = httpapi.New(httpapi.Deps{
		DB: s.db, Log: s.events, Auth: s.auth, Flowcharts: s.flowcharts, Catalog: s.catalog, Engine: s.engine,
		Providers: s.providers, Realtime: s.realtime, Sockets: s.realtime.handler(), Page: page, Ready: s.ready,
		APIPrefix: s.cfg.Proxy.APIPrefix, WebPrefix: s.cfg.Proxy.WebPrefix, SocketPath: s.cfg.SocketIO.Path, Transports: s.cfg.SocketIO.Transports,
		Version: buildVersion(), Logger: s.log, Now: s.now,
	})
}

// ready lists what keeps this process from serving.
func (s *studio) ready(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var reasons []string
	if _, err := s.db.Exec(ctx, "SELECT 1"); err != nil {
		reasons = append(reasons, "the database does not answer")
	} else if err := s.db.CheckLevel(ctx); err != nil {
		reasons = append(reasons, "the database's schema does not fit this binary")
	}
	return append(reasons, s.realtime.notReady()...)
}

// services in the order in which they start.
func (s *studio) services(listen lifecycle.Service) []lifecycle.Service {
	out := []lifecycle.Service{s.bus, s.recorder, s.registry}
	out = append(out, s.realtime.services()...)
	return append(out, s.queue, s.sweeper, &cleaner{auth: s.auth, db: s.db, log: s.log}, listen)
}
