package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
	_ "time/tzdata" // --timezone works where the system has no time zones

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/postgres/embedded"
	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/sqliteimport"
)

// importFlags are what the operator says of an import.
type importFlags struct {
	path      string
	truncate  bool
	dryRun    bool
	batchSize int
	timezone  string
	dataDir   string
	json      bool
	quiet     bool
}

func (c *command) importSQLite() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import-sqlite",
		Short: "Copy the original Studio's SQLite file into this database, once",
		Long: `Copies models, settings, flowcharts and the history of their runs from the SQLite file
of the original Studio. What this release has no place for is kept in the table
imported_row. Everything happens in one transaction; the file is never changed.

Stop both Studios first. A target that is not empty is refused unless
--truncate-target is given, which removes its content but never users, API keys and
the audit log. With --dry-run everything is done and then rolled back.

The database is that of LLMCTL_STUDIO_DATABASE_URI, or with --data-dir the one that
"llmctl up" keeps in its data folder. Keys are encrypted with this installation's
secret key; without one, rows that hold credentials are skipped and reported.`,
		Example: `  llmctl db import-sqlite --sqlite-path data/llmctl-studio.sqlite3 --dry-run
  llmctl db import-sqlite --sqlite-path data/llmctl-studio.sqlite3 --truncate-target
  llmctl db import-sqlite --sqlite-path old/llmctl-studio.sqlite3 --data-dir ./data`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.runImport(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.path, "sqlite-path", "data/llmctl-studio.sqlite3", "the original's database file")
	flags.BoolVar(&f.truncate, "truncate-target", false, "remove the target's content first")
	flags.BoolVar(&f.dryRun, "dry-run", false, "do everything, report it, and roll back")
	flags.IntVar(&f.batchSize, "batch-size", 1000, "rows a statement")
	flags.StringVar(&f.timezone, "timezone", "UTC", "zone of times that are written without one, e.g. Europe/Berlin")
	flags.StringVar(&f.dataDir, "data-dir", "", "import into the database that \"llmctl up\" keeps in this folder")
	flags.BoolVar(&f.json, "json", false, "print the report as JSON")
	flags.BoolVar(&f.quiet, "quiet", false, "no progress lines")
	c.flag(cmd, "database-uri", "LLMCTL_STUDIO_DATABASE_URI", "address of the database")
	return cmd
}

func (c *command) runImport(ctx context.Context, f importFlags) error {
	if f.batchSize < 1 {
		return usageError{fmt.Errorf("--batch-size is %d; it must be at least 1", f.batchSize)}
	}
	if strings.TrimSpace(f.path) == "" {
		return usageError{errors.New("--sqlite-path is empty; it must name the original's database file")}
	}
	loc, err := time.LoadLocation(f.timezone)
	if err != nil || f.timezone == "Local" {
		return usageError{fmt.Errorf("--timezone is %q; it must be a name such as UTC or Europe/Berlin", f.timezone)}
	}
	if err := sqliteimport.CheckFile(f.path); err != nil {
		return err
	}
	return c.withImportTarget(ctx, f, func(ctx context.Context, db *postgres.DB, box *secret.Box) error {
		o := sqliteimport.Options{
			Path: f.path, Truncate: f.truncate, DryRun: f.dryRun, BatchSize: f.batchSize, Location: loc,
			Fingerprint: secret.Fingerprint, Now: c.edge.Now, Removed: realtime.RaiseHorizon,
		}
		if box != nil {
			o.Seal = box
		}
		if !f.quiet {
			o.Progress = func(table string, done, total int64) {
				_, _ = fmt.Fprintf(c.edge.Stderr, "  %s: %d of %d rows\n", table, done, total)
			}
		}
		rep, err := sqliteimport.Import(ctx, db, o)
		if err != nil {
			return err
		}
		if f.json {
			enc := json.NewEncoder(c.edge.Stdout)
			enc.SetIndent("", "  ")
			return enc.Encode(rep)
		}
		return printImport(c.edge.Stdout, rep, box == nil)
	})
}

