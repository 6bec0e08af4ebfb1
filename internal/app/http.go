package app

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/serving"
	"github.com/llmctl/studio/internal/serving/tlsconf"
)

// serverOptions are what serving the API takes from the configuration.
func (s *studio) serverOptions(listeners []net.Listener, secure *tls.Config) serving.ServerOptions {
	c := s.cfg.Server
	o := serving.ServerOptions{
		Handler: s.handler, Listeners: listeners, TLS: secure, Log: s.log, Keepalive: c.Keepalive, Grace: c.GracefulTimeout,
		Connections: c.WorkerConnections, Threads: c.Threads, Exempt: s.waitsRather, Leave: s.leaveWeb,
	}
	if c.MaxRequests > 0 {
		o.MaxRequests = c.MaxRequests + rand.IntN(c.MaxRequestsJitter+1) //nolint:gosec // spreads restarts, guards nothing
	}
	return o
}

// waitsRather tells requests that take no thread: those of the realtime side wait
// for events, a call of an MCP tool may wait for a run (their number has a bound of its
// own), and health must answer when all threads are busy. It sees the path as
// it was sent, so a proxy's prefix may still be there.
func (s *studio) waitsRather(r *http.Request) bool {
	path := strings.TrimSuffix(r.URL.Path, "/")
	return strings.HasSuffix(path, s.cfg.SocketIO.Path) || strings.HasSuffix(path, "/health") || strings.HasSuffix(path, "/ready") ||
		strings.HasSuffix(path, httpapi.MCPPath)
}

// certificates reads the TLS files that the configuration names; nil: plain HTTP.
func certificates(ctx context.Context, cfg *config.Config, log *slog.Logger, now func() time.Time) (*tls.Config, error) {
	if cfg.Server.Certfile == "" {
		return nil, nil //nolint:nilnil // no TLS is a configuration, too
	}
	server, err := tlsconf.NewServer(certificateFiles(cfg), now)
	if err != nil {
		return nil, err
	}
	for _, w := range server.Warnings() {
		log.WarnContext(ctx, "TLS", "warning", w)
	}
	return server.Config(), nil
}

func certificateFiles(cfg *config.Config) tlsconf.Files {
	c := cfg.Server
	return tlsconf.Files{
		Cert: tlsconf.File{Setting: "GUNICORN_CERTFILE", Path: c.Certfile},
		Key:  tlsconf.File{Setting: "GUNICORN_KEYFILE", Path: c.Keyfile},
		CA:   tlsconf.File{Setting: "GUNICORN_CA_CERTS", Path: c.CACerts},
	}
}

// listen opens the configured addresses for this very process.
func (s *studio) listen(ctx context.Context) (*serving.Server, []*serving.Listener, error) {
	bound, open, err := listenAll(ctx, s.cfg.Server.Bind, s.log)
	if err != nil {
		return nil, nil, err
	}
	secure, err := certificates(ctx, s.cfg, s.log, s.now)
	if err != nil {
		return nil, nil, err
	}
	o := s.serverOptions(open, secure)
	o.MaxRequests = 0                      // there is nobody to take over
	o.Grace = min(o.Grace, 10*time.Second) // nor anybody else who serves meanwhile
	return serving.NewServer(o), bound, nil
}

// listenAll opens addresses for this very process.
func listenAll(ctx context.Context, addresses []string, log *slog.Logger) ([]*serving.Listener, []net.Listener, error) {
	var bound []*serving.Listener
	var open []net.Listener
	for _, address := range addresses {
		l, err := serving.Listen(ctx, address, log)
		if err != nil {
			return nil, nil, err
		}
		ln, err := l.Open()
		if err != nil {
			return nil, nil, err
		}
		bound, open = append(bound, l), append(open, ln)
	}
	return bound, open, nil
}
