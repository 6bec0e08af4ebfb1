package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/executor/process"
	"github.com/llmctl/studio/internal/node/kind"
)

// The test binary plays all roles: started with one of these as its first argument
// it is an executor child, or a worker that starts one.
const (
	roleChild  = "executor"
	roleWorker = "worker"
	unfenced   = "unfenced"
	fenced     = "fenced"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case roleChild:
			os.Exit(childMain())
		case roleWorker:
			os.Exit(workerMain(os.Args[2], os.Args[3], os.Args[4] == unfenced))
		}
	}
	goleak.VerifyTestMain(m)
}

func childMain() int {
	dir, err := os.Getwd()
	if err != nil {
		return 9
	}
	handlers, err := kind.Handlers(kind.Options{ScriptNodes: true, Workspace: dir})
	if err != nil {
		return 9
	}
	var fence *executor.Fence
	for _, arg := range os.Args[2:] {
		if text, ok := strings.CutPrefix(arg, "--fence="); ok {
			if fence, err = executor.ParseFence(text); err != nil {
				return 9
			}
		}
	}
	run := kind.Runner(handlers)
	return executor.RunChild(context.Background(), executor.ChildOptions{
		Fence:   fence,
		Payload: os.Stdin, Events: executor.OpenInherited(executor.EventsFD, "events"),
		KeepAlive: executor.OpenInherited(executor.KeepAliveFD, "keep-alive"), Stderr: os.Stderr, Workspace: dir,
		Silence: 4 * time.Second, // a busy machine may take one of them
		Runner: func(ctx context.Context, p executor.Payload, sink executor.Sink) executor.Result {
			switch p.Kind {
			case "vanish":
				_, _ = os.Stderr.WriteString("first line\nfatal: the floor gave way\n")
				os.Exit(7)
			case "panic":
				panic("boom")
			case "deaf": // ignores its context
				select {}
			case "huge":
				return executor.Success(strings.Repeat("x", executor.MaxResult))
			case "env":
				return executor.Success(os.Environ())
			case "garbage":
				_, _ = os.NewFile(executor.EventsFD, "events").WriteString("not json\n")
				<-ctx.Done()
			case "suicide":
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			case "stopped":
				_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
				<-ctx.Done()
			}
			return run(ctx, p, sink)
		},
	})
}

// workerMain runs one script until it is killed.
func workerMain(root, script string, unfenced bool) int {
	e, err := process.New(process.Options{Root: root, Command: []string{"/proc/self/exe", roleChild}, Unfenced: unfenced})
	if err != nil {
		return 9
	}
	e.Execute(context.Background(), payload(kind.Script, map[string]any{"script": script}), func(executor.Event) error { return nil })
	return 0
}

func payload(kind string, config any) executor.Payload {
	data, err := json.Marshal(config)
	if err != nil {
		panic(err)
	}
	return executor.Payload{ContractVersion: executor.Version, NodeRunID: 5, Attempt: 2, Kind: kind, Config: data, Limits: executor.Limits{GraceSeconds: 0.5}}
}

type bench struct {
	e    *process.Executor
	root string
	mu   sync.Mutex
	got  []executor.Event
	line chan string
}

func setup(t *testing.T) *bench {
	t.Helper()
	return setupMode(t, fenced)
}

func setupMode(t *testing.T, mode string) *bench {
	t.Helper()
	root := filepath.Join(t.TempDir(), "ws")
	e, err := process.New(process.Options{
		Root: root, Command: []string{"/proc/self/exe", roleChild}, KeepAlive: 200 * time.Millisecond, Unfenced: mode == unfenced,
	})
	require.NoError(t, err)
	return &bench{e: e, root: root, line: make(chan string, 1024)}
}

func (b *bench) sink(ev executor.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, ev)
	if ev.Type == executor.EventLog && ev.Stream == executor.StreamStdout {
		b.line <- ev.Text
	}
	return nil
}

// nextLine waits for a line that the script printed.
func (b *bench) nextLine(t *testing.T) string {
	t.Helper()
	select {
	case l := <-b.line:
		return l
	case <-time.After(20 * time.Second):
		t.Fatal("the script printed nothing")
		return ""
	}
}

func (b *bench) requireClean(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(b.root)
	require.NoError(t, err)
	require.Empty(t, entries, "the workspace is removed")
}

