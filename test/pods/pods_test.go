package pods

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/testkit/llmtest"
)

// words makes a text with characters of all lengths.
func words(n int) []string {
	pieces := []string{"grüß ", "日本 ", "a", "\n", "🙂 ", "word "}
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(i, pieces[i%len(pieces)])
	}
	return out
}

func TestATaskStreamsByteForByte(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.newWorker()
	chunks := words(3000)
	r.llm.On("tell", llmtest.Reply{Chunks: chunks})
	got := r.start("task", `{"prompt":"tell","model_id":1}`)
	d := r.a(got.ID, ended)
	require.Equal(t, run.Succeeded, d.NodeRun.Status, string(d.NodeRun.Error))
	require.Equal(t, strings.Join(chunks, ""), r.text(&d.NodeRun, "delta"))
	require.Contains(t, string(d.NodeRun.Usage), "output_tokens")
	a := d.Attempts[0]
	require.Equal(t, "dispatch_confirmed", a.DispatchStatus)
	require.NotNil(t, a.FirstTokenAt)
	require.Contains(t, string(a.Stages), `"llm_query"`)
	require.NotContains(t, string(a.Stages), `"running"`)
	require.Equal(t, 0, r.onlyPod().exitCode(t))
	require.NotContains(t, r.onlyPod().out.String(), "sk-very-secret")
	end, err := r.engine.Get(t.Context(), got.ID)
	require.NoError(t, err)
	require.Equal(t, run.Succeeded, end.Run.Status)
}

func TestAScriptLeavesArtifactsAndALargeOutput(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.newWorker()
	got := r.start("script", script(`
		head -c 5000000 /dev/urandom > "$LLMCTL_ARTIFACTS/big.bin"
		mkdir "$LLMCTL_ARTIFACTS/sub dir" && echo hello > "$LLMCTL_ARTIFACTS/sub dir/ä.txt"
		head -c 1000000 /dev/zero | tr '\0' x
		env | grep -c LLMCTL_EXECUTOR >&2; exit 0`))
	d := r.a(got.ID, ended)
	require.Equal(t, run.Succeeded, d.NodeRun.Status, string(d.NodeRun.Error))
	require.Contains(t, string(d.NodeRun.OutputState), strings.Repeat("x", 1_000_000))
	require.Contains(t, string(d.NodeRun.OutputState), `"stderr":"0\n"`, "the script sees nothing of the token")
	artifacts, err := r.engine.Artifacts(t.Context(), d.NodeRun.ID)
	require.NoError(t, err)
	require.Len(t, artifacts, 2)
	require.EqualValues(t, 5_000_000, artifacts[0].Size)
	require.Equal(t, "sub dir/ä.txt", artifacts[1].Name)
	_, content, err := r.engine.OpenArtifact(t.Context(), artifacts[1].ID)
	require.NoError(t, err)
	raw, err := io.ReadAll(content)
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(raw))
}

func TestAResultOfManyMegabytes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.newWorker()
	big := make([]byte, 5<<20)
	for i := range big {
		big[i] = byte('a' + rand.IntN(26))
	}
	var chunks []string
	for piece := range slices.Chunk(big, 64<<10) {
		chunks = append(chunks, string(piece))
	}
	r.llm.On("big", llmtest.Reply{Chunks: chunks})
	got := r.start("task", `{"prompt":"big","model_id":1}`)
	d := r.a(got.ID, ended)
	require.Equal(t, run.Succeeded, d.NodeRun.Status, string(d.NodeRun.Error))
	var output struct {
		Text string `json:"text"`
	}
	content, err := r.engine.OpenOutput(t.Context(), d.NodeRun.ID)
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(content).Decode(&output))
	require.Len(t, output.Text, len(big), "the length")
	require.True(t, output.Text == string(big), "the text")                   //nolint:testifylint // too long to be shown
	require.True(t, r.text(&d.NodeRun, "delta") == string(big), "the stream") //nolint:testifylint // likewise
}

