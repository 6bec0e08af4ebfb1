package app

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/backup"
	"github.com/llmctl/studio/internal/errs"
)

func (c *command) restore() *cobra.Command {
	var f backupFlags
	cmd := &cobra.Command{
		Use:   "restore --input FILE",
		Short: "Put a backup back; everything that uses the database must be stopped",
		Long: `Puts a backup into the database of LLMCTL_STUDIO_DATABASE_URI, else into that of llmctl up
in the data folder (which it makes when there is none), and its files and key into the
data folder.

The whole file is checked before anything else happens. The database is built beside the
living one and takes its place in one transaction at the end; whatever goes wrong before,
nothing has changed. A backup of an older release is migrated on the way.

A target that is not empty needs --force. A database that workers or servers use is
refused, also with --force. --dry-run only checks the file and says what is in it.`,
		Example: "  llmctl db restore --input studio.backup --passphrase-file pass.txt\n  llmctl db restore --input studio.backup --dry-run",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.runRestore(cmd, f) },
	}
	cmd.Flags().StringVar(&f.file, "input", "", "file to read (required)")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace what is in the target")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only check the file")
	c.backupFlags(cmd, &f)
	return cmd
}

func (c *command) runRestore(cmd *cobra.Command, f backupFlags) (err error) {
	if f.file == "" {
		return usageError{errors.New("--input is missing: the file to read")}
	}
	archive, err := backup.Open(f.file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	m := archive.Manifest
	cmd.PrintErrf("restore: %s is whole: %s; written %s by llmctl %s on PostgreSQL %s\n",
		f.file, summary(m), m.CreatedAt.Format("2006-01-02 15:04:05 MST"), m.Binary, m.Server)
	if f.dryRun {
		return nil
	}
	in, err := c.installation(f)
	if err != nil {
		return err
	}
	plan, err := in.planKey(m, f)
	if err != nil {
		return err
	}
	uri, stop, err := in.database(cmd.Context(), true)
	if err != nil {
		return err
	}
	defer stop()
	err = archive.Restore(cmd.Context(), backup.RestoreOptions{
		URI: uri, DataDir: in.dataDir, Force: f.force, Say: func(line string) { cmd.PrintErrln("restore: " + line) },
	})
	if err != nil {
		return err
	}
	if err := plan.carryOut(cmd, c.edge.Now().Format("20060102-150405")); err != nil {
		return err
	}
	cmd.Printf("restored %s: %s\n", f.file, summary(m))
	return nil
}

// keyPlan is what a restore does about the key once the data is in place.
type keyPlan struct {
	write  string // file for the backup's key; empty: none
	text   string
	rename bool   // keep the file that is there under another name
	say    string // what the operator has to know
}

// planKey decides about the key before anything is changed.
func (in *installation) planKey(m *backup.Manifest, f backupFlags) (keyPlan, error) {
	if m.Key == nil || f.withoutKey {
		if m.KeyID == "" || m.KeyID == in.keyID() {
			return keyPlan{}, nil
		}
		return in.otherKey(m, f, keyPlan{say: fmt.Sprintf("Stored provider keys need the key %s, which is not here. Provide it, or enter them again.", m.KeyID)})
	}
	if in.passphrase == "" {
		return keyPlan{}, usageError{errors.New("the backup holds the secret key encrypted: give --passphrase-file or LLMCTL_STUDIO_BACKUP_PASSPHRASE, or leave it with --without-key")}
	}
	key, err := m.Key.Open(in.passphrase)
	if err != nil {
		return keyPlan{}, err
	}
	// Found out now, not when the data is in place already.
	if err := os.MkdirAll(in.dataDir, 0o711); err != nil { //nolint:gosec // as llmctl up makes it
		return keyPlan{}, fmt.Errorf("make the data folder for the key: %w", err)
	}
	text := base64.StdEncoding.EncodeToString(key)
	switch {
	case keyID(key) == in.keyID():
		return keyPlan{}, nil
	case in.key == nil:
		return keyPlan{write: in.keyFile, text: text, say: "The secret key is in " + in.keyFile + "."}, nil
	case in.cfg.Studio.SecretKey != "":
		file := in.keyFile + ".restored"
		return in.otherKey(m, f, keyPlan{write: file, text: text, say: "The backup's key is in " + file +
			". Set LLMCTL_STUDIO_SECRET_KEY_FILE to it (and unset LLMCTL_STUDIO_SECRET_KEY); the configured key does not fit the restored data."})
	default:
		return in.otherKey(m, f, keyPlan{write: in.keyFile, text: text, rename: true, say: "The secret key in " + in.keyFile + " is the backup's now."})
	}
}

// otherKey refuses to mix data and keys of two installations, unless told to.
func (in *installation) otherKey(m *backup.Manifest, f backupFlags, plan keyPlan) (keyPlan, error) {
	if f.force {
		return plan, nil
	}
	here := "there is none here"
	if id := in.keyID(); id != "" {
		here = "this installation has the key " + id
	}
	return plan, errs.Ef(errs.Conflict, backup.ReasonUnrelated,
		"Stored provider keys in the backup need the key %s, but %s. Provide that key, or go on with --force.", m.KeyID, here)
}

func (p keyPlan) carryOut(cmd *cobra.Command, stamp string) error {
	if p.rename {
		if err := os.Rename(p.write, p.write+".before-"+stamp); err != nil {
			return fmt.Errorf("keep the old key: %w", err)
		}
	}
	if p.write != "" {
		if err := writeKey(p.write, p.text); err != nil {
			return err
		}
	}
	if p.say != "" {
		cmd.PrintErrln("restore: " + p.say)
	}
	return nil
}