// pids reads the ids that a script below root printed. In a namespace they are
// those of the namespace, and are translated, while the processes live.
func pids(t *testing.T, root, line string) []int {
	t.Helper()
	host := hostPIDs(t, root)
	var out []int
	for f := range strings.FieldsSeq(line) {
		n, err := strconv.Atoi(f)
		require.NoError(t, err, line)
		if os.Geteuid() == 0 {
			require.Contains(t, host, n, line)
			n = host[n]
		}
		out = append(out, n)
	}
	return out
}

// hostPIDs gives what works below root: ids here by ids in the innermost namespace.
func hostPIDs(t *testing.T, root string) map[int]int {
	t.Helper()
	out := map[int]int{}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, dir := range dirs {
		environ, err := os.ReadFile(filepath.Join(dir, "environ"))
		status, err2 := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil || err2 != nil || !strings.Contains(string(environ), "LLMCTL_STUDIO_WORKSPACE="+root+"/") {
			continue
		}
		_, rest, _ := strings.Cut(string(status), "NSpid:")
		line, _, _ := strings.Cut(rest, "\n")
		ids := strings.Fields(line)
		if len(ids) == 0 {
			continue
		}
		outer, err := strconv.Atoi(ids[0])
		require.NoError(t, err)
		inner, err := strconv.Atoi(ids[len(ids)-1])
		require.NoError(t, err)
		out[inner] = outer
	}
	return out
}

// requireNobody fails if anything works below root.
func requireNobody(t *testing.T, root string) {
	t.Helper()
	require.Empty(t, hostPIDs(t, root))
}

// alive is whether a process exists and is more than a zombie.
func alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func requireGone(t *testing.T, pids []int) {
	t.Helper()
	require.NotEmpty(t, pids)
	for _, pid := range pids {
		require.Eventually(t, func() bool { return !alive(pid) }, 15*time.Second, 20*time.Millisecond, "process %d is still there", pid)
	}
}

// family is a script with a child, a grandchild, and one that left session and
// process group behind; it prints all their ids.
const family = `sleep 600 & a=$!; (sleep 600 & echo $! > g; wait) & b=$!; setsid sh -c 'echo $$ > s; trap "" TERM; while :; do sleep 600; done' &
while [ ! -s g ] || [ ! -s s ]; do :; done
echo $$ $a $b $(cat g) $(cat s); wait`

func TestAScriptRunsAndItsEventsAreNumbered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.e.Execute(t.Context(), payload(kind.Script, map[string]any{
		"script": `echo one; echo oops >&2; pwd; echo "$LLMCTL_STUDIO_WORKSPACE $WORKSPACE_PATH $HOME"; printf '{"n": %d}' 3 > out; cat out >/dev/null`,
	}), b.sink)
	require.Equal(t, executor.Succeeded, res.Status, "%+v", res.Error)
	var out struct {
		ExitCode       int `json:"exit_code"`
		Stdout, Stderr string
	}
	require.NoError(t, json.Unmarshal(res.OutputState, &out))
	require.Zero(t, out.ExitCode)
	lines := strings.Split(out.Stdout, "\n")
	require.Equal(t, "one", lines[0])
	require.True(t, strings.HasPrefix(lines[1], b.root+"/node-5-2-"), lines[1])
	require.Equal(t, strings.Repeat(" "+lines[1], 3), " "+lines[2])
	require.Equal(t, "oops\n", out.Stderr)
	for i, ev := range b.got {
		require.Equal(t, int64(i+1), ev.N)
		require.Equal(t, executor.Version, ev.V)
		require.NotEqual(t, executor.EventResult, ev.Type)
	}
	require.Equal(t, executor.EventStarted, b.got[0].Type)
	b.requireClean(t)
}

func (b *bench) run(t *testing.T, script string) executor.Result {
	t.Helper()
	return b.e.Execute(t.Context(), payload(kind.Script, map[string]any{"script": script}), b.sink)
}

func TestFilesInTheFolderForArtifactsComeBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.run(t, `cd "$LLMCTL_ARTIFACTS" && mkdir -p a/b && printf hello > a/b/note.txt && printf '{}' > data.json && : > empty
		ln -s /etc/passwd link; ln -s /etc dir; mkfifo pipe; echo done`)
	require.Equal(t, executor.Succeeded, res.Status, "%+v", res.Error)
	got := map[string]string{}
	for _, a := range res.Artifacts {
		got[a.Name] = a.MediaType + ": " + string(a.Data)
	}
	require.Equal(t, map[string]string{
		"a/b/note.txt": "text/plain; charset=utf-8: hello", "data.json": "application/json: {}", "empty": "text/plain; charset=utf-8: ",
	}, got)
	var said string
	for _, ev := range b.got {
		if ev.Stream == executor.StreamSystem {
			said += ev.Text
		}
	}
	require.Contains(t, said, "dir, link, pipe", "links are not followed, and that is said")
	b.requireClean(t)
}

func TestArtifactsHaveLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, says string }{
		"too many":            {`for i in $(seq 65); do : > f$i; done`, "more than 64"},
		"too large":           {`truncate -s 17M big`, "16777216"},
		"too large together":  {`for i in 1 2 3; do truncate -s 12M f$i; done`, "33554432"},
		"too many entries":    {`mkdir x && cd x && mkdir $(seq 5000)`, "4096"},
		"a folder elsewhere":  {`cd .. && rm -r "$LLMCTL_ARTIFACTS" && ln -s /etc "$LLMCTL_ARTIFACTS"`, "replaced"},
		"a name of two lines": {`: > "$(printf 'a\nb')"`, "cannot be named"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := setup(t).run(t, `cd "$LLMCTL_ARTIFACTS"; `+c.script)
			require.Equal(t, executor.Failed, res.Status)
			require.Equal(t, executor.CodeArtifacts, res.Error.Code)
			require.Contains(t, res.Error.Message, c.says)
			require.Empty(t, res.Artifacts)
			require.NotEmpty(t, res.OutputState, "what the script printed is not lost")
		})
	}
}

func TestTheLargestArtifactComesThrough(t *testing.T) {
	t.Parallel()
	res := setup(t).run(t, `cd "$LLMCTL_ARTIFACTS"; head -c 16777216 /dev/urandom > f`)
	require.Equal(t, executor.Succeeded, res.Status, "%+v", res.Error)
	require.Len(t, res.Artifacts, 1)
	require.Len(t, res.Artifacts[0].Data, executor.MaxArtifactBytes)
}

func TestAScriptThatFailsKeepsItsFilesAndItsFailure(t *testing.T) {
	t.Parallel()
	res := setup(t).run(t, `echo why > "$LLMCTL_ARTIFACTS/log"; exit 3`)
	require.Equal(t, "exit_status", res.Error.Code)
	require.Len(t, res.Artifacts, 1)
	res = setup(t).run(t, `truncate -s 17M "$LLMCTL_ARTIFACTS/log"; exit 3`)
	require.Equal(t, "exit_status", res.Error.Code)
	require.Empty(t, res.Artifacts)
	res = setup(t).run(t, `rm -r "$LLMCTL_ARTIFACTS"`)
	require.Equal(t, executor.Succeeded, res.Status, "%+v", res.Error)
}

func TestTheChildHasAnEnvironmentOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.e.Execute(t.Context(), payload("env", nil), b.sink)
	require.Equal(t, executor.Succeeded, res.Status, "%+v", res.Error)
	var env []string
	require.NoError(t, json.Unmarshal(res.OutputState, &env))
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		require.Contains(t, []string{"PATH", "HOME", "TMPDIR", "LANG", "LLMCTL_STUDIO_WORKSPACE", "WORKSPACE_PATH"}, name)
	}
}

func TestScriptsDoNotInheritTheEventPipe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.e.Execute(t.Context(), payload(kind.Script, map[string]any{
		"script": `for fd in 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$fd ] && echo "open: $fd"; done; echo done`,
	}), b.sink)
	require.Equal(t, executor.Succeeded, res.Status, "%+v", res.Error)
	require.Equal(t, "done", b.nextLine(t), "no descriptor beyond the standard ones")
}

func bothModes(t *testing.T, f func(t *testing.T, mode string)) {
	t.Helper()
	for _, mode := range []string{fenced, unfenced} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			f(t, mode)
		})
	}
}

func TestCancelEndsTheWholeFamily(t *testing.T) {
	t.Parallel()
	bothModes(t, func(t *testing.T, mode string) {
		t.Helper()
		b := setupMode(t, mode)
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan executor.Result, 1)
		go func() { done <- b.e.Execute(ctx, payload(kind.Script, map[string]any{"script": family}), b.sink) }()
		members := pids(t, b.root, b.nextLine(t))
		require.Len(t, members, 5)
		for _, pid := range members {
			require.True(t, alive(pid))
		}
		cancel(executor.ErrCancelled)
		res := <-done
		require.Equal(t, executor.Cancelled, res.Status)
		for _, pid := range members {
			require.False(t, alive(pid), "%d outlived Execute", pid)
		}
		b.requireClean(t)
	})
}

