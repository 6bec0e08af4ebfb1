package app

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/secret"
)

func (c *command) worker() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Consume queues: run the nodes of flowcharts",
		Long: `Runs one worker process: it takes jobs from the queues of CELERY_WORKER_QUEUES, at most
CELERY_WORKER_CONCURRENCY at a time. Start as many as you like, on any machine that
reaches the database; slots = workers x concurrency. On SIGTERM it ends what it runs
within a few seconds or hands it over to another worker; a second SIGTERM hands over at
once. Serving is llmctl serve.`,
		Example: "  llmctl worker\n  CELERY_WORKER_CONCURRENCY=8 llmctl worker --env-file studio.env",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return obeyed(cmd.Context(), c.runWorker(cmd.Context())) },
	}
	c.flag(cmd, "database-uri", "LLMCTL_STUDIO_DATABASE_URI", "address of the database")
	c.flag(cmd, "data-dir", "LLMCTL_STUDIO_DATA_DIR", "folder for workspaces")
	return cmd
}

func (c *command) runWorker(ctx context.Context) error {
	cfg, log, err := c.start(config.RoleWorker)
	if err != nil {
		return err
	}
	if err := refuseWithoutEffect(cfg, config.RoleWorker); err != nil {
		return err
	}
	dataDir, err := filepath.Abs(cfg.Studio.DataDir)
	if err != nil {
		return err
	}
	db, err := postgres.Open(ctx, postgres.Options{URI: cfg.Database.URI.Reveal(), MaxConns: poolSize(cfg), Application: "llmctl worker"})
	if err != nil {
		return err
	}
	defer db.Close()
	// serve or a Job migrates; a worker waits until that is done.
	if cfg.Healthcheck.Enabled {
		if err := preflight(ctx, db, cfg, log, false); err != nil {
			return err
		}
	}
	box, err := secretBox(cfg, dataDir)
	if err != nil {
		return err
	}
	for {
		again, err := c.work(ctx, workParts{cfg: cfg, log: log, db: db, box: box, dataDir: dataDir})
		if !again || err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// workParts are what lives as long as the process, through several lives of its
// worker.
type workParts struct {
	cfg     *config.Config
	log     *slog.Logger
	db      *postgres.DB
	box     *secret.Box
	dataDir string
}

// work is one life of the worker: until ctx ends, or until it finds that the others
// have declared it dead. Then it goes on as a new one, whose attempts are its own.
func (c *command) work(ctx context.Context, p workParts) (again bool, err error) {
	hints, err := sharedBus(ctx, p.cfg, p.db, p.log)
	if err != nil {
		return false, err
	}
	life, bury := context.WithCancel(ctx)
	defer bury()
	s, err := newStudio(ctx, studioOptions{
		sides: sides{work: true},
		cfg:   p.cfg, log: p.log, now: c.edge.Now, db: p.db, box: p.box, bus: hints, dataDir: p.dataDir,
		owner:       "worker:" + p.cfg.Worker.Hostname + ":" + uuid.NewString(), // nobody's successor
		scriptNodes: p.cfg.Studio.ScriptNodes && p.cfg.Executor.Provider != "inline",
		buried:      bury,
	})
	if err != nil {
		return false, err
	}
	if err := s.register(ctx); err != nil {
		return false, err
	}
	defer impatience(s.queue.HandOver)()
	defer context.AfterFunc(life, func() {
		if ctx.Err() == nil {
			s.queue.HandOver() // nobody waits for what it still runs
		}
	})()
	group := lifecycle.NewGroup(p.log, 25*time.Second, append(s.internal(), s.services()...)...)
	err = group.Run(life, func() {
		notifyReady(c.edge.Environ)
		p.log.InfoContext(ctx, "worker ready", "queues", []string(p.cfg.Worker.Queues), "slots", p.cfg.Worker.Concurrency, "host", p.cfg.Worker.Hostname)
	})
	if ctx.Err() != nil && err == nil {
		p.log.InfoContext(context.WithoutCancel(ctx), "stopped")
	}
	return ctx.Err() == nil && life.Err() != nil, err
}
