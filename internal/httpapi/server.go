package httpapi

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/download"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/executor/settings"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/node"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
	ragindex "github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/rag/retrieve"
	"github.com/llmctl/studio/internal/rag/source"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/schedule"
	"github.com/llmctl/studio/internal/serving/proxyfix"
	"github.com/llmctl/studio/internal/tracing"
)

// Deps are what the API works with.
type Deps struct {
	DB         *postgres.DB
	Log        *event.Log
	Auth       *auth.Service
	Flowcharts *store.Store
	Catalog    *catalog.Catalog
	Engine     *run.Engine
	Schedules  *schedule.Store
	Queues     *queue.Board
	River      http.Handler // River's own page, built for APIPrefix + "/river"; nil: none
	Downloads  *download.Service
	Models     node.Models // the secrets that an executor's payload gets; nil: none
	StudioMCP  *StudioMCP  // nil: none
	Providers  Providers

	NodeExecutor *settings.Store
	Embeddings   Embeddings
	Realtime     Realtime      // nil: no realtime in this process
	Sockets      http.Handler  // Socket.IO; nil: none
	Page         fs.FS         // the built page; nil or without index.html: not built
	NoPage       bool          // the page is served elsewhere; what asks for it here is told so
	Proxy        *proxyfix.Fix // what is believed of forwarded headers; nil: nothing
	Threads      *chat.Service
	Indexing     *ragindex.Service
	Sources      *source.Service
	MCP          MCPDeps
	Retrieval    *retrieve.Service
	// Ready lists why this process is not ready; empty: it is.
	Ready func(ctx context.Context) []string

	// AccessLog is put around all requests and writes their lines; then Logger gets
	// those of failures only. nil: Logger gets all.
	AccessLog func(http.Handler) http.Handler

	// Observe is told how each operation ended; nil: nobody counts.
	Observe func(method, route string, status int, took time.Duration)

	Tracer    *tracing.Tracer             // nil: no traces
	TraceLink func(traceID string) string // where a trace can be looked at; nil: nowhere

	APIPrefix  string // "/api"
	WebPrefix  string // "/web"
	SocketPath string // "/socket.io", served below the API prefix as well
	Transports []string
	Version    string
	Logger     *slog.Logger
	Now        func() time.Time
}

// Providers talks to a provider's server.
type Providers interface {
	Test(ctx context.Context, p catalog.Provider, key string) (ProviderTest, error)
	Models(ctx context.Context, p catalog.Provider, key string) ([]ProviderModel, error)
}

type server struct {
	deps     Deps
	mux      *http.ServeMux
	api      huma.API
	executor executorSide
}

// tame sets huma's process-wide hooks, once: they are variables of that package.
var tame = sync.OnceFunc(func() { //nolint:gochecknoglobals // guards the hooks of a library
	huma.NewError = func(status int, msg string, causes ...error) huma.StatusError {
		return newProblem(nil, status, msg, causes...)
	}
	huma.NewErrorWithContext = newProblem
	huma.DefaultArrayNullable = false
})

// New gives the handler of everything that the Studio serves over HTTP.
func New(deps Deps) http.Handler {
	h, _ := build(deps)
	return h
}

func build(deps Deps) (http.Handler, huma.API) {
	tame()
	s := &server{deps: deps, mux: http.NewServeMux()}
	cfg := huma.DefaultConfig("llmctl Studio", deps.Version)
	cfg.CreateHooks = nil // no $schema links in bodies
	cfg.DocsPath = ""     // the built-in page loads from elsewhere; ours does not
	cfg.SchemasPath = ""
	cfg.OpenAPIPath = "" // mounted behind sign-in, like every other address
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"apiKey":  {Type: "http", Scheme: "bearer", Description: "An API key from Settings"},
		"attempt": {Type: "http", Scheme: "bearer", Description: "The token of one attempt, for executors"},
		"session": {Type: "apiKey", In: "cookie", Name: auth.Cookie},
	}
	s.api = humago.New(s.mux, cfg)
	s.api.UseMiddleware(s.observe, s.authenticate)
	s.register()
	s.mount()
	return s.wrap(), s.api
}

