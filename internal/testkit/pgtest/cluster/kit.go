package cluster

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres/embedded"
)

const (
	serverVariable = "LLMCTL_TEST_DATABASE_URI"
	setupTimeout   = 3 * time.Minute
	dropTimeout    = 30 * time.Second
	poolSize       = 8
)

// Setup says what a fresh database holds.
type Setup struct {
	// Key changes when Migrate does something else, for example a hash of the
	// migrations. See HashFS.
	Key string
	// Migrate brings the empty database at uri to the wanted state and closes its
	// connections.
	Migrate func(ctx context.Context, uri string) error
}

// Kit gives databases of one Setup. Make one per test binary.
type Kit struct {
	setup Setup
	once  sync.Once
	admin string         // address of a database to administer from
	lock  *embedded.Lock // of our copy; an unreachable one would be closed, and the copy swept
	err   error
}

// New makes a Kit. Nothing happens before the first test asks for a database.
func New(setup Setup) *Kit { return &Kit{setup: setup} }

// HashFS gives a key from the names and contents of all files.
func HashFS(files fs.FS) string {
	sum := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		_, _ = fmt.Fprintf(sum, "%s %d\n", path, len(text))
		_, _ = sum.Write(text)
		return err
	})
	if err != nil {
		// A key that never fits again is better than one that hides a change.
		return rand.Text()
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// template is the name of the template database.
func (k *Kit) template() string {
	sum := sha256.Sum256([]byte(k.setup.Key))
	return "llmctl_template_" + hex.EncodeToString(sum[:6])
}

// URI gives the address of a database that belongs to this test alone. It is
// dropped, with all connections to it, when the test ends.
func (k *Kit) URI(tb testing.TB) string {
	tb.Helper()
	// file_copy is the faster strategy for small templates without fsync.
	return k.create(tb, " TEMPLATE "+k.template()+" STRATEGY file_copy")
}

// Empty is URI without what Setup.Migrate makes.
func (k *Kit) Empty(tb testing.TB) string {
	tb.Helper()
	return k.create(tb, " TEMPLATE template0")
}

func (k *Kit) create(tb testing.TB, from string) string {
	tb.Helper()
	k.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
		defer cancel()
		k.admin, k.err = k.start(ctx)
	})
	require.NoError(tb, k.err, "start a database server for tests")
	name := "llmctl_test_" + strings.ToLower(rand.Text()[:16])
	err := administer(tb.Context(), k.admin, "CREATE DATABASE "+name+from)
	require.NoError(tb, err, "make a database for the test")
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
		defer cancel()
		err := administer(ctx, k.admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		require.NoError(tb, err, "drop the database of the test")
	})
	return onDatabase(k.admin, name)
}

// DB gives a pool on a database as of URI. It is closed when the test ends.
func (k *Kit) DB(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	config, err := pgxpool.ParseConfig(k.URI(tb))
	require.NoError(tb, err)
	config.MaxConns = poolSize
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(tb.Context()), config)
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	return pool
}

func (k *Kit) start(ctx context.Context) (string, error) {
	if uri := os.Getenv(serverVariable); uri != "" {
		return uri, k.makeTemplate(ctx, uri)
	}
	return k.startOwn(ctx)
}

// templateLock is the advisory lock that lets one test binary make a template.
const templateLock = 0x6c6c6d63746c74

// makeTemplate makes the template on a server that others may use as well.
func (k *Kit) makeTemplate(ctx context.Context, admin string) error {
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", serverVariable, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", templateLock); err != nil {
		return fmt.Errorf("lock the template: %w", err)
	}
	var exists bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", k.template()).Scan(&exists)
	if err != nil || exists {
		return err
	}
	// Under another name until it is whole, so that nobody copies half of it.
	building := k.template() + "_new"
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + building + " WITH (FORCE)", "CREATE DATABASE " + building} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("make the template: %w", err)
		}
	}
	if err := k.setup.Migrate(ctx, onDatabase(admin, building)); err != nil {
		return fmt.Errorf("migrate the template: %w", err)
	}
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+building+" RENAME TO "+k.template()); err != nil {
		return fmt.Errorf("name the template (does Migrate close its connections?): %w", err)
	}
	return nil
}

// administer runs one statement on a connection of its own.
func administer(ctx context.Context, uri, sql string) error {
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// onDatabase is uri with another database.
func onDatabase(uri, name string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return uri // the connection that follows says what is wrong with it
	}
	u.Path = "/" + name
	return u.String()
}

var errNoTemporary = errors.New("no temporary folder that the database server's account can reach")

// discard closes c where nothing depends on it.
func discard(c io.Closer) { _ = c.Close() }