func TestTheWorkGoesOnWhileTheAPIIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.newWorker()
	before := make(chan struct{})
	chunks := words(2000)
	r.llm.On("tell", llmtest.Reply{Chunks: chunks, Gate: before, GateAt: 1000})
	got := r.start("task", `{"prompt":"tell","model_id":1}`)
	half := strings.Join(chunks[:1000], "")
	d := r.a(got.ID, func(d run.NodeDetail) bool { return started(d) && r.text(&d.NodeRun, "delta") == half })
	r.api.down()
	close(before)
	<-r.llm.Next(t).Done() // the whole answer was given while nobody listened
	pod := r.onlyPod()
	require.Eventually(t, func() bool { return strings.Contains(pod.out.String(), "does not answer") }, patience, 10*time.Millisecond)
	require.Equal(t, half, r.text(&d.NodeRun, "delta"))
	r.api.up()
	d = r.a(got.ID, ended)
	require.Equal(t, run.Succeeded, d.NodeRun.Status, string(d.NodeRun.Error))
	require.Equal(t, strings.Join(chunks, ""), r.text(&d.NodeRun, "delta"))
	require.Equal(t, 0, pod.exitCode(t))
	require.Contains(t, pod.out.String(), "answers again")
}

// Every other answer is lost after the request was worked, so everything comes twice.
func TestDoubledBatchesChangeNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.newWorker()
	var n, lost atomic.Int64
	r.api.spoilt(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if req.Method != http.MethodPost || n.Add(1)%2 == 0 {
			next.ServeHTTP(w, req)
			return
		}
		next.ServeHTTP(httptest.NewRecorder(), req)
		lost.Add(1)
		panic(http.ErrAbortHandler)
	})
	chunks := words(300)
	r.llm.On("tell", llmtest.Reply{Chunks: chunks, Every: time.Millisecond})
	got := r.start("task", `{"prompt":"tell","model_id":1}`)
	d := r.a(got.ID, ended)
	require.Equal(t, run.Succeeded, d.NodeRun.Status, string(d.NodeRun.Error))
	require.Equal(t, strings.Join(chunks, ""), r.text(&d.NodeRun, "delta"))
	require.Equal(t, 0, r.onlyPod().exitCode(t), "the answer to the result was lost, too, and its repetition was welcome")
	require.Greater(t, lost.Load(), int64(2))
	require.Len(t, d.Attempts, 1)
}

func TestASecondPodEndsWithoutHavingDoneAnything(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.newWorker()
	dir := t.TempDir()
	got := r.start("script", script("echo $$ >> "+dir+"/ran; while [ ! -e "+dir+"/go ]; do read -t 0.1 < /dev/zero; done 2>/dev/null; true"))
	r.a(got.ID, started)
	first := r.onlyPod()
	second := r.launch("second", first.token)
	require.Equal(t, 130, second.exitCode(t))
	require.Contains(t, second.out.String(), "Another pod works this attempt")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	d := r.a(got.ID, ended)
	require.Equal(t, run.Succeeded, d.NodeRun.Status, string(d.NodeRun.Error))
	ran, err := os.ReadFile(filepath.Join(dir, "ran"))
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(ran), "\n"))
	third := r.launch("third", first.token)
	require.Equal(t, 130, third.exitCode(t), "nor after the end")
	require.Equal(t, 130, r.launch("fourth", "unknown").exitCode(t))
}

func waitFor(dir string) string {
	return "echo $$ > " + dir + "/pid; while [ ! -e " + dir + "/go ]; do sleep 0.05; done; echo done"
}

