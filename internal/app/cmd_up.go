package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/postgres/embedded"
)

type upFlags struct {
	demo      bool
	noBrowser bool
}

func (c *command) up() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run everything on this machine: database, API, page, realtime, worker, scheduler",
		Long: `Runs the whole Studio in one process, with a PostgreSQL server of its own whose data lies
in the data dir. The last line that it prints is the address of the page; the first
start also prints a link to create the administrator. Stop it with Ctrl-C: runs that are
under way go on with the next start.`,
		Example: "  llmctl up\n  llmctl up --demo\n  llmctl up --bind 0.0.0.0:8080 --database-uri postgresql://user@host/db",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.runUp(cmd.Context(), f) },
	}
	c.flag(cmd, "bind", "GUNICORN_BIND", "address to serve on")
	c.flag(cmd, "data-dir", "LLMCTL_STUDIO_DATA_DIR", "folder for everything that is kept")
	c.flag(cmd, "database-uri", "LLMCTL_STUDIO_DATABASE_URI", "use this PostgreSQL server instead of one of our own")
	cmd.Flags().BoolVar(&f.demo, "demo", false, "add an offline demo model and two sample flowcharts")
	cmd.Flags().BoolVar(&f.noBrowser, "no-browser", false, "do not open a browser")
	return cmd
}

func (c *command) runUp(ctx context.Context, f upFlags) error {
	cfg, log, err := c.start(config.RoleUp)
	if err != nil {
		return err
	}
	if err := refuseWithoutEffect(cfg, config.RoleUp); err != nil {
		return err
	}
	dataDir, err := filepath.Abs(cfg.Studio.DataDir)
	if err != nil {
		return fmt.Errorf("data dir: %w", err)
	}
	lock, err := embedded.LockDataDir(dataDir)
	if err != nil {
		return err
	}
	defer lock.Release()
	uri, stop, err := c.database(ctx, cfg, log, lock)
	if err != nil {
		return err
	}
	defer stop()
	db, err := postgres.Open(ctx, postgres.Options{URI: uri, MaxConns: poolSize(cfg), Application: "llmctl up"})
	if err != nil {
		return err
	}
	defer db.Close()
	if cfg.Healthcheck.Enabled {
		if err := preflight(ctx, db, cfg, log, true); err != nil {
			return err
		}
	}
	box, err := secretBox(cfg, dataDir)
	if err != nil {
		return err
	}
	parts := workParts{cfg: cfg, log: log, db: db, box: box, dataDir: dataDir}
	for first := true; ; first = false {
		again, err := c.upOnce(ctx, parts, f, first)
		if !again || err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// upOnce is one life of everything but the database: until ctx ends, or until its
// worker finds that others have declared it dead. Then all of it goes on anew, since
// the parts of a process share their queue client; browsers connect again.
func (c *command) upOnce(ctx context.Context, p workParts, f upFlags, first bool) (again bool, err error) {
	hints, err := busFor(ctx, p.cfg, p.db, p.log)
	if err != nil {
		return false, err
	}
	access, err := c.accessLog(p.cfg, config.RoleUp, p.log)
	if err != nil {
		return false, err
	}
	life, bury := context.WithCancel(ctx)
	defer bury()
	s, err := newStudio(ctx, studioOptions{
		sides: sides{web: true, page: true, work: true, beat: true}, access: access,
		cfg: p.cfg, log: p.log, now: c.edge.Now, db: p.db, box: p.box, bus: hints, dataDir: p.dataDir,
		place: alone(c.edge.Now), alone: true,
		owner: ownerOf(p.dataDir), scriptNodes: p.cfg.Studio.ScriptNodes && p.cfg.Executor.Provider != "inline",
		buried: bury,
	})
	if err != nil {
		return false, err
	}
	defer context.AfterFunc(life, func() {
		if ctx.Err() == nil {
			s.queue.HandOver() // nobody waits for what it still runs
		}
	})()
	err = c.runAll(ctx, life, s, f, first)
	return ctx.Err() == nil && life.Err() != nil, err
}

// busFor is in memory with a database of our own, which nobody else uses; a given
// one may have other processes, and a given Redis is used in any case.
func busFor(ctx context.Context, cfg *config.Config, db *postgres.DB, log *slog.Logger) (bus.Bus, error) {
	if cfg.Database.URI == "" && cfg.SocketIO.MessageQueue == "" {
		return bus.NewMemory(), nil
	}
	return sharedBus(ctx, cfg, db, log)
}

// poolSize has a connection for each slot and some for requests and services.
func poolSize(cfg *config.Config) int32 { return int32(min(cfg.Worker.Concurrency, 64) + 12) }

// ownerOf names the data dir among all that use the same database.
func ownerOf(dataDir string) string {
	host, _ := os.Hostname()
	return "up:" + host + ":" + dataDir
}

// database gives the address of the given server, or starts our own.
func (c *command) database(ctx context.Context, cfg *config.Config, log *slog.Logger, lock *embedded.Lock) (uri string, stop func(), err error) {
	if uri := cfg.Database.URI.Reveal(); uri != "" {
		return uri, func() {}, nil
	}
	server, err := embedded.Start(ctx, embedded.Options{
		Lock: lock, BinDir: cfg.Database.BinDir, NodeModules: nodeModules(), Logger: log,
	})
	if err != nil {
		return "", nil, err
	}
	return server.URI(), func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if err := server.Stop(grace); err != nil {
			log.WarnContext(grace, "stop the database", "error", err)
		}
	}, nil
}

// nodeModules are the places where the npm package with PostgreSQL may lie.
func nodeModules() []string {
	dirs := []string{"web/node_modules"}
	if exe, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Join(filepath.Dir(exe), "..", "web", "node_modules"))
	}
	return dirs
}

