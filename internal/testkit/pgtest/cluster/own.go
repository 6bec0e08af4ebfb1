package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres/embedded"
)

const (
	binVariable = "LLMCTL_POSTGRES_BIN_DIR"
	runPrefix   = "llmctl-testdb-"
	keepCached  = 4 // clusters of other migrations or branches
	adminDB     = "postgres"
	readyPoll   = 10 * time.Millisecond
)

// settings make a server that forgets on power loss, and is fast.
func settings() []string {
	return []string{
		"fsync=off", "synchronous_commit=off", "full_page_writes=off", "wal_level=minimal",
		"max_connections=300", "shared_buffers=32MB", "autovacuum=off", "jit=off",
	}
}

// keeper waits for the end of its input and stops the server then. It runs as
// the server's account, which owns the folder.
const keeper = `
dir=$1; shift
"$@" </dev/null >"$dir/server.log" 2>&1 &
server=$!
trap '' INT TERM HUP
while read -r line; do :; done
kill -INT "$server" 2>/dev/null
wait "$server"
rm -rf "$dir"
`

// startOwn runs a server that ends with this process, and gives its address.
func (k *Kit) startOwn(ctx context.Context) (string, error) {
	base, err := temporary()
	if err != nil {
		return "", err
	}
	sweep(base)
	run, err := os.MkdirTemp(base, runPrefix)
	if err != nil {
		return "", fmt.Errorf("make a folder for the server: %w", err)
	}
	admin, err := k.startIn(ctx, base, run)
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(run))
	}
	return admin, nil
}

func (k *Kit) startIn(ctx context.Context, base, run string) (string, error) {
	if err := os.Chmod(run, 0o711); err != nil {
		return "", fmt.Errorf("open the folder: %w", err)
	}
	lock, err := embedded.LockDataDir(run) // held until this process ends
	if err != nil {
		return "", err
	}
	k.lock = lock
	if err := k.copyCluster(ctx, base, run); err != nil {
		return "", err
	}
	server, err := embedded.Prepare(ctx, embedded.Options{
		DataDir: run, Lock: lock, BinDir: os.Getenv(binVariable), FallbackDir: base, Database: k.template(),
		Settings: settings(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return "", err
	}
	if err := keep(server.Command(), run); err != nil {
		return "", err
	}
	admin := onDatabase(server.URI(), adminDB)
	return admin, awaitReady(ctx, admin, filepath.Join(run, "server.log"))
}

// keep starts the server below the keeper.
func keep(server *exec.Cmd, run string) error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer discard(reader)
	shell := exec.Command("/bin/sh", append([]string{"-c", keeper, "sh", run}, server.Args...)...) //nolint:noctx // it outlives every context
	shell.Dir, shell.Env, shell.Stdin = server.Dir, server.Env, reader
	// Not tied to our thread as a child of Start is: the pipe says when to end.
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := switchAccount(shell, server, run); err != nil {
		return err
	}
	if err := shell.Start(); err != nil {
		return fmt.Errorf("start the server's keeper: %w", err)
	}
	// Neither waited for nor closed on purpose: the end of this process does both.
	_, err = holdOpen(writer)
	return err
}

// switchAccount runs the keeper as the server's account, and gives it the folder.
func switchAccount(shell, server *exec.Cmd, run string) error {
	credential := server.SysProcAttr.Credential
	if credential == nil {
		return nil
	}
	shell.SysProcAttr.Credential = credential
	if err := os.Chown(run, int(credential.Uid), int(credential.Gid)); err != nil {
		return fmt.Errorf("hand over the folder: %w", err)
	}
	return nil
}

// holdOpen keeps a pipe's end open until this process ends: a file that becomes
// garbage would be closed, so the descriptor is taken out of the runtime's hands.
func holdOpen(writer *os.File) (int, error) {
	fd, err := syscall.Dup(int(writer.Fd()))
	if err != nil {
		return 0, fmt.Errorf("hold the keeper's pipe: %w", err)
	}
	syscall.CloseOnExec(fd)
	return fd, writer.Close()
}

func awaitReady(ctx context.Context, uri, log string) error {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, uri)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(log)
			return fmt.Errorf("the server does not answer: %w: %w: %s", ctx.Err(), err, text)
		case <-tick.C:
		}
	}
}

