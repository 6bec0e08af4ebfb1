package app

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/executor/inline"
	"github.com/llmctl/studio/internal/executor/process"
	"github.com/llmctl/studio/internal/llm/observed"
	"github.com/llmctl/studio/internal/node"
	"github.com/llmctl/studio/internal/node/kind"
	"github.com/llmctl/studio/internal/node/kind/rag"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/run"
)

// workSide is what a process has that consumes queues.
type workSide struct {
	registry *queue.Registry
	recorder *node.Recorder
	chat     *chatSide
	sweeper  *queue.Sweeper
	pods     *podSide
	cleanup  lifecycle.Service // of this host's workspaces; nil: it is turned off
}

// cancelTopic carries cancel orders between processes.
const cancelTopic = "cancel"

// newWorkSide makes the worker's parts and the queue client of s, which consumes.
func newWorkSide(s *studio, client *http.Client) (*workSide, error) {
	executors, proc, err := s.executors(client)
	if err != nil {
		return nil, err
	}
	worker, w := uuid.New(), &workSide{recorder: node.NewRecorder(s.db, s.events, s.log)}
	w.pods = newPodSide(s, worker)
	executors[run.InPod] = w.pods.executor
	if s.cfg.Worker.CleanupEnabled {
		w.cleanup = s.workspaceCleanup(proc.RemoveAbandoned)
	}
	runner := node.NewRunner(node.RunnerOptions{
		Engine: s.engine, Models: s.providers, Recorder: w.recorder, Executors: executors, Worker: worker, Queues: s.cfg.Worker.Queues,
		Fresh: func() bool { return w.registry.Fresh() }, Tracer: s.tracer, Now: s.now, Logger: s.log, Meter: s.meter,
		Chain:     func() bool { return !s.queue.Draining() },
		Contended: func(queue string) bool { return s.queue.Contended(queue) },
	})
	w.registry = queue.NewRegistry(queue.RegistryOptions{
		DB: s.db, Logger: s.log, ID: worker, Owner: s.owner, Host: s.cfg.Worker.Hostname, Version: buildVersion(),
		Slots: s.cfg.Worker.Concurrency, Queues: s.cfg.Worker.Queues, Now: s.now,
		Orders:   w.stop(runner),
		Draining: func(draining bool) { s.queue.SetDraining(draining) }, Events: s.events,
		Dead: func() {
			s.log.Error("this worker was declared dead: it stood still, or could not reach the database; others have its work")
			if s.buried != nil {
				s.buried()
			}
		},
	})
	w.chat = newChatSide(s, worker, client, func() bool { return w.registry.Fresh() })
	s.bus.OnSignal(cancelTopic, func(key string) { runner.Cancel(cancelKey(key)) })
	s.queue, err = queue.NewClient(queue.Options{
		DB: s.db, Logger: s.log, Queues: s.cfg.Worker.Queues, Slots: s.cfg.Worker.Concurrency,
		ChatSlots: s.cfg.Worker.ChatConcurrency, Worker: worker, Fresh: w.registry.Fresh, Meter: s.meter,
		Handlers: []queue.Handler{
			{Kind: queue.KindNode, Work: runner.Work, Drain: runner.Drain},
			downloadHandler(s, worker, func() bool { return w.registry.Fresh() }),
			w.chat.handler(),
		},
	})
	if err != nil {
		return nil, err
	}
	domains := []queue.Domain{
		notedRecovery{queue.NewNodes(s.db, s.engine), s}, downloadDomain{s.downloads}, chatDomain{s.chat}, w.pods,
	}
	w.sweeper = queue.NewSweeper(s.db, s.queue, domains, s.log)
	w.sweeper.Announce(s.events)
	return w, nil
}

// register makes this process known as a worker and declares dead what an earlier
// process of the same owner left behind.
func (s *studio) register(ctx context.Context) error {
	dead, err := s.worker.registry.Register(ctx)
	if err != nil {
		return err
	}
	if dead > 0 {
		s.log.InfoContext(ctx, "an earlier process did not end cleanly; its work goes on here", "workers", dead)
	}
	return nil
}

// executors by name, and the one whose workspaces lie on this host.
func (s *studio) executors(client *http.Client) (map[string]executor.Executor, *process.Executor, error) {
	handlers, err := kind.Handlers(kind.Options{
		LLMClient: client, HTTPAllow: s.cfg.Studio.HTTPNodeAllow, Tools: nodeTools{s.mcp}, RAG: rag.Options{Index: s.indexing, Query: rag.NewQuery(s.asking)},
		Observe: observed.Options{Called: s.observer.called, Content: s.cfg.Telemetry.CaptureContent, Now: s.now},
	})
	if err != nil {
		return nil, nil, err
	}
	place := isolation{root: filepath.Join(s.dataDir, "workspaces")}
	if s.scriptNodes {
		if place, err = isolate(s.dataDir); err != nil {
			return nil, nil, err
		}
	}
	proc, err := process.New(process.Options{
		Root: place.root, UID: place.uid, GID: place.gid, Log: s.log, Now: s.now, Command: s.executorCommand(),
	})
	if err != nil {
		return nil, nil, err
	}
	return map[string]executor.Executor{
		"inline": inline.New(kind.Runner(handlers), inline.Options{Now: s.now}), "process": proc,
	}, proc, nil
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
