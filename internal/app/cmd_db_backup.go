package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/backup"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/postgres/disposable"
	"github.com/llmctl/studio/internal/postgres/embedded"
	"github.com/llmctl/studio/internal/secret"
)

const (
	maxPassphrase = 4 << 10
	verifyTimeout = 2 * time.Minute // for the disposable server to start
)

type backupFlags struct {
	file, passphraseFile              string
	withoutKey, force, verify, dryRun bool
}

func (c *command) backup() *cobra.Command {
	var f backupFlags
	cmd := &cobra.Command{
		Use:   "backup --output FILE",
		Short: "Write database, files and key into one file; the Studio may run",
		Long: `Writes everything that an installation keeps into one file of mode 0600: the database as
one snapshot, the files of the data folder (without models, which can be loaded again),
and the secret key, encrypted with a passphrase. Without the key, stored provider keys
cannot be read after a restore; --without-key leaves it out on purpose.

The database is that of LLMCTL_STUDIO_DATABASE_URI, else the one of llmctl up in the data
folder, running or not. The file appears under its name when it is whole.

--verify then restores the file into a disposable server, counts the rows and opens the
stored provider keys.`,
		Example: "  llmctl db backup --output studio.backup --passphrase-file pass.txt --verify\n" +
			"  llmctl db backup --output studio.backup --without-key",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.runBackup(cmd, f) },
	}
	cmd.Flags().StringVar(&f.file, "output", "", "file to write (required)")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace an existing file")
	cmd.Flags().BoolVar(&f.verify, "verify", false, "restore the file elsewhere and check what comes out")
	c.backupFlags(cmd, &f)
	return cmd
}

func (c *command) backupFlags(cmd *cobra.Command, f *backupFlags) {
	cmd.Flags().StringVar(&f.passphraseFile, "passphrase-file", "", "file with the passphrase of the key (else LLMCTL_STUDIO_BACKUP_PASSPHRASE)")
	cmd.Flags().BoolVar(&f.withoutKey, "without-key", false, "leave the secret key out")
	c.flag(cmd, "database-uri", "LLMCTL_STUDIO_DATABASE_URI", "address of the database")
	c.flag(cmd, "data-dir", "LLMCTL_STUDIO_DATA_DIR", "folder of the installation")
}

func (c *command) runBackup(cmd *cobra.Command, f backupFlags) error {
	if f.file == "" {
		return usageError{errors.New("--output is missing: the file to write")}
	}
	in, err := c.installation(f)
	if err != nil {
		return err
	}
	key, err := in.keyToKeep(f)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	uri, stop, err := in.database(ctx, false)
	if err != nil {
		return err
	}
	defer stop()
	m, err := backup.Create(ctx, backup.CreateOptions{
		URI: uri, DataDir: in.dataDir, Output: f.file, Replace: f.force, Key: key, KeyID: in.keyID(), Passphrase: in.passphraseFor(key),
		Binary: buildVersion(), Now: c.edge.Now, Say: func(line string) { cmd.PrintErrln("backup: " + line) },
	})
	if err != nil {
		return err
	}
	if m.Key == nil {
		cmd.PrintErrf("WITHOUT THE SECRET KEY: stored provider keys in this backup can only be read with %s. Keep a copy of it elsewhere.\n", in.nameOfKey())
	}
	if f.verify {
		if err := in.verify(cmd, f.file); err != nil {
			return err
		}
	}
	cmd.Printf("%s: %s\n", f.file, summary(m))
	return nil
}

func summary(m *backup.Manifest) string {
	key := "without the key"
	if m.Key != nil {
		key = "key " + m.KeyID + " encrypted"
	}
	return fmt.Sprintf("%s of content, %d rows in %d tables, %s, %s", backup.Bytes(m.Size()), m.Rows(), len(m.Tables), count(len(m.Files), "file"), key)
}

// verify restores the file into a server that is thrown away.
func (in *installation) verify(cmd *cobra.Command, file string) (err error) {
	ctx := cmd.Context()
	cmd.PrintErrln("verify: restoring into a disposable server")
	server, err := disposable.Start(ctx, disposable.Options{
		BinDir: in.cfg.Database.BinDir, NodeModules: nodeModules(), Logger: in.log, Database: "llmctl_studio", Timeout: verifyTimeout,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(ctx)) }()
	o := backup.VerifyOptions{URI: server.URI}
	if in.key != nil {
		o.Secrets = in.openSecrets
	}
	v, err := backup.Verify(ctx, file, o)
	if err != nil {
		return errs.Ef(errs.Internal, "backup.verify_failed", "The backup was written, but restoring it failed: %s", plain(err)).With(err)
	}
	opened := count(v.Secrets, "stored secret") + " opened"
	if in.key == nil {
		opened = "stored secrets not checked, there is no key"
	}
	cmd.PrintErrf("verify: whole: %d rows in %d tables, %s, %s\n", v.Rows, v.Tables, count(v.Files, "file"), opened)
	return nil
}

// plain is an error as people see it.
func plain(err error) string {
	if e, ok := errors.AsType[*errs.Error](err); ok {
		return e.Message
	}
	return err.Error()
}