// prepare does what a first life needs: samples, and an administrator.
func prepare(ctx context.Context, s *studio, f upFlags) (setup string, err error) {
	if f.demo {
		if err := ensureDemo(ctx, s); err != nil {
			return "", err
		}
	}
	return firstStart(ctx, s.auth, s.cfg)
}

// runAll runs the services until life ends, which it does with ctx at the latest. Only
// a first life is announced: for whoever started the program it is still the same.
func (c *command) runAll(ctx, life context.Context, s *studio, f upFlags, first bool) error {
	setup := ""
	if first {
		var err error
		if setup, err = prepare(ctx, s, f); err != nil {
			return err
		}
	}
	if err := s.register(ctx); err != nil {
		return err
	}
	server, bound, err := s.listen(ctx)
	if err != nil {
		return err
	}
	if err := s.mcp.syncAt(ctx, bound[0].Addr, s.cfg.Server.Certfile != ""); err != nil {
		return err
	}
	defer impatience(s.queue.HandOver)()
	group := lifecycle.NewGroup(s.log, 25*time.Second, append(s.internal(), s.services(server)...)...)
	err = group.Run(life, func() {
		if !first {
			s.log.InfoContext(ctx, "went on as a new worker")
			return
		}
		base := "http://" + reachable(bound[0].Addr) + s.cfg.Proxy.WebPrefix
		c.announce(base, setup)
		if !f.noBrowser {
			c.openBrowser(ctx, base, setup)
		}
	})
	if ctx.Err() != nil && err == nil {
		s.log.InfoContext(context.WithoutCancel(ctx), "stopped")
	}
	return err
}

// reachable is an address that a browser on this machine can open.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return addr.String()
}

// openBrowser opens the page where there is a desktop; that it cannot is no error.
func (c *command) openBrowser(ctx context.Context, base, setup string) {
	if !c.hasDesktop() {
		return
	}
	opener, err := exec.LookPath("xdg-open")
	if errors.Is(err, exec.ErrNotFound) {
		return
	}
	if setup != "" {
		base += "/setup?token=" + setup
	}
	cmd := exec.CommandContext(ctx, opener, base) //nolint:gosec // our own address
	if cmd.Start() == nil {
		go func() { _ = cmd.Wait() }()
	}
}

func (c *command) hasDesktop() bool {
	for _, pair := range c.edge.Environ {
		for _, name := range []string{"DISPLAY=", "WAYLAND_DISPLAY="} {
			if len(pair) > len(name) && pair[:len(name)] == name {
				return true
			}
		}
	}
	return false
}
