package app

import (
	"context"
	"io/fs"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/web"
)

func (s *studio) buildAPI() error {
	mcp, err := s.mountedMCP()
	if err != nil {
		return err
	}
	var page fs.FS
	if s.sides.page {
		page, _ = fs.Sub(web.Dist, "dist")
	}
	proxy := proxyFix(s.cfg, s.log)
	measureProxy(proxy, s.metrics)
	var accessLog func(http.Handler) http.Handler
	if s.access != nil {
		accessLog = s.access.Middleware
	}
	s.handler = httpapi.New(httpapi.Deps{
		DB: s.db, Log: s.events, Auth: s.auth, Flowcharts: s.flowcharts, Catalog: s.catalog, Engine: s.engine, Models: s.providers, Schedules: s.schedules,
		Queues: s.board, River: s.console.handler(), Downloads: s.downloads, Threads: s.chat, Sources: s.sources, MCP: s.mcp.deps(), StudioMCP: mcp,
		Providers: s.providers, NodeExecutor: s.nodeSettings.store, Embeddings: embeddingTest{s.retrieval}, Indexing: s.indexing, Retrieval: s.asking.Service, Realtime: s.realtime, Sockets: s.realtime.handler(), Page: page, NoPage: !s.sides.page, Proxy: proxy, Ready: s.ready,
		APIPrefix: s.cfg.Proxy.APIPrefix, WebPrefix: s.cfg.Proxy.WebPrefix, SocketPath: s.cfg.SocketIO.Path, Transports: s.cfg.SocketIO.Transports,
		AccessLog: accessLog, Observe: s.metrics.Request, Tracer: s.tracer, TraceLink: s.cfg.Telemetry.LinkTo, Version: buildVersion(), Logger: s.log, Now: s.now,
	})
	return nil
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
