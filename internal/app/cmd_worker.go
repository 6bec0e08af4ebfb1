package app

import (
	"context"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/postgres"
)

func (c *command) worker() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Consume queues: run the nodes of flowcharts",
		Long: `Runs one worker process: it takes jobs from the queues of CELERY_WORKER_QUEUES, at most
CELERY_WORKER_CONCURRENCY at a time. Start as many as you like, on any machine that
reaches the database; slots = workers x concurrency. On SIGTERM it ends what it runs
within a few seconds or hands it over to another worker. Serving is llmctl serve.`,
		Example: "  llmctl worker\n  CELERY_WORKER_CONCURRENCY=8 llmctl worker --env-file studio.env",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.runWorker(cmd.Context()) },
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
	hints, err := sharedBus(ctx, cfg, db, log)
	if err != nil {
		return err
	}
	s, err := newStudio(ctx, studioOptions{
		sides: sides{work: true},
		cfg:   cfg, log: log, now: c.edge.Now, db: db, box: box, bus: hints, dataDir: dataDir,
		owner:       "worker:" + cfg.Worker.Hostname + ":" + uuid.NewString(), // nobody's successor
		scriptNodes: cfg.Studio.ScriptNodes && cfg.Executor.Provider != "inline",
	})
	if err != nil {
		return err
	}
	if err := s.register(ctx); err != nil {
		return err
	}
	group := lifecycle.NewGroup(log, 25*time.Second, append(s.internal(), s.services()...)...)
	err = group.Run(ctx, func() {
		notifyReady(c.edge.Environ)
		log.InfoContext(ctx, "worker ready", "queues", []string(cfg.Worker.Queues), "slots", cfg.Worker.Concurrency, "host", cfg.Worker.Hostname)
	})
	if ctx.Err() != nil && err == nil {
		log.InfoContext(context.WithoutCancel(ctx), "stopped")
	}
	return err
}
