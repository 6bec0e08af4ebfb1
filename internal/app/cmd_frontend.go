package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/serving"
	"github.com/llmctl/studio/internal/serving/frontend"
	"github.com/llmctl/studio/internal/serving/tlsconf"
	"github.com/llmctl/studio/web"
)

func (c *command) frontend() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "frontend",
		Short: "Serve the page, and pass /api/* on to a backend",
		Long: `Serves the page below /web and passes /api/*, WebSockets and long polls included, on to
the backend that LLMCTL_STUDIO_BACKEND_URL names (llmctl serve). It needs no database.
/healthz tells that this process lives. HUP reads the certificate anew.

Behind a proxy set LLMCTL_STUDIO_PROXY_FIX_ENABLED as for llmctl serve. The backend then
has one hop more to trust for X-Forwarded-For than this process, and one for the others.`,
		Example: "  llmctl frontend --backend http://127.0.0.1:5055",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.runFrontend(cmd.Context()) },
	}
	c.flag(cmd, "backend", "LLMCTL_STUDIO_BACKEND_URL", "address of the backend")
	c.flag(cmd, "bind", "LLMCTL_STUDIO_FRONTEND_BIND", "addresses to serve on")
	return cmd
}

func (c *command) runFrontend(ctx context.Context) error {
	cfg, log, err := c.load(config.RoleFrontend)
	if err != nil {
		return err
	}
	proxy, err := backendProxy(ctx, cfg, log, c.edge.Now)
	if err != nil {
		return err
	}
	secure := &reloader{log: log}
	if cfg.Server.Certfile != "" {
		if secure.server, err = tlsconf.NewServer(certificateFiles(cfg), c.edge.Now); err != nil {
			return err
		}
		secure.warn(ctx)
	}
	bound, open, err := listenAll(ctx, cfg.Frontend.Bind, log)
	if err != nil {
		return err
	}
	s := cfg.Server
	server := serving.NewServer(serving.ServerOptions{
		Handler: frontHandler(cfg, log, c.edge.Now, proxy), Listeners: open, TLS: secure.config(), Log: log,
		Keepalive: s.Keepalive, Grace: s.GracefulTimeout, Connections: s.WorkerConnections, Leave: proxy.Leave,
	})
	group := lifecycle.NewGroup(log, s.GracefulTimeout+10*time.Second, secure, server)
	return group.Run(ctx, func() {
		_, _ = fmt.Fprintf(c.edge.Stdout, "ready: %s\n", frontURL(cfg, bound))
	})
}

// frontURL is an address that a person on this machine can open.
func frontURL(cfg *config.Config, bound []*serving.Listener) string {
	scheme := "http://"
	if cfg.Server.Certfile != "" {
		scheme = "https://"
	}
	for _, l := range bound {
		if _, ok := l.Addr.(*net.TCPAddr); ok {
			return scheme + reachable(l.Addr) + cfg.Proxy.WebPrefix
		}
	}
	return bound[0].Address + cfg.Proxy.WebPrefix
}

// backendProxy passes requests on to the configured backend.
func backendProxy(ctx context.Context, cfg *config.Config, log *slog.Logger, now func() time.Time) (*frontend.Proxy, error) {
	f := cfg.Frontend
	backend, err := frontend.ParseBackend("LLMCTL_STUDIO_BACKEND_URL", f.BackendURL)
	if err != nil {
		return nil, err
	}
	secure, warnings, err := tlsconf.Client(tlsconf.Files{
		Cert: tlsconf.File{Setting: "LLMCTL_STUDIO_BACKEND_CERTFILE", Path: f.Certfile},
		Key:  tlsconf.File{Setting: "LLMCTL_STUDIO_BACKEND_KEYFILE", Path: f.Keyfile},
		CA:   tlsconf.File{Setting: "LLMCTL_STUDIO_BACKEND_CA_CERTS", Path: f.CACerts},
	}, now())
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		log.WarnContext(ctx, "certificate", "warning", w)
	}
	// A poll is held for as long as there is nothing to say, at most from one
	// heartbeat to the next.
	longest := max(2*time.Minute, cfg.SocketIO.PingInterval+cfg.SocketIO.PingTimeout)
	return frontend.New(frontend.Options{Backend: backend, TLS: secure, AnswerTimeout: longest, Fail: httpapi.Fail, Logger: log}), nil
}

func frontHandler(cfg *config.Config, log *slog.Logger, now func() time.Time, proxy *frontend.Proxy) http.Handler {
	page, _ := fs.Sub(web.Dist, "dist")
	return httpapi.NewFront(httpapi.FrontDeps{
		Page: httpapi.PageOptions{
			Files: page, WebPrefix: cfg.Proxy.WebPrefix, APIPrefix: cfg.Proxy.APIPrefix, SocketPath: cfg.SocketIO.Path,
			Transports: cfg.SocketIO.Transports, Version: buildVersion(),
		},
		Backend: proxy, Health: http.HandlerFunc(frontHealth), Proxy: proxyFix(cfg, log), Logger: log, Now: now,
	})
}

// frontHealth says that this process lives; the backend has its own.
func frontHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]string{"status": "ok", "version": buildVersion()}) //nolint:errchkjson // texts only
}

// reloader reads the certificate of this process anew when it gets HUP.
type reloader struct {
	server *tlsconf.Server // nil: plain HTTP
	log    *slog.Logger
}

func (l *reloader) config() *tls.Config {
	if l.server == nil {
		return nil
	}
	return l.server.Config()
}

func (l *reloader) warn(ctx context.Context) {
	for _, w := range l.server.Warnings() {
		l.log.WarnContext(ctx, "TLS", "warning", w)
	}
}

// Name names the service.
func (l *reloader) Name() string { return "certificate" }

// Run waits for signals until ctx ends.
func (l *reloader) Run(ctx context.Context, ready func()) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			l.reload(ctx)
		}
	}
}

func (l *reloader) reload(ctx context.Context) {
	if l.server == nil {
		l.log.InfoContext(ctx, "there is no certificate to read anew")
		return
	}
	if err := l.server.Reload(); err != nil {
		l.log.ErrorContext(ctx, "the certificate cannot be read anew; the old one stays", "error", err)
		return
	}
	l.log.InfoContext(ctx, "the certificate was read anew", "expires", l.server.Expires())
	l.warn(ctx)
}
