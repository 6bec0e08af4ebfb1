package app

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/serving"
)

// serverOptions are what serving the API takes from the configuration.
func (s *studio) serverOptions(listeners []net.Listener, secure *tls.Config) serving.ServerOptions {
	c := s.cfg.Server
	o := serving.ServerOptions{
		Handler: s.handler, Listeners: listeners, TLS: secure, Log: s.log, Keepalive: c.Keepalive, Grace: c.GracefulTimeout,
		Connections: c.WorkerConnections, Threads: c.Threads, Exempt: s.waitsRather, Leave: s.realtime.leave,
	}
	if c.MaxRequests > 0 {
		o.MaxRequests = c.MaxRequests + rand.IntN(c.MaxRequestsJitter+1) //nolint:gosec // spreads restarts, guards nothing
	}
	return o
}

// waitsRather tells requests that take no thread: those of the realtime side wait
// for events, and health must answer when all threads are busy.
func (s *studio) waitsRather(r *http.Request) bool {
	api := s.cfg.Proxy.APIPrefix
	path := strings.TrimPrefix(r.URL.Path, api)
	return strings.HasPrefix(path, s.cfg.SocketIO.Path) || path == "/health" || path == "/ready"
}

// listen opens the configured addresses for this very process.
func (s *studio) listen(ctx context.Context) (*serving.Server, []*serving.Listener, error) {
	var bound []*serving.Listener
	var open []net.Listener
	for _, address := range s.cfg.Server.Bind {
		l, err := serving.Listen(ctx, address, s.log)
		if err != nil {
			return nil, nil, err
		}
		ln, err := l.Open()
		if err != nil {
			return nil, nil, err
		}
		bound, open = append(bound, l), append(open, ln)
	}
	o := s.serverOptions(open, nil)
	o.MaxRequests = 0                      // there is nobody to take over
	o.Grace = min(o.Grace, 10*time.Second) // nor anybody else who serves meanwhile
	return serving.NewServer(o), bound, nil
}
