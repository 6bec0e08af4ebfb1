// Package script runs the user's own commands: the script kind of node. It must run
// inside an executor process with a private workspace and refuses to elsewhere.
//
// Invariants: the command gets a clean environment, never this process's; its whole
// process group is gone when Run returns; what is kept of its output is bounded,
// and what is not kept is counted and said.
package script

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/llmctl/studio/internal/executor"
)

// CodeExitStatus is a command that ended with another status than 0.
const CodeExitStatus = "exit_status"

// CodeDisabled is a script node where scripts are switched off.
const CodeDisabled = "scripts_disabled"

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// drainAfter is how long output may still come after the command's group was ended.
const drainAfter = time.Second

// Options configure the handler.
type Options struct {
	Enabled   bool
	Workspace string
	Path      string
}

// Handler runs script nodes.
type Handler struct{ o Options }

// New makes a handler.
func New(o Options) *Handler {
	if o.Path == "" {
		o.Path = defaultPath
	}
	return &Handler{o: o}
}

type config struct {
	Command []string          `json:"command"`
	Script  string            `json:"script"`
	Shell   string            `json:"shell"`
	Env     map[string]string `json:"env"`
	Stdin   string            `json:"stdin"`
}

type output struct {
	ExitCode      int    `json:"exit_code"`
	Stdout        string `json:"stdout"`
	Stderr        string `json:"stderr"`
	JSON          any    `json:"json,omitempty"`
	StdoutDropped int64  `json:"stdout_dropped_bytes,omitempty"`
	StderrDropped int64  `json:"stderr_dropped_bytes,omitempty"`
}

// Run implements the handler of the kind.
func (h *Handler) Run(ctx context.Context, in executor.Payload, sink executor.Sink) executor.Result {
	if !h.o.Enabled {
		return executor.Failure(CodeDisabled, "Script nodes are switched off here. An administrator can allow them with LLMCTL_STUDIO_SCRIPT_NODES=true.", false)
	}
	if h.o.Workspace == "" {
		return executor.Failure("not_isolated", "Script nodes only run in an executor process of their own.", false)
	}
	var cfg config
	if err := json.Unmarshal(in.Config, &cfg); err != nil {
		return executor.Failuref(executor.CodeConfig, false, "The settings of this node cannot be read: %v.", err)
	}
	argv, err := cfg.argv()
	if err != nil {
		return executor.Failure(executor.CodeConfig, err.Error(), false)
	}
	env, err := h.environ(cfg.Env)
	if err != nil {
		return executor.Failure(executor.CodeConfig, err.Error(), false)
	}
	if err := os.MkdirAll(filepath.Join(h.o.Workspace, artifactsFolder), 0o700); err != nil {
		return executor.Failuref(executor.CodeInfra, true, "The folder for artifacts could not be made: %v.", err)
	}
	stages := executor.NewStages(sink)
	if err := stages.Enter(executor.StageInit); err != nil {
		return sinkFailure()
	}
	r := &run{
		argv: argv, env: env, dir: h.o.Workspace, stdin: cfg.Stdin, grace: executor.GraceOf(in),
		stdout: newCapture(sink, executor.StreamStdout), stderr: newCapture(sink, executor.StreamStderr),
	}
	res := r.do(ctx)
	if ctx.Err() == nil { // what was cut off is left alone
		res = h.collect(res, stages)
	}
	if res.Error != nil {
		stages.Fail(res.Error.Message)
	} else if stages.Finish() != nil {
		return sinkFailure()
	}
	return res
}

func sinkFailure() executor.Result {
	return executor.Failure(executor.CodeInfra, "The events of this attempt could not be stored.", true)
}

// argv is the command, or the script handed to a shell. The script is an argument
// and not standard input, which may have a use of its own.
func (c config) argv() ([]string, error) {
	switch {
	case len(c.Command) > 0 && c.Script != "":
		return nil, errors.New("a script node has either a command or a script, not both")
	case len(c.Command) > 0:
		if c.Command[0] == "" {
			return nil, errors.New("the command of this node is empty")
		}
		return c.Command, nil
	case strings.TrimSpace(c.Script) == "":
		return nil, errors.New("this node has no command and no script")
	case c.Shell == "":
		return []string{"/bin/sh", "-c", c.Script}, nil
	}
	return append(strings.Fields(c.Shell), "-c", c.Script), nil
}

func (h *Handler) environ(extra map[string]string) ([]string, error) {
	env := map[string]string{
		"PATH": h.o.Path, "HOME": h.o.Workspace, "TMPDIR": h.o.Workspace, "LANG": "C.UTF-8",
	}
	for k, v := range extra {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			return nil, fmt.Errorf("%q cannot be an environment variable", k)
		}
		env[k] = v
	}
	// Last, so that they always tell the truth; they also mark this attempt's processes.
	env["LLMCTL_STUDIO_WORKSPACE"], env["WORKSPACE_PATH"] = h.o.Workspace, h.o.Workspace
	env[ArtifactsEnv] = filepath.Join(h.o.Workspace, artifactsFolder)
	out := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return out, nil
}

