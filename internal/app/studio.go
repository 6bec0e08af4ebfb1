package app

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/download"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/catalog"
	mcpserver "github.com/llmctl/studio/internal/mcp/server"
	"github.com/llmctl/studio/internal/peers"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/rag/models"
	"github.com/llmctl/studio/internal/rag/source"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/schedule"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/serving/accesslog"
	"github.com/llmctl/studio/internal/telemetry"
	"github.com/llmctl/studio/internal/tracing"
)

// sides are the parts of the Studio that a process has. Every process can start
// runs; what works them and what serves them are sides of their own.
type sides struct {
	web  bool // API and realtime
	page bool // the page as well
	work bool // consumes queues
	beat bool // fires schedules, does periodic work
	mcp  bool // MCP alone; with web it is part of that
}

// studioOptions are what a role decides.
type studioOptions struct {
	sides       sides
	cfg         *config.Config
	log         *slog.Logger
	now         func() time.Time
	db          *postgres.DB
	box         *secret.Box
	bus         bus.Bus
	dataDir     string
	owner       string // of the worker registry: who else's workers are dead when this one starts
	scriptNodes bool
	alone       bool           // one process is the whole Studio
	buried      func()         // called when this worker was declared dead; nil: nobody waits for that
	place       *webPlace      // among the web workers; nil: this process is not one
	access      *accesslog.Log // nil: lines of requests go to log
}

// studio is what a process has of the Studio.
type studio struct {
	studioOptions
	events       *event.Log
	auth         *auth.Service
	flowcharts   *store.Store
	catalog      *catalog.Catalog
	providers    *providers
	retrieval    *models.Models
	asking       *asking
	ragPrices    *ragPrices
	indexing     *index.Service
	downloads    *download.Service
	engine       *run.Engine
	queue        *queue.Client
	meter        *queue.Meter
	board        *queue.Board
	console      *riverConsole // nil: this process serves nothing
	worker       *workSide     // nil: this process works nothing
	nodeSettings *nodeSettings
	hooks        nodeHooks
	schedules    *schedule.Store
	beat         *beatSide     // nil: this process schedules nothing
	realtime     *realtimeSide // nil: this process serves nothing
	foreign      *foreign      // nil: no foreign servers are talked with
	handler      http.Handler  // likewise
	metrics      *telemetry.Metrics
	tracer       *tracing.Tracer // nil: no traces
	observer     *observer
	chat         *chat.Service
	sources      *source.Service
	documents    *documents
	mcp          *mcpSide
	studioMCP    *mcpserver.Server // the Studio as one, below the API; nil: this process serves nothing
}

// revokedTopic tells the other processes that somebody has lost a right.
const revokedTopic = "revoked"