func TestAnotherWorkerAdoptsAPodAndTheOldOneIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old := r.newWorker()
	dir := t.TempDir()
	got := r.start("script", script(waitFor(dir)))
	d := r.a(got.ID, started)
	ref := run.Ref{NodeRunID: d.NodeRun.ID, Attempt: 1, Worker: old.id}
	old.die(r)
	young := r.newWorker()
	r.sweep()
	r.a(got.ID, func(d run.NodeDetail) bool { return d.Attempts[0].WorkerProcessID == young.id })
	// It thaws.
	require.ErrorIs(t, old.dispatcher.store.Note(t.Context(), ref, "late"), run.ErrStale)
	done, err := old.dispatcher.store.End(t.Context(), ref, executor.Failure("late", "late", false))
	require.NoError(t, err)
	require.False(t, done)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	d = r.a(got.ID, ended)
	require.Equal(t, run.Succeeded, d.NodeRun.Status, string(d.NodeRun.Error))
	require.Len(t, d.Attempts, 1, "the same attempt")
	require.Zero(t, d.NodeRun.Lost)
	require.Equal(t, young.id, d.Attempts[0].WorkerProcessID)
	r.onlyPod()
}

func TestAPodNeedsNoWorkerToEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old := r.newWorker()
	dir := t.TempDir()
	got := r.start("script", script(waitFor(dir)))
	r.a(got.ID, started)
	old.die(r)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	d := r.a(got.ID, ended)
	require.Equal(t, run.Succeeded, d.NodeRun.Status)
	end, err := r.engine.Get(t.Context(), got.ID)
	require.NoError(t, err)
	require.Equal(t, run.Succeeded, end.Run.Status, "and what follows from it was done")
}

func TestAStoppingWorkerLetsGoAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old := r.newWorker()
	dir := t.TempDir()
	got := r.start("script", script(waitFor(dir)))
	r.a(got.ID, started)
	old.stop()
	young := r.newWorker()
	old.runner.Drain(t.Context()) // returns although the pod goes on
	r.a(got.ID, func(d run.NodeDetail) bool { return d.Attempts[0].WorkerProcessID == young.id })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	d := r.a(got.ID, ended)
	require.Equal(t, run.Succeeded, d.NodeRun.Status, string(d.NodeRun.Error))
	require.Len(t, d.Attempts, 1)
}

func TestACancelEndsThePodAndEverythingBelowIt(t *testing.T) {
	t.Parallel()
	for name, tell := range map[string]func(r *rig, w *worker, d run.NodeDetail){
		"by its holder": func(_ *rig, w *worker, d run.NodeDetail) { w.runner.Cancel(d.NodeRun.ID) },
		"by the answer": func(*rig, *worker, run.NodeDetail) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			w := r.newWorker()
			dir := t.TempDir()
			got := r.start("script", script("(trap '' TERM; echo $BASHPID >> "+dir+"/pid; setsid sleep 1000 & echo $! >> "+dir+
				"/pid; wait) & echo $! >> "+dir+"/pid; while :; do echo tick; sleep 0.05; done"))
			d := r.a(got.ID, func(d run.NodeDetail) bool {
				raw, _ := os.ReadFile(filepath.Join(dir, "pid"))
				return started(d) && strings.Count(string(raw), "\n") >= 2
			})
			_, err := r.engine.Cancel(t.Context(), got.ID)
			require.NoError(t, err)
			tell(r, w, d)
			d = r.a(got.ID, ended)
			require.Equal(t, run.Cancelled, d.NodeRun.Status, string(d.NodeRun.Error))
			require.Equal(t, 130, r.onlyPod().exitCode(t))
			raw, err := os.ReadFile(filepath.Join(dir, "pid"))
			require.NoError(t, err)
			require.Empty(t, alive(strings.Fields(string(raw))...))
			end, err := r.engine.Get(t.Context(), got.ID)
			require.NoError(t, err)
			require.Equal(t, run.Cancelled, end.Run.Status)
		})
	}
}

