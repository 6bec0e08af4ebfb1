package app

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/postgres"
)

func (c *command) db() *cobra.Command {
	cmd := &cobra.Command{Use: "db", Short: "Check, migrate, back up and restore the database"}
	check := &cobra.Command{
		Use: "check", Short: "Connect, check the schema and the core tables; exit code 1 with the reason if not ready", Args: cobra.NoArgs,
		Long: `Does what a start does before serving, without changing anything: SELECT 1, a schema
that this binary may run on, and the core tables. It tries for
LLMCTL_STUDIO_DB_HEALTHCHECK_TIMEOUT_SECONDS.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDatabase(cmd.Context(), func(ctx context.Context, db *postgres.DB, cfg *config.Config, log *slog.Logger) error {
				if err := preflight(ctx, db, cfg, log, false); err != nil {
					return err
				}
				cmd.Println("Database health check passed.")
				return nil
			})
		},
	}
	migrate := &cobra.Command{
		Use: "migrate", Short: "Bring the schema up to this binary's; safe to repeat", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDatabase(cmd.Context(), func(ctx context.Context, db *postgres.DB, cfg *config.Config, log *slog.Logger) error {
				if err := preflight(ctx, db, cfg, log, true); err != nil {
					return err
				}
				cmd.Println("The schema is current.")
				return nil
			})
		},
	}
	for _, sub := range []*cobra.Command{check, migrate} {
		c.flag(sub, "database-uri", "LLMCTL_STUDIO_DATABASE_URI", "address of the database")
	}
	cmd.AddCommand(check, migrate, c.backup(), c.restore(), c.withTest(), c.importSQLite())
	return cmd
}

// flag makes a flag that stands above the environment's variable.
func (c *command) flag(cmd *cobra.Command, name, variable, usage string) {
	cmd.Flags().Func(name, usage+" ("+variable+")", func(value string) error {
		c.flags[variable] = value
		return nil
	})
}

func (c *command) withDatabase(ctx context.Context, f func(ctx context.Context, db *postgres.DB, cfg *config.Config, log *slog.Logger) error) error {
	cfg, log, err := c.load(config.RoleDB)
	if err != nil {
		return err
	}
	db, err := postgres.Open(ctx, postgres.Options{URI: cfg.Database.URI.Reveal(), Application: "llmctl db"})
	if err != nil {
		return err
	}
	defer db.Close()
	return f(ctx, db, cfg, log)
}

func preflight(ctx context.Context, db *postgres.DB, cfg *config.Config, log *slog.Logger, migrate bool) error {
	d := cfg.Healthcheck
	return db.Preflight(ctx, postgres.PreflightOptions{
		Timeout: d.Timeout, Interval: d.Interval, Migrate: migrate, Logger: log,
	})
}
