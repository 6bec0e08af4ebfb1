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
	if len(r.Truncated) > 0 {
		removed := make([]string, len(r.Truncated))
		for i, e := range r.Truncated {
			removed[i] = fmt.Sprintf("%s %d", e.Table, e.Rows)
		}
		fmt.Fprintf(b, "Removed from the target first: %s.\n", strings.Join(removed, ", "))
	}
	if err := printTables(b, r.Tables); err != nil {
		return err
	}
	printReasons(b, "Not taken over", r.Tables, func(t *sqliteimport.TableReport) []*sqliteimport.Reason { return t.Reasons })
	printReasons(b, "Changed on the way, or to be looked at", r.Tables, func(t *sqliteimport.TableReport) []*sqliteimport.Reason { return t.Notes })
	holds := make([]string, len(r.Target))
	for i, t := range r.Target {
		holds[i] = fmt.Sprintf("%s %d", t.Table, t.Rows)
	}
	fmt.Fprintf(b, "\nThe target %s: %s.\n", map[bool]string{false: "holds", true: "would hold"}[r.DryRun], strings.Join(holds, ", "))
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

// printTables shows what became of the rows of each table.
func printTables(b *strings.Builder, tables []*sqliteimport.TableReport) error {
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	line := func(name string, read, written, skipped, kept any) {
		fmt.Fprintf(tw, "%s\t%8v\t%8v\t%8v\t%8v\n", name, read, written, skipped, kept)
	}
	b.WriteString("\n")
	line("TABLE", "READ", "WRITTEN", "SKIPPED", "ARCHIVED")
	var sum sqliteimport.TableReport
	var empty []string
	for _, t := range tables {
		if t.Read == 0 {
			empty = append(empty, t.Table)
			continue
		}
		line(t.Table, t.Read, t.Written, t.Skipped, t.Archived)
		sum.Read, sum.Written, sum.Skipped, sum.Archived = sum.Read+t.Read, sum.Written+t.Written, sum.Skipped+t.Skipped, sum.Archived+t.Archived
	}
	line("total", sum.Read, sum.Written, sum.Skipped, sum.Archived)
	if err := tw.Flush(); err != nil {
		return err
	}
	b.WriteString("Archived rows are kept whole in the table imported_row.\n")
	if len(empty) > 0 {
		fmt.Fprintf(b, "Empty in the file: %s.\n", strings.Join(empty, ", "))
	}
	return nil
}

// printReasons shows why rows are not what they were: what concerns whole tables
// first, then what concerns single rows.
func printReasons(b *strings.Builder, title string, tables []*sqliteimport.TableReport, of func(*sqliteimport.TableReport) []*sqliteimport.Reason) {
	whole, order := map[string][]string{}, []string{}
	single := &strings.Builder{}
	for _, t := range tables {
		for _, r := range of(t) {
			if len(r.Examples) == 0 {
				if whole[r.Text] == nil {
					order = append(order, r.Text)
				}
				whole[r.Text] = append(whole[r.Text], fmt.Sprintf("%s %d", t.Table, r.Rows))
				continue
			}
			more := ""
			if int64(len(r.Examples)) < r.Rows {
				more = ", …"
			}
			fmt.Fprintf(single, "  %s, %d: %s (id %s%s)\n", t.Table, r.Rows, r.Text, strings.Join(r.Examples, ", "), more)
		}
	}
	if len(order)+single.Len() == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	for _, text := range order {
		fmt.Fprintf(b, "  %s: %s\n", text, strings.Join(whole[text], ", "))
	}
	b.WriteString(single.String())
}