func TestAPodWhoseAttemptHasEndedIsGoneAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.newWorker()
	dir := t.TempDir()
	got := r.start("script", script("trap '' TERM; echo $$ > "+dir+"/pid; while :; do echo tick; sleep 0.05; done"))
	d := r.a(got.ID, func(run.NodeDetail) bool {
		raw, err := os.ReadFile(filepath.Join(dir, "pid"))
		return err == nil && len(raw) > 0
	})
	ref := run.Ref{NodeRunID: d.NodeRun.ID, Attempt: 1, Worker: w.id}
	done, err := w.dispatcher.store.End(t.Context(), ref, executor.Failure("gone", "The pod is gone, for all that is known.", false))
	require.NoError(t, err)
	require.True(t, done)
	require.Equal(t, 130, r.onlyPod().exitCode(t))
	raw, err := os.ReadFile(filepath.Join(dir, "pid"))
	require.NoError(t, err)
	require.Empty(t, alive(strings.Fields(string(raw))...))
	d = r.a(got.ID, ended)
	require.Contains(t, string(d.NodeRun.Error), "for all that is known")
}

func TestAPodThatIsStoppedFromOutsideSaysSo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.newWorker()
	dir := t.TempDir()
	got := r.start("script", script(waitFor(dir)))
	r.a(got.ID, func(run.NodeDetail) bool {
		_, err := os.Stat(filepath.Join(dir, "pid"))
		return err == nil
	})
	require.NoError(t, r.onlyPod().cmd.Process.Signal(syscall.SIGTERM))
	d := r.a(got.ID, ended)
	require.Equal(t, run.Failed, d.NodeRun.Status)
	require.Contains(t, string(d.NodeRun.Error), "evicted or preempted")
	require.Contains(t, string(d.NodeRun.Error), `"infra"`)
}

func TestAPodThatIsKilledIsNoticedByItsHolder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.newWorker()
	dir := t.TempDir()
	got := r.start("script", script("echo before; "+waitFor(dir)))
	r.a(got.ID, func(d run.NodeDetail) bool { return started(d) && r.text(&d.NodeRun, "log") == "before\n" })
	require.NoError(t, syscall.Kill(-r.onlyPod().cmd.Process.Pid, syscall.SIGKILL))
	d := r.a(got.ID, ended)
	require.Equal(t, run.Failed, d.NodeRun.Status)
	require.Contains(t, string(d.NodeRun.Error), "without a result")
	require.Contains(t, string(d.Attempts[0].Stages), `"failed"`, "the stage that ran is closed")
}

func TestTheNodesOwnTimeIsKeptByThePod(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.newWorker()
	got := r.start("script", `{"script":"sleep 1000","timeout_seconds":1}`)
	d := r.a(got.ID, ended)
	require.Equal(t, run.Failed, d.NodeRun.Status)
	require.Contains(t, string(d.NodeRun.Error), `"timeout"`)
	require.Equal(t, 124, r.onlyPod().exitCode(t))
}

func TestATokenOpensItsOwnAttemptOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.newWorker()
	dir := t.TempDir()
	one := r.start("script", script(waitFor(dir)))
	r.a(one.ID, started)
	token := r.onlyPod().token
	client := &http.Client{Timeout: patience}
	ask := func(method, path, token, pod string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, r.api.url()+path, http.NoBody)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("X-Executor-Pod", pod)
		res, err := client.Do(req)
		require.NoError(t, err)
		defer func() { _ = res.Body.Close() }()
		raw, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(raw)
	}
	for _, path := range []string{"/nodes", "/flowchart-runs", "/settings/retention", "/auth/me", "/users"} {
		status, _ := ask(http.MethodGet, path, token, "x")
		require.Equal(t, http.StatusUnauthorized, status, path)
	}
	status, text := ask(http.MethodPost, "/executor/v1/events", strings.Repeat("0", 64), "x")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Contains(t, text, run.ReasonUnknownToken)
	status, text = ask(http.MethodGet, "/executor/v1/payload", token, "another pod")
	require.Equal(t, http.StatusConflict, status)
	require.Contains(t, text, run.ReasonSupersededPod)
	status, text = ask(http.MethodPost, "/executor/v1/events", token, "")
	require.Equal(t, http.StatusUnprocessableEntity, status)
	require.Contains(t, text, run.ReasonPodUID)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	d := r.a(one.ID, ended)
	status, text = ask(http.MethodGet, "/executor/v1/payload", token, *d.Attempts[0].PodUid)
	require.Equal(t, http.StatusConflict, status)
	require.Contains(t, text, run.ReasonClosed)
}