func TestTimeoutIsToldFromCancel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := payload(kind.Script, map[string]any{"script": family})
	p.Limits.TimeoutSeconds = 3
	res := b.e.Execute(t.Context(), p, b.sink)
	require.Equal(t, executor.TimedOut, res.Status)
	require.Equal(t, executor.CodeTimeout, res.Error.Code)
	requireNobody(t, b.root)

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(executor.ErrTimeout)
	require.Equal(t, executor.TimedOut, b.e.Execute(ctx, p, b.sink).Status)
}

func TestAScriptThatEndsLeavesNobodyBehind(t *testing.T) {
	t.Parallel()
	bothModes(t, func(t *testing.T, mode string) {
		t.Helper()
		b := setupMode(t, mode)
		script := strings.TrimSuffix(family, "wait") + "exit 0"
		res := b.e.Execute(t.Context(), payload(kind.Script, map[string]any{"script": script}), b.sink)
		require.Equal(t, executor.Succeeded, res.Status, "%+v", res.Error)
		requireNobody(t, b.root)
	})
}

func TestAKilledChildLeavesNobodyBehind(t *testing.T) {
	t.Parallel()
	bothModes(t, func(t *testing.T, mode string) {
		t.Helper()
		b := setupMode(t, mode)
		done := make(chan executor.Result, 1)
		go func() {
			done <- b.e.Execute(t.Context(), payload(kind.Script, map[string]any{"script": "echo $PPID; " + family}), b.sink)
		}()
		supervisor := pids(t, b.root, b.nextLine(t))[0]
		members := pids(t, b.root, b.nextLine(t))
		require.Greater(t, supervisor, 1)
		require.NoError(t, syscall.Kill(supervisor, syscall.SIGKILL))
		res := <-done
		require.Equal(t, executor.Failed, res.Status)
		require.Equal(t, executor.CodeInfra, res.Error.Code)
		require.True(t, res.Error.Retryable)
		require.Contains(t, res.Error.Message, "killed")
		requireGone(t, members)
		b.requireClean(t)
	})
}

// startWorker runs a worker with a family; it gives the ids of the executor and of
// the family's members.
func startWorker(t *testing.T, mode string) (worker *exec.Cmd, root string, members []int) {
	t.Helper()
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready")
	script := strings.Replace(family, "echo $$ $a", "echo $PPID $$ $a", 1)
	script = strings.Replace(script, "$(cat s); wait", "$(cat s) > "+ready+".tmp; mv "+ready+".tmp "+ready+"; wait", 1)
	root = filepath.Join(dir, "ws")
	worker = exec.CommandContext(t.Context(), "/proc/self/exe", roleWorker, root, script, mode)
	require.NoError(t, worker.Start())
	t.Cleanup(func() {
		_ = worker.Process.Kill()
		_ = worker.Wait()
	})
	require.Eventually(t, func() bool { _, err := os.Stat(ready); return err == nil }, 20*time.Second, 10*time.Millisecond)
	line, err := os.ReadFile(ready)
	require.NoError(t, err)
	members = pids(t, root, string(line))
	require.Len(t, members, 6)
	return worker, root, members
}

func TestADeadOrFrozenWorkerTakesItsChildrenAlong(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"dead": syscall.SIGKILL, "frozen": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothModes(t, func(t *testing.T, mode string) {
				t.Helper()
				worker, root, members := startWorker(t, mode)
				require.NoError(t, worker.Process.Signal(signal))
				requireGone(t, members)
				left, err := filepath.Glob(filepath.Join(root, "*", "*"))
				require.NoError(t, err)
				require.Empty(t, left, "the orphan empties its workspace")
			})
		})
	}
}

func TestNobodySurvivesWorkerAndExecutorKilledAtTheSameInstant(t *testing.T) {
	t.Parallel()
	bothModes(t, func(t *testing.T, mode string) {
		t.Helper()
		worker, root, members := startWorker(t, mode)
		supervisor := members[0]
		require.Greater(t, supervisor, 1)
		// Stopped first, neither can do anything about the other's end.
		for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
			require.NoError(t, syscall.Kill(worker.Process.Pid, signal))
			require.NoError(t, syscall.Kill(supervisor, signal))
		}
		_ = worker.Wait()
		if mode == fenced && os.Geteuid() == 0 {
			requireGone(t, members) // by the kernel, with nobody's help
		}
		// Without a namespace it is the next worker on the same folder.
		_, err := process.New(process.Options{Root: root, Unfenced: true})
		require.NoError(t, err)
		requireGone(t, members)
		left, err := os.ReadDir(root)
		require.NoError(t, err)
		require.Empty(t, left, "abandoned workspaces are removed")
	})
}

