package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/serving"
)

// serveFlags are those of llmctl serve; the last is what one master tells the next.
type serveFlags struct {
	page      bool
	noMigrate bool
	inherit   string
}

// inheritance is what a master passes to the one that replaces it.
type inheritance struct {
	Channel int              `json:"channel"`
	Sockets []serving.Socket `json:"sockets"`
	RunDir  string           `json:"run_dir"`
}

const inheritFlag = "inherit"

func (c *command) serve() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the API and realtime: a master with web worker processes",
		Long: `Serves /api and Socket.IO from GUNICORN_WORKERS worker processes under a master that
obeys Gunicorn's signals:

  HUP    read --env-file again, start new workers, drain the old ones
  TERM   graceful stop; a second one stops at once     INT, QUIT  stop at once
  TTIN   one worker more                               TTOU       one worker less
  USR1   open the log files anew                       USR2       start the binary that is now on disk
  WINCH  end the workers, keep the master                         on the same sockets, then end

The same and more through the control socket: llmctl ctl. serve runs no nodes; start
llmctl worker for that. The page is served by llmctl frontend, or here with --with-web.`,
		Example: "  llmctl serve --env-file studio.env\n  GUNICORN_WORKERS=4 llmctl serve --with-web --bind 0.0.0.0:5155,unix:/run/llmctl.sock",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.runServe(cmd.Context(), f) },
	}
	c.flag(cmd, "bind", "GUNICORN_BIND", "addresses to serve on")
	c.flag(cmd, "workers", "GUNICORN_WORKERS", "number of worker processes")
	c.flag(cmd, "data-dir", "LLMCTL_STUDIO_DATA_DIR", "folder for the control socket")
	c.flag(cmd, "database-uri", "LLMCTL_STUDIO_DATABASE_URI", "address of the database")
	cmd.Flags().BoolVar(&f.page, "with-web", false, "serve the page as well")
	cmd.Flags().BoolVar(&f.noMigrate, "no-migrate", false, "only check the schema; a Job or llmctl db migrate brings it up")
	cmd.Flags().StringVar(&f.inherit, inheritFlag, "", "sockets of an earlier master")
	_ = cmd.Flags().MarkHidden(inheritFlag)
	return cmd
}

func (c *command) runServe(ctx context.Context, f serveFlags) error {
	cfg, log, err := c.start(config.RoleServe)
	if err != nil {
		return err
	}
	if err := refuseWithoutEffect(cfg, config.RoleServe); err != nil {
		return err
	}
	var from inheritance
	if f.inherit != "" {
		if err := json.Unmarshal([]byte(f.inherit), &from); err != nil {
			return usageError{fmt.Errorf("--%s: %w", inheritFlag, err)}
		}
	}
	setup, db, err := c.prepareServe(ctx, cfg, log, f)
	if err != nil {
		return err
	}
	defer db.Close()
	if class := cfg.Server.WorkerClass; cfg.Given("GUNICORN_WORKER_CLASS") {
		log.InfoContext(ctx, "GUNICORN_WORKER_CLASS is accepted for compatibility: all workers serve each request on a goroutine", "worker_class", class)
	}
	if ctx.Err() != nil {
		return nil // told to stop while it prepared
	}
	if !cfg.Server.UseArbiter {
		return c.serveAlone(ctx, cfg, log, f, setup)
	}
	m := &master{c: c, log: log, flags: f, db: db, setup: setup}
	return m.run(context.WithoutCancel(ctx), from) // its signals are its own
}

// prepareServe proves the database and makes what a first start needs, before any
// socket is opened. The pool is small: the master only needs it for its audit.
func (c *command) prepareServe(ctx context.Context, cfg *config.Config, log *slog.Logger, f serveFlags) (string, *postgres.DB, error) {
	db, err := postgres.Open(ctx, postgres.Options{URI: cfg.Database.URI.Reveal(), MaxConns: 2, Application: "llmctl serve master"})
	if err != nil {
		return "", nil, err
	}
	setup, err := func() (string, error) {
		if cfg.Healthcheck.Enabled {
			if err := preflight(ctx, db, cfg, log, !f.noMigrate); err != nil {
				return "", err
			}
		}
		if f.inherit != "" {
			return "", nil // the earlier master has done it
		}
		service, err := auth.NewService(ctx, db, c.edge.Now)
		if err != nil {
			return "", err
		}
		return firstStart(ctx, service, cfg)
	}()
	if err != nil {
		db.Close()
		return "", nil, err
	}
	return setup, db, nil
}

// serveAlone is the debug path: one process, no master.
func (c *command) serveAlone(ctx context.Context, cfg *config.Config, log *slog.Logger, f serveFlags, setup string) error {
	dir, err := serving.MakeRunDir()
	if err != nil {
		return err
	}
	defer dir.Close(true)
	s, closeAll, err := c.webProcess(ctx, cfg, log, f.page, serving.NewName(), dir.Path)
	if err != nil {
		return err
	}
	defer closeAll()
	private, err := serving.OpenPrivate(dir, s.place.self.Name) // other replicas may have requests for us
	if err != nil {
		return err
	}
	server, bound, err := s.listen(ctx)
	if err != nil {
		return err
	}
	serve := s.services(&privateListener{ln: private, handler: s.private(), log: log}, server)
	group := lifecycle.NewGroup(log, 25*time.Second, append(s.internal(), serve...)...)
	return group.Run(ctx, func() { c.announce(baseURL(cfg, bound, f.page), setup) })
}

// webProcess is the Studio of a process that serves. name is that of its private
// socket in runDir.
func (c *command) webProcess(ctx context.Context, cfg *config.Config, log *slog.Logger, page bool, name, runDir string) (*studio, func(), error) {
	dataDir, err := filepath.Abs(cfg.Studio.DataDir)
	if err != nil {
		return nil, nil, fmt.Errorf("data dir: %w", err)
	}
	if cfg.Studio.SecretKey == "" {
		return nil, nil, errs.E(errs.Invalid, "config.secret_key", "LLMCTL_STUDIO_SECRET_KEY is not set.")
	}
	box, err := secretBox(cfg, dataDir)
	if err != nil {
		return nil, nil, err
	}
	access, err := c.accessLog(cfg, config.RoleServe, log)
	if err != nil {
		return nil, nil, err
	}
	db, err := postgres.Open(ctx, postgres.Options{URI: cfg.Database.URI.Reveal(), MaxConns: webConns, Application: "llmctl serve"})
	if err != nil {
		return nil, nil, err
	}
	hints, err := sharedBus(ctx, cfg, db, log)
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	place, err := newWebPlace(cfg, db, log, c.edge.Now, name, runDir)
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	s, err := newStudio(ctx, studioOptions{
		sides: sides{web: true, page: page}, cfg: cfg, log: log, now: c.edge.Now, db: db, box: box,
		bus: hints, dataDir: dataDir, place: place, access: access,
	})
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return s, db.Close, nil
}

// webConns bounds the connections of a web worker: small and fixed, so that the
// number of workers times this stays below what the server allows.
const webConns = 8
