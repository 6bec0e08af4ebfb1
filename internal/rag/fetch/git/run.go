package git

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// maxOutput bounds what is kept of a command's output.
	maxOutput = 64 << 20
	// localTime bounds a command that asks nobody but the disk.
	localTime = 10 * time.Minute
	// maxStderr bounds what is kept of its messages, the newest.
	maxStderr = 16 << 10
)

// command is one call of git.
type command struct {
	dir    string   // the bare repository; "": none
	args   []string // behind the options that all calls have
	env    []string // beside the environment that all calls have
	config [][2]string
	stdin  string
	stdout func(io.Reader) error // reads the output; nil: it is kept
	lines  func(string)          // is told of progress; nil: nobody is
	time   time.Duration         // how long it may take; 0: localTime
	place  *os.File              // descriptor 3 of it and of what it starts; nil: none
}

// errLocal is that a command was too slow without anybody else's fault.
var errLocal = errors.New("the disk here took too long")

// failure is a command that ended badly.
type failure struct {
	what   string
	stderr string
	cause  error
}

// Error implements error.
func (e *failure) Error() string {
	return "git " + e.what + ": " + e.cause.Error() + ": " + lastLines(e.stderr, 3)
}

// Unwrap gives the cause.
func (e *failure) Unwrap() error { return e.cause }

func lastLines(text string, n int) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}

// program is an installed git.
type program struct {
	path string
	home string // a folder of ours with the configuration of all calls
}

// environment is all that git sees of the environment.
func (p program) environment(c command) []string {
	config := append([][2]string{
		{"core.hooksPath", "/dev/null"},
		{"core.fsync", "none"},
		{"core.askPass", ""},
		{"credential.helper", ""},
		{"gc.auto", "0"},
		{"maintenance.auto", "false"},
		{"fetch.recurseSubmodules", "false"},
		{"fetch.unpackLimit", "1"},
		// What others sent is unpacked with little memory, and large files piece by piece.
		{"core.bigFileThreshold", "32m"},
		{"core.deltaBaseCacheLimit", "32m"},
		{"pack.windowMemory", "64m"},
		{"pack.threads", "1"},
		{"protocol.version", "2"},
		{"http.followRedirects", "false"},
		{"http.proxy", ""},
		{"http.lowSpeedLimit", "500"},
		{"http.lowSpeedTime", "60"},
	}, c.config...)
	env := append([]string{
		"PATH=" + filepath.Dir(p.path) + ":/usr/local/bin:/usr/bin:/bin", "HOME=" + p.home, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + filepath.Join(p.home, "gitconfig"), "GIT_ATTR_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_NO_REPLACE_OBJECTS=1",
		"GIT_NO_LAZY_FETCH=1", // what a repository lacks is not fetched from where it says
		"GIT_ALLOW_PROTOCOL=none", "GIT_CONFIG_COUNT=" + strconv.Itoa(len(config)),
	}, c.env...)
	for i, kv := range config {
		n := strconv.Itoa(i)
		env = append(env, "GIT_CONFIG_KEY_"+n+"="+kv[0], "GIT_CONFIG_VALUE_"+n+"="+kv[1])
	}
	return env
}

func (p program) command(ctx context.Context, c command) *exec.Cmd {
	args := c.args
	if c.dir != "" {
		args = append([]string{"--git-dir=" + c.dir}, args...)
	}
	cmd := exec.CommandContext(ctx, p.path, args...) //nolint:gosec // arguments are checked, and stand behind -- where they are of users
	cmd.Dir, cmd.Env, cmd.SysProcAttr = p.home, p.environment(c), group()
	cmd.Cancel = func() error { killGroup(cmd.Process.Pid); return cmd.Process.Kill() }
	cmd.WaitDelay = 5 * time.Second
	if c.place != nil {
		cmd.ExtraFiles = []*os.File{c.place}
	}
	return cmd
}

// run calls git and gives its output.
func (p program) run(ctx context.Context, c command) ([]byte, error) {
	if c.time == 0 {
		c.time = localTime
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.time, errLocal)
	defer cancel()
	cmd := p.command(ctx, c)
	var out bytes.Buffer
	messages := &progress{tell: c.lines}
	cmd.Stderr = messages
	if c.stdin != "" {
		cmd.Stdin = strings.NewReader(c.stdin)
	}
	var err error
	if c.stdout == nil {
		cmd.Stdout = &capped{to: &out, left: maxOutput}
		err = cmd.Run()
	} else {
		err = runPiped(cmd, c.stdout)
	}
	if err == nil {
		return out.Bytes(), nil
	}
	if ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return nil, &failure{what: c.args[0], stderr: string(messages.kept), cause: err}
}

func runPiped(cmd *exec.Cmd, read func(io.Reader) error) error {
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := read(pipe)
	if readErr != nil {
		_ = cmd.Cancel()
	}
	return errors.Join(readErr, cmd.Wait())
}

// capped keeps the beginning.
type capped struct {
	to   io.Writer
	left int
}

var errOutput = errors.New("it says more than is kept")

// Write implements io.Writer.
func (c *capped) Write(p []byte) (int, error) {
	if len(p) > c.left {
		return 0, errOutput
	}
	c.left -= len(p)
	return c.to.Write(p)
}

// progress keeps the newest of git's messages and tells its lines.
type progress struct {
	tell func(string)
	line []byte
	kept []byte
}

// Write implements io.Writer.
func (w *progress) Write(p []byte) (int, error) {
	w.kept = append(w.kept, p...)
	if len(w.kept) > maxStderr {
		w.kept = append(w.kept[:0], w.kept[len(w.kept)-maxStderr:]...)
	}
	if w.tell == nil {
		return len(p), nil
	}
	for _, b := range p {
		if b != '\n' && b != '\r' {
			if len(w.line) < 500 {
				w.line = append(w.line, b)
			}
			continue
		}
		if text := strings.TrimSpace(string(w.line)); text != "" {
			w.tell(text)
		}
		w.line = w.line[:0]
	}
	return len(p), nil
}

// seldom passes lines on: each new phase, and then one every few seconds.
func seldom(tell func(string), now func() time.Time) func(string) {
	if tell == nil {
		return nil
	}
	var phase string
	var last time.Time
	return func(line string) {
		line = strings.TrimPrefix(line, "remote: ")
		name, _, found := strings.Cut(line, ":")
		if !found || strings.HasPrefix(line, "From ") || strings.Contains(line, "->") {
			return
		}
		if at := now(); name != phase || at.Sub(last) >= 2*time.Second {
			phase, last = name, at
			tell(line)
		}
	}
}
