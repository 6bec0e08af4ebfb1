package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/postgres/embedded"
)

func (c *command) db() *cobra.Command {
	cmd := &cobra.Command{Use: "db", Short: "Check and migrate the database"}
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
	cmd.AddCommand(check, migrate, c.withTest(), c.importSQLite())
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

// withTest runs a command with a disposable database server.
func (c *command) withTest() *cobra.Command {
	var durable bool
	cmd := &cobra.Command{
		Use:   "with-test -- command [arguments]",
		Short: "Run a command with a disposable PostgreSQL server, e.g. the tests",
		Long: `Starts a PostgreSQL server on a temporary folder, names it to the command in
LLMCTL_STUDIO_DATABASE_URI and LLMCTL_TEST_DATABASE_URI, and removes it afterwards.
The exit code is the command's.`,
		Example: "  llmctl db with-test -- go test ./...",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cfg, log, err := c.load("")
			if err != nil {
				return err
			}
			settings := []string{"max_connections=400"}
			if !durable {
				settings = append(settings, "fsync=off", "full_page_writes=off")
			}
			dir, err := os.MkdirTemp("", "llmctl-with-test-")
			if err != nil {
				return fmt.Errorf("make temporary folder: %w", err)
			}
			defer func() { _ = os.RemoveAll(dir) }()
			if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the database's account must pass through it
				return fmt.Errorf("open temporary folder: %w", err)
			}
			server, err := embedded.Start(cmd.Context(), embedded.Options{
				DataDir: dir, BinDir: cfg.Database.BinDir, NodeModules: nodeModules(), Logger: log,
				Settings: settings,
			})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, server.Stop(context.WithoutCancel(cmd.Context()))) }()
			return c.runWith(cmd.Context(), args, server.URI())
		},
	}
	cmd.Flags().BoolVar(&durable, "durable", false, "write to disk as in earnest, e.g. for measurements")
	return cmd
}

func (c *command) runWith(ctx context.Context, args []string, uri string) error {
	child := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // running it is what was asked for
	child.Env = append(append([]string{}, c.edge.Environ...), "LLMCTL_STUDIO_DATABASE_URI="+uri, "LLMCTL_TEST_DATABASE_URI="+uri)
	child.Stdin, child.Stdout, child.Stderr = c.edge.Stdin, c.edge.Stdout, c.edge.Stderr
	err := child.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exitError(max(exit.ExitCode(), 1))
	}
	if err != nil {
		return errs.Ef(errs.Invalid, "with_test.command", "The command %q could not be started: %s", args[0], err)
	}
	return nil
}