func TestANewWorkerLeavesTheWorkspacesOfOthersAlone(t *testing.T) {
	t.Parallel()
	_, root, members := startWorker(t, fenced)
	_, err := process.New(process.Options{Root: root})
	require.NoError(t, err)
	for _, pid := range members {
		require.True(t, alive(pid))
	}
}

func TestEndsWithoutAResultAreInfra(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{"vanish": "exit status 7", "suicide": "killed", "garbage": "protocol", "stopped": "stopped from outside"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			b := setupMode(t, unfenced) // the first process of a namespace cannot kill itself
			res := b.e.Execute(t.Context(), payload(kind, nil), b.sink)
			require.Equal(t, executor.Failed, res.Status)
			require.Equal(t, executor.CodeInfra, res.Error.Code)
			require.True(t, res.Error.Retryable)
			require.Contains(t, res.Error.Message, want)
			if kind == "vanish" {
				require.Contains(t, res.Error.Message, "the floor gave way")
			}
			b.requireClean(t)
		})
	}
}

func TestPanicsAndOversizedResultsAreFailures(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.e.Execute(t.Context(), payload("panic", nil), b.sink)
	require.Equal(t, executor.CodePanic, res.Error.Code)
	res = b.e.Execute(t.Context(), payload("huge", nil), b.sink)
	require.Equal(t, executor.CodeTooLarge, res.Error.Code, res.Error.Message)
	res = b.e.Execute(t.Context(), payload("no-such-kind", nil), b.sink)
	require.Equal(t, executor.CodeKind, res.Error.Code)
}

func TestADeafHandlerCannotHoldTheCaller(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	started := make(chan struct{})
	done := make(chan executor.Result, 1)
	go func() {
		done <- b.e.Execute(ctx, payload("deaf", nil), func(executor.Event) error { close(started); return nil })
	}()
	<-started
	cancel(executor.ErrCancelled)
	select {
	case res := <-done:
		require.Equal(t, executor.Cancelled, res.Status)
	case <-time.After(15 * time.Second):
		t.Fatal("Execute did not return")
	}
}

func TestAFailingSinkEndsTheAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.e.Execute(t.Context(), payload(kind.Script, map[string]any{"script": "sleep 600"}), func(ev executor.Event) error {
		if ev.N == 2 {
			return errors.New("database is gone")
		}
		return nil
	})
	require.Equal(t, executor.CodeInfra, res.Error.Code)
	require.True(t, res.Error.Retryable)
	b.requireClean(t)
}

func TestAnotherUserRunsTheScript(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		_, err := process.New(process.Options{Root: t.TempDir(), UID: 65534})
		require.Error(t, err)
		return
	}
	root, err := os.MkdirTemp("/tmp", "exec-uid-") //nolint:usetesting // the other user must be able to reach it
	require.NoError(t, err)
	require.NoError(t, os.Chmod(root, 0o711))
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	e, err := process.New(process.Options{Root: root, Command: []string{"/proc/self/exe", roleChild}, UID: 65534, GID: 65534})
	require.NoError(t, err)
	b := &bench{e: e, root: root, line: make(chan string, 64)}
	res := e.Execute(t.Context(), payload(kind.Script, map[string]any{"script": "id -u; mkdir d; touch d/f; chmod 0 d; echo forged > /proc/$PPID/fd/3"}), b.sink)
	require.Equal(t, "65534", b.nextLine(t))
	require.Equal(t, executor.Failed, res.Status, "the supervisor's descriptors are closed to the script")
	require.Contains(t, string(res.OutputState), "denied")
	b.requireClean(t)
}

func TestReadOnlyFoldersAreRemovedToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.e.Execute(t.Context(), payload(kind.Script, map[string]any{"script": "mkdir -p a/b; touch a/b/c; chmod 500 a/b a"}), b.sink)
	require.Equal(t, executor.Succeeded, res.Status)
	b.requireClean(t)
}