func (s *server) register() {
	s.registerHealth()
	s.registerAuth()
	s.registerAPIKeys()
	s.registerUsers()
	s.registerAudit()
	s.registerProviders()
	s.registerModels()
	s.registerFlowcharts()
	s.registerGraphs()
	s.registerRuns()
	s.registerNodes()
	s.registerArtifacts()
	s.registerDownloads()
	s.registerThreads()
	s.registerEvents()
	s.registerOperations()
	s.registerSchedules()
	s.registerSources()
	s.registerSettings()
	s.registerNodeExecutor()
	s.registerRetrievalSettings()
	s.registerIndexRuns()
	s.registerDoctor()
	s.registerExecutor()
	s.registerMCP()
	s.registerToolCalls()
	s.registerIntegrations()
	s.registerStudioMCP()
	s.registerRetrieval()
	s.describe()
}

func (s *server) mount() {
	d := s.deps
	s.mux.Handle("GET "+d.APIPrefix+"/docs", s.signedIn(s.docs))
	s.mux.Handle("GET "+d.APIPrefix+"/openapi.json", s.signedIn(s.document((*huma.OpenAPI).MarshalJSON, "application/openapi+json")))
	s.mux.Handle("GET "+d.APIPrefix+"/openapi.yaml", s.signedIn(s.document((*huma.OpenAPI).YAML, "application/openapi+yaml")))
	s.mux.HandleFunc(d.APIPrefix, s.unknown)
	if d.River != nil {
		s.mux.Handle(d.APIPrefix+riverPath, s.river())
		s.mux.Handle(d.APIPrefix+riverPath+"/", s.river())
	}
	s.mux.HandleFunc("/", s.unknown)
	if d.Sockets != nil {
		for _, path := range s.socketPaths() {
			s.mux.Handle(path, d.Sockets)
			s.mux.Handle(path+"/", d.Sockets)
		}
	}
	s.mountMCP()
	s.mountPage()
}

func (s *server) mountPage() {
	d := s.deps
	page := http.Handler(http.HandlerFunc(pageElsewhere))
	if !d.NoPage {
		page = newPage(PageOptions{
			Files: d.Page, WebPrefix: d.WebPrefix, APIPrefix: d.APIPrefix, SocketPath: d.SocketPath, Transports: d.Transports, Version: d.Version,
		})
		s.mux.Handle("GET /{$}", redirectTo(d.WebPrefix+"/"))
	}
	s.mux.Handle(d.WebPrefix, page)
	s.mux.Handle(d.WebPrefix+"/", page)
}

func (s *server) socketPaths() []string {
	return []string{s.deps.SocketPath, s.deps.APIPrefix + s.deps.SocketPath}
}

// wrap puts the middleware of every request around the mux.
func (s *server) wrap() http.Handler {
	var h http.Handler = s.mux
	h = withCanonicalPath(h)
	h = s.withCrossOriginProtection(h)
	h = withSecurityHeaders(s.deps.APIPrefix, h)
	return around(s.deps.Proxy, s.deps.AccessLog, s.traced, s.deps.Logger, s.deps.Now, h)
}

// around is what every request passes before anything else looks at it. First of
// all it is made what the browser sent: the log, the limits and the origin checks
// are to see that.
func around(proxy *proxyfix.Fix, accessLog, traced func(http.Handler) http.Handler, log *slog.Logger, now func() time.Time, h http.Handler) http.Handler {
	if proxy == nil {
		proxy = proxyfix.New(proxyfix.Options{}) // removes what nobody vouches for
	}
	h = withIDs(traced(withLog(log, now, accessLog != nil, h)))
	if accessLog != nil {
		h = accessLog(h)
	}
	return proxy.Wrap(h)
}