// withImportTarget opens the database and the secret key, if there is one.
func (c *command) withImportTarget(ctx context.Context, f importFlags, do func(context.Context, *postgres.DB, *secret.Box) error) error {
	role := config.RoleDB
	if f.dataDir != "" {
		role = config.RoleUp
		c.flags["LLMCTL_STUDIO_DATA_DIR"] = f.dataDir
	}
	cfg, log, err := c.load(role)
	if err != nil {
		return err
	}
	uri := cfg.Database.URI.Reveal()
	var box *secret.Box
	switch {
	case f.dataDir != "" && uri != "":
		return usageError{errors.New("--data-dir names the database of \"llmctl up\", but an address of a database is set too; give one of them")}
	case f.dataDir != "":
		dir, err := filepath.Abs(f.dataDir)
		if err != nil {
			return fmt.Errorf("data dir: %w", err)
		}
		lock, err := embedded.LockDataDir(dir)
		if err != nil {
			return err
		}
		defer lock.Release()
		if box, err = secretBox(cfg, dir); err != nil {
			return err
		}
		server, stop, err := c.database(ctx, cfg, log, lock)
		if err != nil {
			return err
		}
		defer stop()
		uri = server
	case cfg.Studio.SecretKey.Reveal() != "":
		if box, err = secretBox(cfg, ""); err != nil {
			return err
		}
	}
	// Reading a large file takes its time between two statements.
	db, err := postgres.Open(ctx, postgres.Options{URI: uri, Application: "llmctl db import-sqlite", IdleInTx: time.Hour})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := preflight(ctx, db, cfg, log, !f.dryRun); err != nil {
		return err
	}
	return busy(do(ctx, db, box))
}

// busy explains a lock that could not be had in time.
func busy(err error) error {
	if wrapped := postgres.Wrap(err); errs.HasReason(wrapped, "db.busy") {
		return errs.E(errs.Conflict, "import.target_in_use", "Somebody else works with the target's tables. Stop the Studio and every other program that uses this database.").With(err)
	}
	return err
}

// printImport shows a report to people.
func printImport(w io.Writer, r *sqliteimport.Report, noKey bool) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "Source: %s\n", r.Source)
	for _, e := range r.Truncated {
		fmt.Fprintf(b, "Removed from the target: %s, %d rows\n", e.Table, e.Rows)
	}
	b.WriteString("\n")
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "TABLE\tREAD\tWRITTEN\tSKIPPED\tKEPT IN imported_row\t")
	var sum sqliteimport.TableReport
	for _, t := range r.Tables {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t\n", t.Table, t.Read, t.Written, t.Skipped, t.Archived)
		sum.Read, sum.Written, sum.Skipped, sum.Archived = sum.Read+t.Read, sum.Written+t.Written, sum.Skipped+t.Skipped, sum.Archived+t.Archived
	}
	fmt.Fprintf(tw, "total\t%d\t%d\t%d\t%d\t\n", sum.Read, sum.Written, sum.Skipped, sum.Archived)
	if err := tw.Flush(); err != nil {
		return err
	}
	printReasons(b, "Skipped:", r.Tables, func(t *sqliteimport.TableReport) []*sqliteimport.Reason { return t.Reasons })
	printReasons(b, "Changed on the way, or to be looked at:", r.Tables, func(t *sqliteimport.TableReport) []*sqliteimport.Reason { return t.Notes })
	b.WriteString("\nThe target holds:")
	for i, t := range r.Target {
		fmt.Fprintf(b, "%s %d %s", map[bool]string{true: ","}[i > 0], t.Rows, t.Table)
	}
	b.WriteString(".\n")
	if noKey {
		b.WriteString("No secret key is configured, so credentials were not copied.\n")
	}
	if r.DryRun {
		fmt.Fprintf(b, "Dry run: everything was rolled back after %.1f s; the target is as it was.\n", r.Seconds)
	} else {
		fmt.Fprintf(b, "Imported in %.1f s.\n", r.Seconds)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printReasons(b *strings.Builder, title string, tables []*sqliteimport.TableReport, of func(*sqliteimport.TableReport) []*sqliteimport.Reason) {
	began := false
	for _, t := range tables {
		for _, reason := range of(t) {
			if !began {
				fmt.Fprintf(b, "\n%s\n", title)
				began = true
			}
			fmt.Fprintf(b, "  %s (%d): %s", t.Table, reason.Rows, reason.Text)
			if len(reason.Examples) > 0 {
				more := ""
				if int64(len(reason.Examples)) < reason.Rows {
					more = ", …"
				}
				fmt.Fprintf(b, " [id %s%s]", strings.Join(reason.Examples, ", "), more)
			}
			b.WriteString("\n")
		}
	}
}
