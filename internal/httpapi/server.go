package httpapi

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

// Deps are what the API works with.
type Deps struct {
	DB         *postgres.DB
	Log        *event.Log
	Auth       *auth.Service
	Flowcharts *store.Store
	Catalog    *catalog.Catalog
	Engine     *run.Engine
	Providers  Providers
	Realtime   RealtimeStatus // nil: no realtime in this process
	Sockets    http.Handler   // Socket.IO; nil: none
	Page       fs.FS          // the built page; nil or without index.html: not built
	// Ready lists why this process is not ready; empty: it is.
	Ready func(ctx context.Context) []string

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

// RealtimeStatus tells how the realtime side of this process is doing.
type RealtimeStatus interface {
	Status() any
}

type server struct {
	deps Deps
	mux  *http.ServeMux
	api  huma.API
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
	cfg.OpenAPIPath = deps.APIPrefix + "/openapi"
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"apiKey":  {Type: "http", Scheme: "bearer", Description: "An API key from Settings"},
		"session": {Type: "apiKey", In: "cookie", Name: auth.Cookie},
	}
	s.api = humago.New(s.mux, cfg)
	s.api.UseMiddleware(s.authenticate)
	s.register()
	s.mount()
	return s.wrap(), s.api
}

func (s *server) register() {
	s.registerHealth()
	s.registerAuth()
	s.registerAPIKeys()
	s.registerProviders()
	s.registerModels()
	s.registerFlowcharts()
	s.registerGraphs()
	s.registerRuns()
	s.registerNodes()
	s.registerEvents()
	s.registerOperations()
}

func (s *server) mount() {
	d := s.deps
	s.mux.HandleFunc("GET "+d.APIPrefix+"/docs", s.docs)
	s.mux.HandleFunc(d.APIPrefix+"/", s.unknown)
	if d.Sockets != nil {
		for _, path := range []string{d.SocketPath, d.APIPrefix + d.SocketPath} {
			s.mux.Handle(path, d.Sockets)
			s.mux.Handle(path+"/", d.Sockets)
		}
	}
	page := newPage(d)
	s.mux.Handle(d.WebPrefix+"/", page)
	s.mux.Handle("/{$}", http.RedirectHandler(d.WebPrefix+"/", http.StatusFound))
	s.mux.Handle(d.WebPrefix, http.RedirectHandler(d.WebPrefix+"/", http.StatusFound))
}

// wrap puts the middleware of every request around the mux.
func (s *server) wrap() http.Handler {
	// A browser's cookie must not work for other origins' pages. API keys are not
	// sent by browsers on their own, so requests without a cookie need no check;
	// the protection itself tells by the headers that only browsers send.
	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, http.StatusForbidden, "The request comes from another origin's page.")
	}))
	var h http.Handler = s.mux
	h = csrf.Handler(h)
	h = withSecurityHeaders(h)
	h = withLog(s.deps.Logger, s.deps.Now, h)
	return withIDs(h)
}

// unknown answers what no operation has: 405 where another method would do, else
// 404; never the page.
func (s *server) unknown(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		probe := r.Clone(r.Context())
		probe.Method = m
		if _, pattern := s.mux.Handler(probe); m != r.Method && pattern != s.deps.APIPrefix+"/" {
			allowed = append(allowed, m)
		}
	}
	if len(allowed) > 0 && !slices.Contains(allowed, r.Method) {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeProblem(w, r, http.StatusMethodNotAllowed, r.Method+" is not accepted here; accepted are "+strings.Join(allowed, ", ")+".")
		return
	}
	writeProblem(w, r, http.StatusNotFound, "There is nothing at "+r.URL.Path+". "+s.deps.APIPrefix+"/docs lists the operations.")
}

func humaUnwrap(ctx huma.Context) (*http.Request, http.ResponseWriter) { return humago.Unwrap(ctx) }
