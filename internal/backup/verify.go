package backup

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/errs"
)

// VerifyOptions say where a backup is tried out.
type VerifyOptions struct {
	URI string // of an empty database that is thrown away afterwards
	// Secrets opens the stored secrets of the restored database and gives their
	// number; nil: that is not checked.
	Secrets func(ctx context.Context, uri string) (int, error)
}

// Verified is what a check found to be whole.
type Verified struct {
	Rows    int64
	Tables  int
	Files   int
	Secrets int
}

// Verify restores a backup elsewhere and counts what came out.
func Verify(ctx context.Context, path string, o VerifyOptions) (v Verified, err error) {
	a, err := Open(path)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	dir, err := os.MkdirTemp("", "llmctl-verify-")
	if err != nil {
		return v, fmt.Errorf("make temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := a.Restore(ctx, RestoreOptions{URI: o.URI, DataDir: dir, Say: func(string) {}}); err != nil {
		return v, err
	}
	if err := a.count(ctx, o.URI); err != nil {
		return v, err
	}
	v = Verified{Rows: a.Manifest.Rows(), Tables: len(a.Manifest.Tables), Files: len(a.Manifest.Files)}
	if o.Secrets != nil {
		v.Secrets, err = o.Secrets(ctx, o.URI)
	}
	return v, err
}

// count compares the rows of the restored tables with the manifest.
func (a *Archive) count(ctx context.Context, uri string) error {
	conn, err := connect(ctx, uri, "")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, t := range a.Manifest.Tables {
		var rows int64
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM "+pgx.Identifier{t.Name}.Sanitize()).Scan(&rows); err != nil {
			return fmt.Errorf("count table %s: %w", t.Name, err)
		}
		if rows != t.Rows {
			return errs.Ef(errs.Internal, ReasonDamaged, "Table %s has %d rows after a restore; %d were backed up.", t.Name, rows, t.Rows)
		}
	}
	return nil
}
