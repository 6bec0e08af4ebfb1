package server

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/download"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/mcp/publish"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/retrieve"
	"github.com/llmctl/studio/internal/run"
)

// Domains are what the tools work with.
type Domains struct {
	DB         *postgres.DB
	Auth       *auth.Service
	Flowcharts *store.Store
	Catalog    *catalog.Catalog
	Engine     *run.Engine
	Downloads  *download.Service
	Published  *publish.Store
	Retrieval  *retrieve.Service
	Threads    *chat.Service
	// Hints calls f with the name of every stream that has changed, as far as is
	// known; some may be missed. f must return at once. nil: nobody tells.
	Hints func(f func(stream string)) (cancel func())
}

// Options are what a server needs.
type Options struct {
	Version      string
	DefaultLimit int // rows of a list when nobody says how many
	MaxLimit     int // rows of a list at most
	// Origins are those of the pages that may use the server from a browser, besides
	// pages of this machine that reach it over loopback. Others are refused.
	Origins []string
	Logger  *slog.Logger
	Now     func() time.Time
}

// Limits of the server.
const (
	maxBody       = 8 << 20          // of a request: the largest graph that the API takes
	bodyTimeout   = 30 * time.Second // for a request's body to arrive
	callTimeout   = 60 * time.Second // of one tool call, waiting apart
	maxInFlight   = 256              // requests at a time
	maxWaits      = 64               // calls at a time that wait for the end of a run or a turn
	maxToolsPage  = 200              // of tools/list
	maxInlineJSON = 256 << 10        // bytes of an output within an answer; more is a resource
)

// Server answers MCP requests. It is safe for concurrent use.
type Server struct {
	o        Options
	tools    []*tool // sorted by name
	sdk      *mcp.Server
	handler  http.Handler
	domains  atomic.Pointer[Domains]
	inFlight chan struct{}
	waits    chan struct{}
	leave    chan struct{} // closed when waiting calls are to answer at once
	leaving  sync.Once
}

// New makes a server. Its tools answer that the Studio is starting until Attach.
func New(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &registry{limits: limits{o.DefaultLimit, o.MaxLimit}}
	for _, register := range toolsets() {
		register(r)
	}
	tools, err := r.done()
	if err != nil {
		return nil, err
	}
	s := &Server{
		o: o, tools: tools, inFlight: make(chan struct{}, maxInFlight), waits: make(chan struct{}, maxWaits), leave: make(chan struct{}),
	}
	s.sdk = s.newSDK()
	s.handler = s.newHandler()
	return s, nil
}

// toolsets are the groups of tools, one file each.
func toolsets() []func(*registry) {
	return []func(*registry){flowchartTools, graphTools, runTools, nodeTools, modelTools, downloadTools, sourceTools, threadTools}
}

// Attach gives the tools what they work with.
func (s *Server) Attach(d Domains) { s.domains.Store(&d) }

// Attached reports whether the tools can work.
func (s *Server) Attached() bool { return s.domains.Load() != nil }

// Leave makes calls that wait answer at once, with the id of what they wait for, so that
// a process can end without failing them.
func (s *Server) Leave() { s.leaving.Do(func() { close(s.leave) }) }

// Tools is how many tools of its own the server has.
func (s *Server) Tools() int { return len(s.tools) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

const instructions = `Tools of llmctl Studio, which runs flowcharts of LLM nodes.
Start with llmctl_list_flowcharts. llmctl_run_flowchart starts a run and can wait for its output; llmctl_wait_flowchart_run waits longer, llmctl_get_flowchart_run shows each node.
Tools without the prefix llmctl_ are flowcharts that somebody published: call them with the flowchart's input.
When a run failed: llmctl_get_flowchart_run names the node, llmctl_get_node_logs shows what it said.
To change a graph: llmctl_get_flowchart_graph, edit, llmctl_validate_flowchart_graph, llmctl_update_flowchart_graph.
To talk to a model of the Studio: llmctl_create_thread, llmctl_send_message with wait_seconds; llmctl_get_turn waits on, llmctl_search_threads finds what was said.
Lists give next_cursor when there is more. Large outputs are resources: read the uri that the answer names.`

func (s *Server) newSDK() *mcp.Server {
	sdk := mcp.NewServer(&mcp.Implementation{Name: "llmctl-mcp", Title: "llmctl Studio", Version: s.o.Version}, &mcp.ServerOptions{
		Instructions: instructions,
		// Nobody is told of changes: that would need a session.
		Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}, Resources: &mcp.ResourceCapabilities{}},
		SetCacheable: private,
	})
	sdk.AddTool(&mcp.Tool{Name: dispatched, InputSchema: map[string]any{"type": "object"}}, s.callTool)
	s.addResources(sdk)
	sdk.AddReceivingMiddleware(s.receive)
	return sdk
}
