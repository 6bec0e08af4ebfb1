package app

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/peers"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/serving"
)

// webPlace is a web worker's place among those of all replicas.
type webPlace struct {
	self     peers.Worker
	router   *peers.Router
	registry *peers.Registry // nil: there are no others
	signer   *peers.Signer   // likewise
	runDir   string          // of the private sockets
}

// What private sockets serve to other workers.
const (
	sessionsPath = "/sessions/"
	realtimePath = "/realtime/"
)

// askPatience bounds questions that master and workers ask each other. A profile
// takes as long as was asked for before its answer begins.
const askPatience = 2 * time.Minute

// alone is the place of a process that has no others beside it.
func alone(now func() time.Time) *webPlace {
	self := newSelf(serving.NewName(), now)
	return &webPlace{self: self, router: peers.NewRouter(peers.Options{Own: self.Name})}
}

func newSelf(name string, now func() time.Time) peers.Worker {
	host, _ := os.Hostname() // for people
	return peers.Worker{Name: name, Hostname: host, PID: os.Getpid(), Version: buildVersion(), StartedAt: now()}
}

func newWebPlace(cfg *config.Config, db *postgres.DB, log *slog.Logger, now func() time.Time, name, runDir string) (*webPlace, error) {
	signer, err := replicaSigner(cfg, now)
	if err != nil {
		return nil, err
	}
	p := &webPlace{self: newSelf(name, now), signer: signer, runDir: runDir}
	p.self.Address = advertised(cfg.Server)
	p.registry = peers.NewRegistry(db, p.self, log)
	p.router = peers.NewRouter(peers.Options{
		Own: name, Hostname: p.self.Hostname, RunDir: runDir, Registry: p.registry, Signer: signer, Sessions: sessionsPath, Patience: patience(cfg),
	})
	return p, nil
}

func replicaSigner(cfg *config.Config, now func() time.Time) (*peers.Signer, error) {
	raw, err := secret.ParseKey(cfg.Studio.SecretKey.Reveal())
	if err != nil {
		return nil, fmt.Errorf("LLMCTL_STUDIO_SECRET_KEY: %w", err)
	}
	return peers.NewSigner(raw, now)
}

// patience is longer than any long poll, which a heartbeat ends.
func patience(cfg *config.Config) time.Duration {
	return max(2*time.Minute, cfg.SocketIO.PingInterval+cfg.SocketIO.PingTimeout+10*time.Second)
}

// inbound takes requests of other replicas on the internal listener.
func inbound(signer *peers.Signer, deliver func(name string) http.Handler, log *slog.Logger) http.Handler {
	return &peers.Inbound{Signer: signer, Log: log, Paths: []string{sessionsPath, realtimePath}, Deliver: deliver}
}

// private is what a worker serves to its master and to other workers.
func (s *studio) private() http.Handler {
	mux := diagnosis(s.metrics.Handler())
	mux.Handle(sessionsPath, peers.Arrived(s.realtime.handler()))
	s.realtime.mountPrivate(mux)
	return mux
}

// advertised is where other replicas reach this one's internal listener; empty: they
// do not.
func advertised(c config.Server) string {
	switch {
	case c.InternalAdvertise == "off" || c.InternalBind == "off":
		return ""
	case c.InternalAdvertise != "":
		return c.InternalAdvertise
	}
	host, port, err := net.SplitHostPort(c.InternalBind)
	if n, faulty := strconv.Atoi(port); err != nil || faulty != nil || n == 0 {
		return "" // a Unix socket, or a port that nobody knows beforehand
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = ownAddress()
	}
	if host == "" {
		return ""
	}
	return net.JoinHostPort(host, port)
}

// ownAddress is the first address of this machine that others can reach; a container
// has but one.
func ownAddress() string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}