// As in a pod: the first process of its namespace, nobody, and nothing but a mounted
// payload, mounted secrets and a folder to write in.
func TestTheExecutorIsFineAsTheFirstProcessOfAPod(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root here")
	}
	r := newRig(t)
	r.newWorker()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o777))
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		require.NoError(t, os.Chmod(d, 0o777))
	}
	r.pods.launch = func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: syscall.CLONE_NEWPID, Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "LLMCTL_EXECUTOR_DEFAULT_CWD="+dir, "LLMCTL_EXECUTOR_TERMINATION_LOG="+dir+"/termination",
			"LLMCTL_EXECUTOR_SECRETS_DIR="+dir+"/secrets")
	}
	require.NoError(t, os.WriteFile(dir+"/termination", nil, 0o666))
	require.NoError(t, os.Chmod(dir+"/termination", 0o666))
	require.NoError(t, os.Mkdir(dir+"/secrets", 0o755))
	require.NoError(t, os.WriteFile(dir+"/secrets/api_key", []byte("hush-hush"), 0o644))
	got := r.start("script", script(`echo "I am $PPID's child, $(id -u)"; echo hush-hush; (setsid sh -c 'sleep 0.1' &); (setsid sleep 1000 &); touch "$HOME/x" "$TMPDIR/y"; echo fine`))
	d := r.a(got.ID, ended)
	require.Equal(t, run.Succeeded, d.NodeRun.Status, string(d.NodeRun.Error))
	require.Contains(t, string(d.NodeRun.OutputState), "I am 1's child, 65534")
	pod := r.onlyPod()
	require.Equal(t, 0, pod.exitCode(t))
	require.Contains(t, pod.out.String(), "[init] *****")
	require.NotContains(t, pod.out.String(), "hush-hush")
	word, err := os.ReadFile(dir + "/termination")
	require.NoError(t, err)
	require.Contains(t, string(word), `"status":"succeeded"`)
}

func TestAMountedPayloadGoesWithTheToken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := t.TempDir()
	r.pods.launch = func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "LLMCTL_EXECUTOR_PAYLOAD_FILE="+dir+"/payload.json", "LLMCTL_EXECUTOR_POD_UID=the-pod")
	}
	r.pods.payload = func(raw []byte) { require.NoError(t, os.WriteFile(dir+"/payload.json", raw, 0o600)) }
	r.newWorker()
	got := r.start("script", script("echo mounted"))
	d := r.a(got.ID, ended)
	require.Equal(t, run.Succeeded, d.NodeRun.Status, string(d.NodeRun.Error))
	require.Equal(t, "the-pod", *d.Attempts[0].PodUid)
	close(r.api.seen)
	for line := range r.api.seen {
		require.NotContains(t, line, "payload", "nothing is fetched")
	}
}

func TestABadPayloadEndsTheAttemptAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := t.TempDir()
	r.pods.launch = func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "LLMCTL_EXECUTOR_PAYLOAD_FILE="+dir+"/payload.json") }
	r.pods.payload = func([]byte) { require.NoError(t, os.WriteFile(dir+"/payload.json", []byte("{"), 0o600)) }
	r.newWorker()
	got := r.start("script", script("echo never"))
	d := r.a(got.ID, ended)
	require.Equal(t, run.Failed, d.NodeRun.Status)
	require.Contains(t, string(d.NodeRun.Error), "bad_payload")
	require.Equal(t, 2, r.onlyPod().exitCode(t))
}