// copyCluster copies the cached cluster into run, and makes it first if needed.
func (k *Kit) copyCluster(ctx context.Context, base, run string) error {
	cache := filepath.Join(base, "llmctl-testcache-"+strconv.Itoa(os.Geteuid()))
	if err := ownFolder(cache); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the cache: %w", err)
	}
	defer discard(lock)
	if err := flock(ctx, lock, syscall.LOCK_EX); err != nil {
		return err
	}
	entry := filepath.Join(cache, k.entry())
	if _, err := os.Stat(entry); errors.Is(err, fs.ErrNotExist) {
		if err := k.build(ctx, base, entry); err != nil {
			return fmt.Errorf("make the cached cluster: %w", err)
		}
		clean(cache, entry)
	}
	// From here on others may copy too; nobody cleans meanwhile.
	if err := flock(ctx, lock, syscall.LOCK_SH); err != nil {
		return err
	}
	touch := time.Now()
	_ = os.Chtimes(entry, touch, touch)
	return copyTree(filepath.Join(entry, "postgres"), filepath.Join(run, "postgres"))
}

// entry is the cache's name for this setup on this machine's server.
func (k *Kit) entry() string {
	installed, _ := filepath.Glob("/usr/lib/postgresql/*") // an upgrade may take a version away
	sum := sha256.Sum256(fmt.Appendf(nil, "1 %s %s %s", k.setup.Key, os.Getenv(binVariable), installed))
	return hex.EncodeToString(sum[:8])
}

// build makes the cluster beside its place and renames it at the end.
func (k *Kit) build(ctx context.Context, base, entry string) error {
	building := entry + ".new"
	if err := os.RemoveAll(building); err != nil {
		return err
	}
	server, err := embedded.Start(ctx, embedded.Options{
		DataDir: building, BinDir: os.Getenv(binVariable), FallbackDir: base, Database: k.template(),
		Settings: settings(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	err = k.setup.Migrate(ctx, server.URI())
	if err := errors.Join(err, server.Stop(ctx)); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(building, "postgres", "moved-to")); err == nil {
		return errNoTemporary
	}
	return os.Rename(building, entry)
}

// clean removes the clusters that were not used for longest.
func clean(cache, keep string) {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return
	}
	var old []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() && e.Name() != filepath.Base(keep) {
			old = append(old, info)
		}
	}
	slices.SortFunc(old, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, info := range old[min(len(old), keepCached):] {
		_ = os.RemoveAll(filepath.Join(cache, info.Name()))
	}
}

// sweep removes copies whose process is gone without its keeper.
func sweep(base string) {
	runs, err := filepath.Glob(filepath.Join(base, runPrefix+"*"))
	if err != nil {
		return
	}
	for _, run := range runs {
		// A folder without a lock file is just being made, or just being removed.
		if _, err := os.Stat(filepath.Join(run, "llmctl.lock")); err != nil {
			continue
		}
		lock, err := embedded.LockDataDir(run)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(run)
		lock.Release()
	}
}

// temporary is a folder that every account can pass through to.
func temporary() (string, error) {
	for _, dir := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		if open(dir) {
			return dir, nil
		}
	}
	return "", errNoTemporary
}

func open(dir string) bool {
	if os.Geteuid() != 0 {
		return true
	}
	dir, err := filepath.EvalSymlinks(dir)
	for err == nil {
		info, statErr := os.Stat(dir)
		if statErr != nil || info.Mode().Perm()&1 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
	return false
}

// ownFolder makes a folder in a place where others may have put one first.
func ownFolder(dir string) error {
	if err := os.Mkdir(dir, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the cache: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at the cache: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s does not belong to this account; remove it", dir)
	}
	return nil
}

// flock waits for the lock. A test binary that holds it makes a cluster or
// copies one, so it is not long.
func flock(ctx context.Context, file *os.File, how int) error {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("lock the cache: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the cache: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// copyTree copies folders and files with their owners and permissions.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		info, err := e.Info()
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			err = os.Mkdir(target, info.Mode().Perm())
		case info.Mode().IsRegular():
			err = copyFile(path, target, info.Mode().Perm())
		default:
			return nil
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && err == nil && os.Geteuid() == 0 {
			err = os.Lchown(target, int(stat.Uid), int(stat.Gid))
		}
		return err
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer discard(source)
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
