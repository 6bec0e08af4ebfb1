package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/peers"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/serving"
	"github.com/llmctl/studio/internal/telemetry"
)

// master is llmctl serve with an arbiter.
type master struct {
	c       *command
	log     *slog.Logger
	flags   serveFlags
	db      *postgres.DB
	setup   string
	runDir  *serving.RunDir
	arbiter *serving.Arbiter
	// upgraded tells whether this master took the place of another one.
	upgraded bool

	cfg atomic.Pointer[config.Config] // in effect; a reload replaces it
}

func (m *master) run(ctx context.Context, from inheritance) error {
	program, err := onDisk()
	if err != nil {
		return err
	}
	handedOver := false
	m.upgraded = from.Channel > 0
	if m.upgraded {
		m.runDir, err = serving.OpenRunDir(from.RunDir)
	} else {
		m.runDir, err = serving.MakeRunDir()
	}
	if err != nil {
		return err
	}
	defer func() { m.runDir.Close(!handedOver) }() // else it is the new master's
	// What accompanies the arbiter begins with it, so that workers that do not start
	// can be looked at; after an upgrade it waits until this master is the one that
	// serves, since the earlier one has the same addresses. It ends with the arbiter, or
	// when a new master takes over.
	beside, endBeside := context.WithCancel(ctx)
	defer endBeside()
	var besides sync.WaitGroup
	defer besides.Wait()
	defer endBeside()
	dead := newObituary(m.db, m.log)
	besides.Go(func() { dead.run(ctx) })
	defer dead.close()
	accompany := func() { besides.Go(func() { m.beside(beside) }) }
	m.arbiter = serving.New(serving.Options{
		Load: m.settings, WorkerArgs: m.workerArgs, Log: m.log, Now: m.c.edge.Now, RunDir: m.runDir.Path,
		Reopen: func() { m.c.logs.reopen(m.log) },
		Upgrade: serving.Upgrade{
			Program: program, Args: m.successorArgs, Environ: m.c.edge.Environ, Sockets: from.Sockets, Channel: from.Channel,
		},
		Started: func(listeners []*serving.Listener) {
			if m.upgraded {
				accompany()
			}
			notifyReady(m.c.edge.Environ)
			m.c.announce(baseURL(m.cfg.Load(), listeners, m.flags.page), m.setup)
		},
		Ended:      dead.note,
		HandedOver: func() { handedOver = true; endBeside() },
	})
	if !m.upgraded {
		if _, err := m.settings(); err != nil { //nolint:contextcheck // what accompanies it is configured, too
			return err
		}
		accompany()
	}
	err = m.arbiter.Run(ctx)
	if errors.Is(err, serving.ErrBoot) {
		m.log.ErrorContext(ctx, "giving up", "error", err)
		return exitError(exitBoot)
	}
	if err == nil {
		m.log.InfoContext(ctx, "stopped")
	}
	return err
}

// exitBoot is Gunicorn's code for workers that cannot start.
const exitBoot = 3

// beside runs what accompanies the arbiter, until ctx ends. That something of it
// cannot run is said and stops nothing: requests are served without it.
func (m *master) beside(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for _, s := range []lifecycle.Service{m.internal(), m.control(ctx)} {
		if s == nil {
			continue
		}
		running.Go(func() {
			if err := lifecycle.NewGroup(m.log, besidePatience, s).Run(ctx, func() {}); err != nil {
				m.log.ErrorContext(ctx, "the master goes on without this service", "service", s.Name(), "error", err)
			}
		})
	}
}

// besidePatience is longer than a command of the control socket may take.
const besidePatience = 15 * time.Second