// run is one running command.
type run struct {
	argv, env      []string
	dir, stdin     string
	grace          time.Duration
	stdout, stderr *capture
	cmd            *exec.Cmd
}

func (r *run) do(ctx context.Context) executor.Result {
	path, err := lookPath(r.argv[0], r.dir, r.env)
	if err != nil {
		return executor.Failuref(executor.CodeConfig, false, "The command %q was not found.", r.argv[0])
	}
	outR, outW, err1 := os.Pipe()
	errR, errW, err2 := os.Pipe()
	defer closeAll(outR, outW, errR, errW)
	if err := errors.Join(err1, err2); err != nil {
		return executor.Failuref(executor.CodeInfra, true, "The command could not be started: %v.", err)
	}
	// No context: the process group is ended in steps, see await.
	r.cmd = &exec.Cmd{
		Path: path, Args: r.argv, Env: r.env, Dir: r.dir, Stdin: strings.NewReader(r.stdin),
		Stdout: outW, Stderr: errW, SysProcAttr: groupAttributes(), WaitDelay: drainAfter,
	}
	exited, err := r.spawn()
	closeAll(outW, errW)
	if err != nil {
		return executor.Failuref(executor.CodeConfig, false, "The command could not be started: %v.", err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { r.stdout.read(outR, cancel) })
	wg.Go(func() { r.stderr.read(errR, cancel) })
	waitErr := r.await(ctx, exited)
	// A process that left the group may hold the pipes; its output is no longer ours.
	deadline := time.Now().Add(drainAfter)
	_, _ = outR.SetReadDeadline(deadline), errR.SetReadDeadline(deadline)
	wg.Wait()
	return r.result(ctx, waitErr)
}

// spawn starts and awaits the command on one OS thread, for the parent-death signal
// belongs to the thread.
func (r *run) spawn() (<-chan error, error) {
	started, exited := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := r.cmd.Start()
		started <- err
		if err == nil {
			exited <- r.cmd.Wait()
		}
	}()
	return exited, <-started
}

// await returns when the command has exited and its process group is gone.
func (r *run) await(ctx context.Context, exited <-chan error) error {
	group := -r.cmd.Process.Pid
	defer func() { _ = syscall.Kill(group, syscall.SIGKILL) }()
	select {
	case err := <-exited:
		return err
	case <-ctx.Done():
	}
	_ = syscall.Kill(group, syscall.SIGTERM)
	t := time.NewTimer(r.grace)
	defer t.Stop()
	select {
	case err := <-exited:
		return err
	case <-t.C:
		_ = syscall.Kill(group, syscall.SIGKILL)
		return <-exited
	}
}

func (r *run) result(ctx context.Context, waitErr error) executor.Result {
	if r.stdout.failed() || r.stderr.failed() {
		return sinkFailure()
	}
	out := output{
		ExitCode: exitCode(r.cmd.ProcessState),
		Stdout:   r.stdout.text(), Stderr: r.stderr.text(),
		StdoutDropped: r.stdout.dropped, StderrDropped: r.stderr.dropped,
	}
	if s := strings.TrimSpace(out.Stdout); out.StdoutDropped == 0 && s != "" {
		if v, err := executor.DecodeJSON(s); err == nil {
			out.JSON = v
		}
	}
	res := executor.Success(out)
	if end, over := executor.Ended(ctx); over && r.cmd.ProcessState != nil && !r.cmd.ProcessState.Success() {
		end.OutputState = res.OutputState
		return end
	}
	if out.ExitCode == 0 && (waitErr == nil || errors.Is(waitErr, exec.ErrWaitDelay)) {
		return res
	}
	fail := executor.Failuref(CodeExitStatus, false, "The command ended with %s.%s", describe(r.cmd.ProcessState, waitErr), lastLine(out.Stderr))
	fail = fail.WithDetails(map[string]any{"exit_code": out.ExitCode})
	fail.OutputState = res.OutputState
	return fail
}

// exitCode follows the shells: 128 + n for a command that signal n ended.
func exitCode(s *os.ProcessState) int {
	if s == nil {
		return -1
	}
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

func describe(s *os.ProcessState, err error) string {
	if s != nil {
		return s.String()
	}
	return fmt.Sprint(err)
}

func lastLine(s string) string {
	lines := bytes.Split(bytes.TrimSpace([]byte(s)), []byte("\n"))
	last := []rune(string(lines[len(lines)-1]))
	if len(last) == 0 {
		return ""
	}
	return " Its last words: " + string(last[:min(len(last), 300)])
}

// lookPath finds the command in the PATH of its own environment.
func lookPath(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, e := range slices.Backward(env) {
		path, ok := strings.CutPrefix(e, "PATH=")
		if !ok {
			continue
		}
		for d := range strings.SplitSeq(path, ":") {
			if d == "" || d == "." {
				d = dir
			}
			full := d + "/" + name
			if info, err := os.Stat(full); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return full, nil
			}
		}
	}
	return "", exec.ErrNotFound
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}