// newStudio connects everything; nothing runs yet.
func newStudio(ctx context.Context, o studioOptions) (*studio, error) {
	s := &studio{studioOptions: o, metrics: telemetry.New(buildVersion()), hooks: newNodeHooks()}
	var err error
	if s.tracer, err = newTracer(ctx, o.cfg, o.sides.role(), o.log); err != nil {
		return nil, err
	}
	if s.tracer != nil {
		s.log = slog.New(tracing.LogHandler(s.log.Handler()))
	}
	s.observer = newObserver(telemetry.NewWork(s.metrics), s.tracer, s.log)
	if s.foreign, err = newForeign(o.cfg, o.log); err != nil {
		return nil, err
	}
	if s.foreign != nil && s.foreign.emitter != nil {
		s.bus = exporting{s.bus, s.foreign.emitter}
	}
	s.events = event.NewLog(s.bus, o.now)
	if s.auth, err = auth.NewService(ctx, o.db, o.now); err != nil {
		return nil, err
	}
	s.auth.OnRevocation(func() { s.recheckAccess(); s.bus.Signal(revokedTopic, "") })
	s.bus.OnSignal(revokedTopic, func(string) { s.auth.Forget(); s.recheckAccess() })
	s.flowcharts = store.New(o.db, s.events, o.now)
	s.catalog = catalog.New(o.db, s.events, o.box, secret.Fingerprint)
	client := llm.NewClient(llm.ClientOptions{})
	s.providers = &providers{catalog: s.catalog, client: client, now: o.now}
	s.retrieval = newRetrievalModels(s, client)
	s.ragPrices = newRagPrices(s.db)
	s.asking = newAsking(s, client)
	if s.downloads, err = newDownloads(s); err != nil {
		return nil, err
	}
	if s.mcp, err = newMCPSide(s); err != nil {
		return nil, err
	}
	if s.sources, err = newSources(s); err != nil {
		return nil, err
	}
	if s.documents, err = newDocuments(s.log); err != nil {
		return nil, err
	}
	s.chat = newChat(s)
	jobs := &lateJobs{}
	s.nodeSettings = newNodeSettings(s)
	s.engine = run.NewEngine(run.Options{
		DB: s.db, Log: s.events, Jobs: jobs, Signaller: cancelSignals{s.bus}, ExecutorFor: s.nodeSettings.executorFor,
		InWorker: inWorker, Waits: s.waits, Retried: s.retried, Ended: s.ended, GotFurther: s.gotFurther, QueueFor: s.queueFor, ModeFor: modeFor, Admit: s.asking.admit,
		Timeout: s.nodeSettings.timeout, TimeoutFor: timeoutFor, Hint: s.hintAttempt, Observer: s.observer, Now: s.now, Logger: s.log,
	})
	s.indexing = newIndexing(s)
	s.meter = queue.NewMeter(s.db, s.log, s.now)
	s.observer.names = s.engine.TraceNames
	if o.sides.work {
		s.worker, err = newWorkSide(s, client)
	} else {
		s.queue, err = queue.NewClient(queue.Options{DB: s.db, Logger: s.log, Meter: s.meter})
	}
	if err != nil {
		return nil, err
	}
	jobs.to = s.queue
	s.schedules = schedule.NewStore(o.db, s.events)
	if o.sides.beat {
		if s.beat, err = newBeatSide(s); err != nil {
			return nil, err
		}
	}
	s.board = queue.NewBoard(s.db, s.queue, s.events, s.now)
	if o.sides.web {
		if !o.alone { // else once it listens
			if err = s.mcp.sync(ctx); err != nil {
				return nil, err
			}
		}
		if s.realtime, err = newRealtime(s); err != nil {
			return nil, err
		}
		if s.console, err = newRiverConsole(s); err != nil {
			return nil, err
		}
		if err = s.buildAPI(); err != nil {
			return nil, err
		}
	}
	s.measure(s.metrics) //nolint:contextcheck // a scrape brings no context
	return s, nil
}

// internal is the listener for figures and profiles of a process that stands alone.
// It starts first: an address that cannot be had is known before any work begins.
func (s *studio) internal() []lifecycle.Service {
	address := s.cfg.Server.InternalBind
	if address == "off" {
		return nil
	}
	mux := diagnosis(s.metrics.Handler())
	if s.place != nil && s.place.signer != nil {
		mux.Handle(peers.RelayPattern, inbound(s.place.signer, peers.ToPrivate(s.place.runDir, patience(s.cfg)), s.log))
	}
	return []lifecycle.Service{&internalListener{
		address: address, given: s.cfg.Given("LLMCTL_STUDIO_INTERNAL_BIND"), handler: mux, log: s.log,
	}}
}

// services in the order in which they start; serve are those that bring requests.
func (s *studio) services(serve ...lifecycle.Service) []lifecycle.Service {
	var out []lifecycle.Service
	if s.tracer != nil {
		out = append(out, s.tracer, s.observer) // end last, with the spans of all that ended before
	}
	if s.access != nil {
		out = append(out, s.access) // ends last, when no request is left
	}
	out = append(out, s.bus, s.meter, s.mcp.pool, nodeSettingsLoop{s}, s.documents)
	if s.foreign != nil {
		out = append(out, s.foreign)
	}
	if s.place != nil && s.place.registry != nil {
		out = append(out, s.place.registry)
	}
	if s.worker != nil {
		out = append(out, s.worker.recorder, s.worker.chat.recorder, s.worker.registry)
	}
	if s.realtime != nil {
		out = append(out, s.realtime.services()...)
		out = append(out, s.console)
	}
	if s.worker != nil {
		out = append(out, s.worker.pods, s.queue, s.worker.sweeper)
		out = append(out, s.sourceCleanup())
		if s.worker.cleanup != nil {
			out = append(out, s.worker.cleanup)
		}
	}
	if s.beat != nil {
		out = append(out, s.beat.services()...)
	}
	return append(out, serve...)
}
