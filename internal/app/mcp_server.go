package app

import (
	"context"
	"log/slog"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/mcp/publish"
	"github.com/llmctl/studio/internal/mcp/server"
)

// newMCP makes the Studio's MCP server; attachMCP gives it what it works with.
func newMCP(cfg *config.Config, log *slog.Logger, e Edge) (*server.Server, error) {
	o := server.Options{
		Version: buildVersion(), DefaultLimit: cfg.MCP.DefaultLimit, MaxLimit: cfg.MCP.MaxLimit, Logger: log, Now: e.Now,
	}
	if origin := server.OriginOf(cfg.MCP.PublicBaseURL); origin != "" {
		o.Origins = append(o.Origins, origin)
	}
	return server.New(o)
}

func attachMCP(to *server.Server, s *studio) {
	to.Attach(server.Domains{
		DB: s.db, Auth: s.auth, Flowcharts: s.flowcharts, Catalog: s.catalog, Engine: s.engine, Downloads: s.downloads,
		Threads: s.chat, Published: publish.New(s.db, s.events), Retrieval: s.asking.Service,
		Hints: func(f func(string)) func() { return s.bus.Subscribe(func(h bus.Hint) { f(h.Stream) }) },
	})
}

// mountedMCP is the server below the API of a process that serves it.
func (s *studio) mountedMCP() (*httpapi.StudioMCP, error) {
	mcp, err := newMCP(s.cfg, s.log, Edge{Now: s.now})
	if err != nil {
		return nil, err
	}
	attachMCP(mcp, s)
	s.studioMCP = mcp
	return &httpapi.StudioMCP{Handler: mcp, Tools: mcp.Tools(), Published: publish.New(s.db, s.events), PublicBaseURL: s.cfg.MCP.PublicBaseURL}, nil
}

// leaveWeb tells everything that waits to move, when a drain begins.
func (s *studio) leaveWeb(ctx context.Context) {
	if s.studioMCP != nil {
		s.studioMCP.Leave()
	}
	s.realtime.leave(ctx)
}