// openSecrets decrypts every stored provider key.
func (in *installation) openSecrets(ctx context.Context, uri string) (int, error) {
	box, err := secret.New(in.key)
	if err != nil {
		return 0, err
	}
	db, err := postgres.Open(ctx, postgres.Options{URI: uri, MaxConns: 2})
	if err != nil {
		return 0, err
	}
	defer db.Close()
	providers := catalog.New(db, nil, box, secret.Fingerprint)
	opened, before := 0, int64(0)
	for {
		page, err := providers.ListProviders(ctx, before, 100)
		if err != nil || len(page) == 0 {
			return opened, err
		}
		for _, p := range page {
			key, err := providers.Key(p)
			if err != nil {
				return opened, err
			}
			if key != "" {
				opened++
			}
		}
		before = page[len(page)-1].ID
	}
}

// installation is where a backup comes from or goes to.
type installation struct {
	cfg        *config.Config
	log        *slog.Logger
	dataDir    string
	key        []byte // nil: none
	keyFile    string // where the key lies, or would
	passphrase string
}

func (c *command) installation(f backupFlags) (*installation, error) {
	cfg, log, err := c.load("")
	if err != nil {
		return nil, err
	}
	in := &installation{cfg: cfg, log: log}
	if in.dataDir, err = filepath.Abs(cfg.Studio.DataDir); err != nil {
		return nil, fmt.Errorf("data dir: %w", err)
	}
	in.keyFile = filepath.Join(in.dataDir, "secret.key")
	if text := cfg.Studio.SecretKey.Reveal(); text != "" {
		in.key, err = secret.ParseKey(text)
	} else if in.key, err = secret.LoadKeyFile(in.keyFile); errs.Is(err, errs.NotFound) {
		in.key, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	in.passphrase, err = passphrase(f.passphraseFile, cfg.Operator.BackupPassphrase.Reveal())
	return in, err
}

func passphrase(file, fromEnvironment string) (string, error) {
	if file == "" {
		return fromEnvironment, nil
	}
	info, err := os.Stat(file)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxPassphrase) {
		return "", usageError{fmt.Errorf("--passphrase-file %s is not a small file", file)}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", usageError{fmt.Errorf("--passphrase-file cannot be read: %w", err)}
	}
	text = bytes.TrimRight(text, "\r\n")
	if len(text) == 0 {
		return "", usageError{fmt.Errorf("--passphrase-file %s is empty", file)}
	}
	return string(text), nil
}

// keyToKeep decides whether the key goes into the backup; nobody leaves it out by
// oversight.
func (in *installation) keyToKeep(f backupFlags) ([]byte, error) {
	switch {
	case f.withoutKey && f.passphraseFile != "":
		return nil, usageError{errors.New("--without-key and --passphrase-file exclude each other")}
	case f.withoutKey:
		return nil, nil
	case in.key == nil:
		return nil, errs.Ef(errs.Precondition, "backup.no_key",
			"There is no secret key to back up: LLMCTL_STUDIO_SECRET_KEY is not set and %s does not exist. Name the key, or leave it out with --without-key.", in.keyFile)
	case in.passphrase == "":
		return nil, usageError{errors.New("the secret key goes into a backup only encrypted: give --passphrase-file or LLMCTL_STUDIO_BACKUP_PASSPHRASE, " +
			"or leave it out with --without-key (stored provider keys then need the key from elsewhere)")}
	}
	return in.key, nil
}

func (in *installation) passphraseFor(key []byte) string {
	if key == nil {
		return ""
	}
	return in.passphrase
}

func (in *installation) keyID() string { return keyID(in.key) }

func keyID(key []byte) string {
	if key == nil {
		return ""
	}
	box, err := secret.New(key)
	if err != nil {
		return ""
	}
	return box.KeyID()
}

func (in *installation) nameOfKey() string {
	if id := in.keyID(); id != "" {
		return "the key " + id
	}
	return "the installation's key"
}

// database gives the address of the installation's database. That of llmctl up is
// used where it runs, else started for a while; missingOK says that there may be none yet.
func (in *installation) database(ctx context.Context, missingOK bool) (uri string, stop func(), err error) {
	if uri := in.cfg.Database.URI.Reveal(); uri != "" {
		return uri, func() {}, nil
	}
	o := embedded.Options{DataDir: in.dataDir, BinDir: in.cfg.Database.BinDir, NodeModules: nodeModules(), Logger: in.log}
	if uri, err := embedded.Find(o); err == nil {
		return uri, func() {}, nil
	} else if !errs.HasReason(err, embedded.ReasonNotRunning) {
		return "", nil, err
	}
	if !missingOK && !embedded.Exists(in.dataDir) {
		return "", nil, errs.Ef(errs.NotFound, "backup.no_database",
			"There is no database in %s. Name the folder of llmctl up with --data-dir, or the database with --database-uri.", in.dataDir)
	}
	server, err := embedded.Start(ctx, o)
	if err != nil {
		return "", nil, err
	}
	return server.URI(), func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if err := server.Stop(grace); err != nil {
			in.log.WarnContext(grace, "stop the database", "error", err)
		}
	}, nil
}

// writeKey puts a key into a file of mode 0600, as a whole.
func writeKey(path, text string) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	_, err = file.WriteString(text + "\n")
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		if gone := os.Remove(file.Name()); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return fmt.Errorf("write the key: %w", err)
	}
	return nil
}