// withCanonicalPath redirects to the path without "//", "." and "..", as the mux
// would, which knows nothing of the prefix that a proxy mounts us at.
func withCanonicalPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		clean := path.Clean("/" + r.URL.Path)
		if strings.HasSuffix(r.URL.Path, "/") && clean != "/" {
			clean += "/"
		}
		if clean == r.URL.Path || r.Method == http.MethodConnect {
			next.ServeHTTP(w, r)
			return
		}
		to := url.URL{Path: proxyfix.From(r).Path(clean), RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusTemporaryRedirect)
	})
}

// withCrossOriginProtection keeps other origins' pages from using a browser's
// cookie. An API key is never sent by a browser on its own, so requests that carry
// one are let through. Sockets have an origin policy of their own, which may allow
// origins that the operations do not, and so has the MCP server, where no cookie counts.
func (s *server) withCrossOriginProtection(next http.Handler) http.Handler {
	csrf := http.NewCrossOriginProtection()
	denied := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, 0, "", errs.E(errs.Forbidden, "request.cross_origin",
			"The request comes from another origin's page: "+strconv.Quote(r.Header.Get("Origin"))+" wrote to "+proxyfix.From(r).URL("")+
				". Use the Studio's own page, or an API key. If that is the Studio's own page, its proxy does not pass Host or X-Forwarded-* on."))
	})
	csrf.SetDenyHandler(denied)
	protected := csrf.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "" || s.isSocket(r.URL.Path) || s.isMCP(r.URL.Path):
			next.ServeHTTP(w, r)
		case otherScheme(r):
			denied.ServeHTTP(w, r)
		default:
			protected.ServeHTTP(w, r)
		}
	})
}

// otherScheme tells whether a write comes from a page of another scheme. The
// standard protection compares hosts only, since it cannot know the scheme that a
// proxy ended; where a trusted proxy has told us, we can.
func otherScheme(r *http.Request) bool {
	if r.URL.Scheme == "" || r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
		return false
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && origin.Scheme != "" && origin.Scheme != r.URL.Scheme
}

func (s *server) isSocket(path string) bool {
	return s.deps.Sockets != nil && slices.ContainsFunc(s.socketPaths(), func(p string) bool {
		return path == p || strings.HasPrefix(path, p+"/")
	})
}

// signedIn guards a handler that is not an operation.
func (s *server) signedIn(f http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := s.deps.Auth.Authenticate(r.Context(), r)
		if err != nil {
			writeProblem(w, r, http.StatusInternalServerError, "", err)
			return
		}
		f(w, r.WithContext(auth.WithPrincipal(r.Context(), p)))
	})
}

// document serves the OpenAPI description in one of its forms.
func (s *server) document(marshal func(*huma.OpenAPI) ([]byte, error), contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		doc := *s.api.OpenAPI()
		if prefix := proxyfix.From(r).Prefix; prefix != "" {
			doc.Servers = []*huma.Server{{URL: prefix}}
		}
		raw, err := marshal(&doc)
		if err != nil {
			writeProblem(w, r, http.StatusInternalServerError, "", err)
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(raw)
	}
}

// unknown answers what no operation has: 405 where another method would do, else
// 404; never the page.
func (s *server) unknown(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		probe := r.Clone(r.Context())
		probe.Method = m
		if _, pattern := s.mux.Handler(probe); m != r.Method && pattern != "/" && pattern != s.deps.APIPrefix {
			allowed = append(allowed, m)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeProblem(w, r, http.StatusMethodNotAllowed, r.Method+" is not accepted here; accepted are "+strings.Join(allowed, ", ")+".")
		return
	}
	s.notFound(w, r)
}

func (s *server) notFound(w http.ResponseWriter, r *http.Request) {
	at := proxyfix.From(r)
	writeProblem(w, r, http.StatusNotFound, "There is nothing at "+at.Path(r.URL.Path)+". "+at.Path(s.deps.APIPrefix)+"/docs lists the operations.")
}

func humaUnwrap(ctx huma.Context) (*http.Request, http.ResponseWriter) { return humago.Unwrap(ctx) }
