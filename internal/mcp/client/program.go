package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Programs says whether and how programs may be started.
type Programs struct {
	Allowed  bool
	Root     string // of their folders
	UID, GID int    // 0: as this process
	Path     string // PATH; "": the usual one
	Max      int    // at the same time; 0: 32
}

const (
	defaultPath  = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	maxPrograms  = 32
	keptStderr   = 4 << 10
	closingGrace = 2 * time.Second
)

// program is a server that was started here. It implements mcp.Transport.
type program struct {
	spec   Spec
	p      Programs
	mu     sync.Mutex
	cmd    *exec.Cmd
	dir    string
	exited chan struct{}
	stderr tail
}

// Connect implements mcp.Transport: it starts the program.
func (g *program) Connect(ctx context.Context) (mcp.Connection, error) {
	if err := g.start(); err != nil {
		return nil, err
	}
	stdin, stdout, err := g.launch()
	if err != nil {
		g.remove()
		return nil, &Error{Kind: KindUnreachable, Server: g.spec.Key, Message: fmt.Sprintf("The program %s cannot be started: %s.", g.spec.Command, sentence(err.Error())), cause: err}
	}
	t := &mcp.IOTransport{Reader: stdout, Writer: stdin, MaxLineLength: maxEvent}
	return t.Connect(ctx)
}

func (g *program) start() error {
	if !g.p.Allowed {
		return &Error{
			Kind: KindNotAllowed, Server: g.spec.Key,
			Message: "This process may not start programs, and " + g.spec.Key + " is one. An administrator can allow it with LLMCTL_STUDIO_SCRIPT_NODES=true.",
		}
	}
	if err := os.MkdirAll(g.p.Root, 0o711); err != nil { //nolint:gosec // the account of programs passes through it
		return fmt.Errorf("make folder for programs: %w", err)
	}
	dir, err := os.MkdirTemp(g.p.Root, "mcp-")
	if err != nil {
		return fmt.Errorf("make folder for a program: %w", err)
	}
	g.dir = dir
	if g.p.UID != 0 || g.p.GID != 0 {
		if err := os.Chown(dir, g.p.UID, g.p.GID); err != nil {
			g.remove()
			return fmt.Errorf("give folder to its program: %w", err)
		}
	}
	return nil
}

// environ is all that the program sees of an environment.
func (g *program) environ() []string {
	path := g.p.Path
	if path == "" {
		path = defaultPath
	}
	env := map[string]string{"PATH": path, "HOME": g.dir, "TMPDIR": g.dir, "LANG": "C.UTF-8"}
	maps.Copy(env, g.spec.Env)
	out := make([]string, 0, len(env))
	for name, value := range env {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}

func (g *program) launch() (io.WriteCloser, io.ReadCloser, error) {
	env := g.environ()
	path, err := lookPath(g.spec.Command, env)
	if err != nil {
		return nil, nil, err
	}
	fenced := mayFence()
	for {
		cmd := &exec.Cmd{Path: path, Args: append([]string{g.spec.Command}, g.spec.Args...), Env: env, Dir: g.dir, Stderr: &g.stderr}
		cmd.WaitDelay = closingGrace
		cmd.SysProcAttr = attributes(g.p, fenced)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			return nil, nil, err
		}
		// A pipe of our own: that of exec is closed by Wait, with words still in it.
		out, into, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		cmd.Stdout = into
		err = cmd.Start()
		_ = into.Close()
		if err == nil {
			g.watch(cmd)
			return stdin, out, nil
		}
		_ = out.Close()
		if !fenced || !fenceRefused(err) {
			return nil, nil, err
		}
		fenced = false
	}
}

func (g *program) watch(cmd *exec.Cmd) {
	exited := make(chan struct{})
	g.mu.Lock()
	g.cmd, g.exited = cmd, exited
	g.mu.Unlock()
	go func() {
		_ = cmd.Wait()
		killGroup(cmd.Process.Pid) // what it left behind
		close(exited)
	}()
}

// lookPath finds a command in the PATH of its own environment.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			return "", errors.New("a path must be absolute, since the program runs in a folder of its own")
		}
		return name, nil
	}
	for _, pair := range env {
		list, ok := strings.CutPrefix(pair, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			at := filepath.Join(dir, name)
			if info, err := os.Stat(at); err == nil && !info.IsDir() && info.Mode().Perm()&0o111 != 0 {
				return at, nil
			}
		}
		return "", fmt.Errorf("%s is not in %s", name, list)
	}
	return "", errors.New("there is no PATH")
}

// end ends the program and everything that it started. Its input was closed before,
// so that one that behaves has had its chance.
func (g *program) end() {
	g.mu.Lock()
	cmd, exited := g.cmd, g.exited
	g.mu.Unlock()
	if cmd != nil {
		t := time.NewTimer(closingGrace)
		defer t.Stop()
		select {
		case <-exited:
		case <-t.C:
		}
		killGroup(cmd.Process.Pid)
		<-exited
	}
	g.remove()
}

func (g *program) remove() {
	if g.dir != "" {
		_ = os.RemoveAll(g.dir)
	}
}

// ended tells how the program ended, if it did: its last words are the best hint.
func (g *program) ended() string {
	g.mu.Lock()
	cmd, exited := g.cmd, g.exited
	g.mu.Unlock()
	if cmd == nil {
		return ""
	}
	t := time.NewTimer(200 * time.Millisecond) // its end and that of its output are seen in any order
	defer t.Stop()
	select {
	case <-exited:
	case <-t.C:
		return ""
	}
	words := fmt.Sprintf("The program %s ended (%s).", g.spec.Command, cmd.ProcessState)
	if last := sentence(g.stderr.String()); last != "" {
		words += " It said: " + last + "."
	}
	return words
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - keptStderr; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