// internal is the listener for figures and profiles; nil: it is off.
func (m *master) internal() lifecycle.Service {
	cfg := m.cfg.Load()
	if cfg.Server.InternalBind == "off" {
		return nil
	}
	mux := diagnosis(m.mastersFigures(telemetry.New(buildVersion())))
	mux.HandleFunc("GET /workers/{pid}/debug/pprof/{rest...}", m.workersProfiles)
	signer, err := replicaSigner(cfg, m.c.edge.Now)
	if err != nil {
		m.log.Error("requests of other replicas are not taken", "error", err)
	} else {
		mux.Handle(peers.RelayPattern, inbound(signer, peers.ToPrivate(m.runDir.Path, patience(cfg)), m.log))
	}
	return &internalListener{
		address: cfg.Server.InternalBind, given: cfg.Given("LLMCTL_STUDIO_INTERNAL_BIND"), handler: mux, log: m.log,
	}
}

// ask gets a document from a worker's private socket.
func (m *master) ask(ctx context.Context, p serving.Peer, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://worker"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask worker %d: %w", p.PID, err)
	}
	res, err := serving.PrivateTransport(m.runDir.Path, p.Name, askPatience).RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("ask worker %d: %w", p.PID, err)
	}
	return res.Body, nil
}

// settings reads the configuration, at the start and at every reload.
func (m *master) settings() (serving.Settings, error) {
	cfg, _, err := m.c.load(config.RoleServe)
	if err != nil {
		return serving.Settings{}, err
	}
	if err := refuseWithoutEffect(cfg, config.RoleServe); err != nil {
		return serving.Settings{}, err
	}
	if _, err := certificates(context.Background(), cfg, m.log, m.c.edge.Now); err != nil {
		return serving.Settings{}, err // before any worker stumbles over it
	}
	if err := m.c.checkLogs(cfg, config.RoleServe); err != nil {
		return serving.Settings{}, err
	}
	environ, err := config.Environment(m.c.loadOptions(config.RoleServe, ""))
	if err != nil {
		return serving.Settings{}, err
	}
	m.cfg.Store(cfg)
	return serving.Settings{
		Bind: cfg.Server.Bind, Workers: cfg.Server.Workers, Timeout: cfg.Server.Timeout, Grace: cfg.Server.GracefulTimeout, Environ: environ,
	}, nil
}

func (m *master) workerArgs(in serving.Inherited) []string {
	args := []string{
		"serve-worker", "--channel", strconv.Itoa(in.Channel), "--private", strconv.Itoa(in.Private),
		"--name", in.Name, "--run-dir", in.RunDir,
	}
	for _, fd := range in.Listeners {
		args = append(args, "--listener", strconv.Itoa(fd))
	}
	if m.flags.page {
		args = append(args, "--with-web")
	}
	return args
}

// successorArgs are our own arguments with what the new master inherits.
func (m *master) successorArgs(channel int, sockets []serving.Socket) []string {
	raw, err := json.Marshal(inheritance{Channel: channel, Sockets: sockets, RunDir: m.runDir.Path})
	if err != nil {
		raw = []byte("{}") // numbers and texts: cannot happen
	}
	args := make([]string, 0, len(m.c.edge.Args)+1)
	for _, a := range m.c.edge.Args {
		if !strings.HasPrefix(a, "--"+inheritFlag+"=") {
			args = append(args, a)
		}
	}
	return append(args, "--"+inheritFlag+"="+string(raw))
}

// baseURL is an address that a person on this machine can open.
func baseURL(cfg *config.Config, listeners []*serving.Listener, page bool) string {
	path := cfg.Proxy.APIPrefix
	if page {
		path = cfg.Proxy.WebPrefix
	}
	scheme := "http://"
	if cfg.Server.Certfile != "" {
		scheme = "https://"
	}
	for _, l := range listeners {
		if _, ok := l.Addr.(*net.TCPAddr); ok {
			return scheme + reachable(l.Addr) + path
		}
	}
	return listeners[0].Address + path
}

// onDisk is this program as it was called, so that a new file in its place is found.
func onDisk() (string, error) {
	if found, err := exec.LookPath(os.Args[0]); err == nil {
		return filepath.Abs(found)
	}
	return os.Executable()
}
