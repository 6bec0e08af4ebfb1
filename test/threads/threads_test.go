package threads

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/redistest"
)

// size is how many threads stream at once, and how long; LLMCTL_TEST_THREADS=full makes
// it what the promise says.
type size struct {
	threads, tokens int
	workerKills     int
	killEvery       time.Duration
}

func sizeOf() size {
	if os.Getenv("LLMCTL_TEST_THREADS") == "full" {
		return size{threads: 100, tokens: 1000, workerKills: 2, killEvery: 4 * time.Second}
	}
	return size{threads: 10, tokens: 200, workerKills: 1, killEvery: 1500 * time.Millisecond}
}

// verdict is what the clients say at the end.
type verdict struct {
	Clients, Different, Unfinished, Gaps, Breaks, Refreshes, Resyncs, Attempts, Tokens, P50, P99 int
	First                                                                                        string
}

// TestEveryClientsTextIsTheStoredText has threads stream at 50 tokens a second each to
// the official client, by two web workers and two workers: first in peace, which
// gives the latency, then while web workers and workers are killed.
func TestEveryClientsTextIsTheStoredText(t *testing.T) {
	t.Parallel()
	n := sizeOf()
	database, redis := pgtest.URI(t), redistest.Start(t)
	environ := []string{"LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE=" + redis.URL(), "GUNICORN_WORKERS=2", "CELERY_WORKER_CONCURRENCY=1"}
	web := start(t, "serve", database, environ...)
	workers := []*program{start(t, "worker", database, environ...), start(t, "worker", database, environ...)}
	a := signIn(t, "http://"+web.address)
	var provider, made struct {
		ID int64 `json:"id"`
	}
	a.call(http.StatusCreated, http.MethodPost, "/api/providers", fmt.Sprintf(`{"name":"timed","kind":"openai","base_url":%q,"api_key":"k"}`, model(t, n.tokens, 20*time.Millisecond)), &provider)
	a.call(http.StatusCreated, http.MethodPost, "/api/models", fmt.Sprintf(`{"name":"timed","provider_id":%d,"model":"timed"}`, provider.ID), &made)

	calm := follow(t, a, post(a, n.threads), 0)
	t.Logf("in peace: %d clients, %d pieces, token latency p50 %d ms, p99 %d ms", calm.Clients, calm.Tokens, calm.P50, calm.P99)
	exact(t, calm)

	turns := post(a, n.threads)
	stop, killed, wanted := make(chan struct{}), make(chan string, 1), make(chan struct{}, n.workerKills)
	go func() { killed <- harm(web, workers, n, func() { wanted <- struct{}{} }, stop) }()
	heard := make(chan verdict, 1)
	var failure error
	go func() {
		v, err := clients(t.Context(), a, turns, 0.01)
		failure = err
		heard <- v
	}()
	var rough verdict
	for ended := false; !ended; {
		select {
		case <-wanted:
			start(t, "worker", database, environ...)
		case rough = <-heard:
			ended = true
		}
	}
	require.NoError(t, failure)
	close(stop)
	t.Logf("%s: %d clients, %d refreshes, %d breaks, %d attempts, p99 %d ms", <-killed, rough.Clients, rough.Refreshes, rough.Breaks, rough.Attempts, rough.P99)
	exact(t, rough)
	require.Positive(t, rough.Refreshes)
	require.Positive(t, rough.Breaks, "a web worker's death broke connections")
	require.Greater(t, rough.Attempts, rough.Clients, "a worker's death made new attempts")
}

func exact(t *testing.T, v verdict) {
	t.Helper()
	require.Zero(t, v.Unfinished, "%+v", v)
	require.Zero(t, v.Different, v.First)
	require.Zero(t, v.Gaps, "%+v", v)
	require.Zero(t, v.Resyncs)
}

// post begins threads and gives their "thread:turn".
func post(a *api, threads int) []string {
	a.t.Helper()
	out := make([]string, threads)
	for i := range out {
		var thread struct {
			ID int64 `json:"id"`
		}
		var posted struct {
			Turn struct {
				ID int64 `json:"id"`
			} `json:"turn"`
		}
		a.call(http.StatusCreated, http.MethodPost, "/api/threads", `{}`, &thread)
		a.call(http.StatusAccepted, http.MethodPost, fmt.Sprintf("/api/threads/%d/turns", thread.ID), `{"message":"go"}`, &posted)
		out[i] = fmt.Sprintf("%d:%d", thread.ID, posted.Turn.ID)
	}
	return out
}

// follow has a process of clients follow turns to their ends.
func follow(t *testing.T, a *api, turns []string, refresh float64) verdict {
	t.Helper()
	v, err := clients(t.Context(), a, turns, refresh)
	require.NoError(t, err)
	return v
}

func clients(ctx context.Context, a *api, turns []string, refresh float64) (verdict, error) {
	var v verdict
	cmd := exec.CommandContext(ctx, "node", append([]string{"threads.mjs", a.base, a.key, fmt.Sprint(refresh)}, turns...)...)
	cmd.Dir = filepath.Join("..", "socketio")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return v, fmt.Errorf("clients: %w", err)
	}
	return v, json.Unmarshal(out, &v)
}

// harm kills web workers again and again, and in between workers as often as it may; a
// killed worker gets a successor.
func harm(web *program, workers []*program, n size, successor func(), stop <-chan struct{}) string {
	ticker := time.NewTicker(n.killEvery)
	defer ticker.Stop()
	webs, dead := 0, 0
	for turn := 0; ; turn++ {
		select {
		case <-stop:
			return fmt.Sprintf("%d web workers and %d workers killed", webs, dead)
		case <-ticker.C:
		}
		if turn%2 == 1 && dead < n.workerKills {
			workers[dead].kill()
			dead++
			successor()
			continue
		}
		if pids := web.children(); len(pids) == 2 {
			_ = syscall.Kill(pids[rand.IntN(len(pids))], syscall.SIGKILL)
			webs++
		}
	}
}
