// Package process runs attempts in child processes: each in a private workspace,
// with an environment of its own, in its own session. The child is this program's
// executor command (executor.RunChild).
//
// The package must not know kinds of nodes. Invariants: the workspace exists only
// while the attempt runs; no process of the attempt outlives Execute; a child that
// vanishes without a result is a retryable failure with code infra that tells how
// it ended. Should this process die, the child ends its tree by itself.
//
// Should both be killed at the same instant, nobody is left to end the tree. As
// root on Linux the kernel does it: the child is the first process of a process
// namespace of its own. Elsewhere what the script started goes on until the next
// New on the same Root, which ends it. (User namespaces would need no root, but
// inside them ssh refuses root's configuration and sudo does not work.)
package process

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
)

// DefaultPath is the PATH of children.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// killMargin is what the child has beyond its own grace before it is killed.
const killMargin = 3 * time.Second

// Options configure an Executor. Root is required.
type Options struct {
	Command   []string // default: this program with the argument "executor"
	Env       []string // added to the child's environment
	Root      string   // folder below which workspaces are made
	Path      string
	UID, GID  int  // who children run as; needs root, 0 leaves the user as it is
	Unfenced  bool // never use process namespaces
	KeepAlive time.Duration
	Log       *slog.Logger
	Now       func() time.Time
}

// Executor runs every attempt in a child process.
type Executor struct {
	o        Options
	unfenced atomic.Bool // the kernel refused namespaces
}

// New checks the options and makes the folder for workspaces.
func New(o Options) (*Executor, error) {
	if o.Root == "" {
		return nil, errs.E(errs.Invalid, "executor.root", "The process executor needs a folder for workspaces.")
	}
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return nil, fmt.Errorf("workspace root: %w", err)
	}
	// Others may pass through: children of another user have to reach their own.
	if err := os.MkdirAll(root, 0o711); err != nil { //nolint:gosec // see above
		return nil, fmt.Errorf("workspace root: %w", err)
	}
	if (o.UID != 0 || o.GID != 0) && os.Geteuid() != 0 {
		return nil, errs.E(errs.Invalid, "executor.uid", "Only root can run nodes as another user.")
	}
	o.Root = root
	if len(o.Command) == 0 {
		o.Command = []string{selfPath(), "executor"}
	}
	if o.Path == "" {
		o.Path = DefaultPath
	}
	if o.KeepAlive <= 0 {
		o.KeepAlive = executor.KeepAliveEvery
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Executor{o: o}
	e.unfenced.Store(o.Unfenced)
	if _, err := e.RemoveAbandoned(); err != nil {
		e.o.Log.Warn("abandoned workspaces stay", "error", err)
	}
	return e, nil
}

// Name is "process".
func (e *Executor) Name() string { return "process" }

// Execute runs one attempt; see executor.Executor.
func (e *Executor) Execute(ctx context.Context, p executor.Payload, sink executor.Sink) executor.Result {
	if err := p.Validate(); err != nil {
		return executor.Failure("bad_payload", errs.As(err).Message, false)
	}
	data, err := json.Marshal(p)
	if err != nil {
		return executor.Failure("bad_payload", "The payload of this node cannot be encoded: "+err.Error(), false)
	}
	if len(data) > executor.MaxPayload {
		return executor.Failuref(executor.CodeTooLarge, false, "The inputs of this node are larger than %d MiB.", executor.MaxPayload>>20)
	}
	if end, over := executor.Ended(ctx); over {
		return end
	}
	ws, err := e.makeWorkspace(p)
	if err != nil {
		return infra("The workspace of this attempt could not be made: %v.", err)
	}
	defer e.removeWorkspace(ctx, ws.dir)
	defer ws.release()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if s := p.Limits.TimeoutSeconds; s > 0 {
		timed, stop := context.WithTimeoutCause(ctx, time.Duration(s*float64(time.Second)), executor.ErrTimeout)
		defer stop()
		ctx = timed
	}
	c, err := e.start(ws.dir, data)
	if err != nil {
		return infra("The executor process could not be started: %v.", err)
	}
	return c.follow(ctx, sink, cancel, executor.GraceOf(p)+killMargin)
}

func (e *Executor) removeWorkspace(ctx context.Context, dir string) {
	if err := removeAll(dir); err != nil {
		e.o.Log.WarnContext(ctx, "workspace not removed", "path", dir, "error", err)
	}
}

// removeAll also gets rid of folders that the script made read-only.
func removeAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700) //nolint:gosec // a folder needs x, and it is about to go
		}
		return nil
	})
	return os.RemoveAll(dir)
}

func (e *Executor) environ(ws string) []string {
	env := []string{
		"PATH=" + e.o.Path, "HOME=" + ws, "TMPDIR=" + ws, "LANG=C.UTF-8",
		workspaceEntry(ws), "WORKSPACE_PATH=" + ws,
	}
	return append(env, e.o.Env...)
}

// workspaceEntry also marks the processes of one attempt, since its folder is its
// alone.
func workspaceEntry(ws string) string { return "LLMCTL_STUDIO_WORKSPACE=" + ws }

func infra(format string, args ...any) executor.Result {
	return executor.Failuref(executor.CodeInfra, true, format, args...)
}
