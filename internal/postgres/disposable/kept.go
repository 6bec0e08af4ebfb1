package disposable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres/embedded"
)

const (
	noteFile       = "kept.json"
	connectTimeout = 5 * time.Second
	lockPoll       = 50 * time.Millisecond
)

// note is what a kept server leaves for those who come after.
type note struct {
	URI      string `json:"uri"`
	PID      int    `json:"pid"`
	Database string `json:"database"`
	Durable  bool   `json:"durable"`
}

// keptFolder is where the kept server of a port lives.
func keptFolder(port int) string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("%skept-%d-%d", runPrefix, os.Geteuid(), port))
}

// keepLock lets one process at a time look for and start servers that are kept.
func keepLock(ctx context.Context) (release func(), err error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("%slock-%d", runPrefix, os.Geteuid()))
	if err := ownedByUs(dir); err != nil {
		return nil, err
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		lock, err := embedded.LockDataDir(dir)
		if err == nil {
			return lock.Release, nil
		}
		if !errs.HasReason(err, embedded.ReasonInUse) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another start: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func (s *Server) remember(o Options) error {
	text, err := json.Marshal(note{URI: s.URI, PID: s.PID, Database: o.Database, Durable: o.Durable})
	if err != nil {
		return fmt.Errorf("note the kept server: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, noteFile), text, 0o600); err != nil {
		return fmt.Errorf("note the kept server: %w", err)
	}
	return nil
}

// recall reads the note of a port's kept server; nil when there is none.
func recall(port int) (*note, error) {
	dir := keptFolder(port)
	if err := ownedByUs(dir); err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(dir, noteFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing kept is not an error
	}
	if err != nil {
		return nil, fmt.Errorf("read the note of the kept server: %w", err)
	}
	defer func() { _ = file.Close() }()
	var n note
	if err := json.NewDecoder(file).Decode(&n); err != nil {
		return nil, nil //nolint:nilnil // half a note is none
	}
	return &n, nil
}

// reuse gives the kept server of the wanted port if it runs and is of the wanted
// kind; nil when a new one has to be started.
func (o Options) reuse(ctx context.Context) (*Server, error) {
	n, err := recall(o.Port)
	if n == nil || err != nil {
		return nil, err
	}
	if n.Durable != o.Durable || n.Database != o.Database {
		return nil, nil //nolint:nilnil // it is of another kind; a new one gets another port
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, n.URI)
	if err != nil {
		return nil, nil //nolint:nilnil // it does not run any more
	}
	_ = conn.Close(ctx)
	return &Server{URI: n.URI, Port: o.Port, PID: n.PID, Kept: true, Reused: true}, nil
}

// StopKept ends the kept server of a port and removes its data.
func StopKept(ctx context.Context, port int, log *slog.Logger) (pid int, err error) {
	n, err := recall(port)
	if err != nil {
		return 0, err
	}
	if n == nil {
		return 0, errs.Ef(errs.NotFound, ReasonNoKept, "No server is kept on port %s by this account. --port names another one.", strconv.Itoa(port))
	}
	o := embedded.Options{DataDir: keptFolder(port), Logger: log}
	if err := embedded.StopDetached(ctx, o); err != nil {
		return n.PID, err
	}
	return n.PID, embedded.Discard(o)
}
