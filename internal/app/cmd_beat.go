package app

import (
	"context"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/postgres"
)

func (c *command) beat() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "beat",
		Short: "Fire schedules and do the system's periodic work",
		Long: `Runs one scheduler: it starts flowcharts when their schedules are due, and does the periodic
work of the system (retention, clean-up). One is enough; several are safe, since each due
time is a row that is written once, in the transaction that starts its run. The nodes
themselves are run by llmctl worker.`,
		Example: "  llmctl beat\n  llmctl beat --env-file studio.env",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return obeyed(cmd.Context(), c.runBeat(cmd.Context())) },
	}
	c.flag(cmd, "database-uri", "LLMCTL_STUDIO_DATABASE_URI", "address of the database")
	return cmd
}

// beatConns is enough for the loops, the tasks and the bus.
const beatConns = 8

func (c *command) runBeat(ctx context.Context) error {
	cfg, log, err := c.start(config.RoleBeat)
	if err != nil {
		return err
	}
	dataDir, err := filepath.Abs(cfg.Studio.DataDir)
	if err != nil {
		return err
	}
	db, err := postgres.Open(ctx, postgres.Options{URI: cfg.Database.URI.Reveal(), MaxConns: beatConns, Application: "llmctl beat"})
	if err != nil {
		return err
	}
	defer db.Close()
	// serve or a Job migrates; a scheduler waits until that is done.
	if cfg.Healthcheck.Enabled {
		if err := preflight(ctx, db, cfg, log, false); err != nil {
			return err
		}
	}
	hints, err := sharedBus(ctx, cfg, db, log)
	if err != nil {
		return err
	}
	// It reads no secret, so it needs no key.
	s, err := newStudio(ctx, studioOptions{
		sides: sides{beat: true}, cfg: cfg, log: log, now: c.edge.Now, db: db, bus: hints, dataDir: dataDir,
	})
	if err != nil {
		return err
	}
	group := lifecycle.NewGroup(log, 25*time.Second, append(s.internal(), s.services()...)...)
	err = group.Run(ctx, func() {
		notifyReady(c.edge.Environ)
		log.InfoContext(ctx, "beat ready", "host", cfg.Worker.Hostname)
	})
	if ctx.Err() != nil && err == nil {
		log.InfoContext(context.WithoutCancel(ctx), "stopped")
	}
	return err
}
