package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/mcp/server"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/serving"
)

func (c *command) mcp() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mcp",
		Short: "Serve the Studio as an MCP server, on an address of its own",
		Long: `Serves flowcharts, runs, nodes, models and downloads as tools of the Model Context
Protocol over streamable HTTP, at LLMCTL_MCP_HOST:LLMCTL_MCP_PORT LLMCTL_MCP_PATH. Any number
of replicas can stand behind one address: no request needs the one before. Tools need an
API key; initialize and ping need neither that nor the database, so this can start first.
/healthz beside the path says that the process lives, /readyz that its tools work.
llmctl serve and llmctl up have the same below the API, at /api/mcp.`,
		Example: "  llmctl mcp\n  LLMCTL_MCP_PORT=9021 llmctl mcp --env-file studio.env",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return obeyed(cmd.Context(), c.runMCP(cmd.Context())) },
	}
	c.flag(cmd, "database-uri", "LLMCTL_STUDIO_DATABASE_URI", "address of the database")
	c.flag(cmd, "host", "LLMCTL_MCP_HOST", "host to listen on")
	c.flag(cmd, "port", "LLMCTL_MCP_PORT", "port to listen on")
	return cmd
}

const (
	mcpConns = 8                // database connections of llmctl mcp
	mcpGrace = 20 * time.Second // for requests under way when it ends
	mcpTries = time.Second      // between two looks at a database that is not there
)

func (c *command) runMCP(ctx context.Context) error {
	cfg, log, err := c.start(config.RoleMCP)
	if err != nil {
		return err
	}
	mcp, err := newMCP(cfg, log, c.edge)
	if err != nil {
		return err
	}
	db, err := postgres.Open(ctx, postgres.Options{URI: cfg.Database.URI.Reveal(), MaxConns: mcpConns, Application: "llmctl mcp"})
	if err != nil {
		return err
	}
	defer db.Close()
	role := &mcpRole{c: c, cfg: cfg, log: log, db: db, mcp: mcp}
	web, err := role.listen(ctx)
	if err != nil {
		return err
	}
	group := lifecycle.NewGroup(log, mcpGrace+5*time.Second, role, web)
	err = group.Run(ctx, func() {
		notifyReady(c.edge.Environ)
		_, _ = fmt.Fprintf(c.edge.Stdout, "ready: http://%s%s\n", reachable(role.bound), cfg.MCP.Path)
	})
	if ctx.Err() != nil && err == nil {
		log.InfoContext(context.WithoutCancel(ctx), "stopped")
	}
	return err
}

// mcpRole is the part behind the address: it waits for the database, then runs what
// the tools work with. It is ready at once: the handshake needs none of that.
type mcpRole struct {
	c     *command
	cfg   *config.Config
	log   *slog.Logger
	db    *postgres.DB
	mcp   *server.Server
	bound net.Addr
}

// Name names the service.
func (*mcpRole) Name() string { return "mcp" }

// Run works until ctx ends.
func (r *mcpRole) Run(ctx context.Context, ready func()) error {
	ready()
	if err := r.awaitDatabase(ctx); err != nil {
		return obeyed(ctx, err)
	}
	hints, err := sharedBus(ctx, r.cfg, r.db, r.log)
	if err != nil {
		return obeyed(ctx, err)
	}
	dataDir, err := filepath.Abs(r.cfg.Studio.DataDir)
	if err != nil {
		return fmt.Errorf("data dir: %w", err)
	}
	// It reads no secret, so it needs no key.
	s, err := newStudio(ctx, studioOptions{
		sides: sides{mcp: true}, cfg: r.cfg, log: r.log, now: r.c.edge.Now, db: r.db, bus: hints, dataDir: dataDir,
	})
	if err != nil {
		return obeyed(ctx, err)
	}
	group := lifecycle.NewGroup(r.log, mcpGrace, append(s.internal(), s.services()...)...)
	return group.Run(ctx, func() {
		attachMCP(r.mcp, s)
		r.log.InfoContext(ctx, "the database answers, the tools work")
	})
}

// awaitDatabase waits until the schema fits: serve or a Job migrates, this does not.
func (r *mcpRole) awaitDatabase(ctx context.Context) error {
	said := ""
	for {
		err := r.db.Preflight(ctx, postgres.PreflightOptions{Timeout: mcpTries, Interval: mcpTries, Logger: quieter(r.log)})
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if text := err.Error(); text != said {
			said = text
			r.log.WarnContext(ctx, "the tools wait for the database", "error", err)
		}
		pause := time.NewTimer(mcpTries)
		select {
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-pause.C:
		}
	}
}

// listen opens the address and says what is served there.
func (r *mcpRole) listen(ctx context.Context) (*serving.Server, error) {
	address := net.JoinHostPort(r.cfg.MCP.Host, strconv.Itoa(r.cfg.MCP.Port))
	socket, err := serving.ListenFor(ctx, "LLMCTL_MCP_HOST and LLMCTL_MCP_PORT", address, r.log)
	if err != nil {
		return nil, err
	}
	ln, err := socket.Open()
	if err != nil {
		return nil, err
	}
	r.bound = ln.Addr()
	return serving.NewServer(serving.ServerOptions{
		Handler: r.routes(), Listeners: []net.Listener{ln}, Log: r.log, Keepalive: r.cfg.Server.Keepalive, Grace: mcpGrace,
		Connections: r.cfg.Server.WorkerConnections, Leave: func(context.Context) { r.mcp.Leave() },
	}), nil
}

func (r *mcpRole) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(r.cfg.MCP.Path, r.mcp)
	if r.cfg.MCP.Path != "/" {
		mux.Handle(r.cfg.MCP.Path+"/", http.NotFoundHandler())
		mux.Handle(r.cfg.MCP.Path+"/{$}", r.mcp) // as some clients write it
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, req *http.Request) {
		ctx, cancel := context.WithTimeout(req.Context(), 3*time.Second)
		defer cancel()
		if _, err := r.db.Exec(ctx, "SELECT 1"); !r.mcp.Attached() || err != nil {
			answer(w, http.StatusServiceUnavailable, "the database does not answer")
			return
		}
		answer(w, http.StatusOK, "ok")
	})
	return mux
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}
